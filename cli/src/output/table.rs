//! Columns, the way Vault prints them: a header, dashes under it, four spaces between.

/// Spaces between two columns.
const GAP: usize = 4;

/// Rows under a header, each column as wide as its widest cell.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let dashes: Vec<String> = header
        .iter()
        .map(|title| "-".repeat(title.chars().count()))
        .collect();
    let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = [header, dashes]
        .into_iter()
        .chain(
            rows.iter()
                .map(|row| row.iter().map(|cell| one_line(cell)).collect()),
        )
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        for (index, cell) in line.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            shown.push_str(cell);
            let fill = width.saturating_sub(cell.chars().count()) + GAP;
            shown.extend(std::iter::repeat_n(' ', fill));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// A table of keys and values.
pub(crate) fn key_values(rows: &[(String, String)]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(key, value)| vec![key.clone(), value.clone()])
        .collect();
    columns(&["Key", "Value"], &rows)
}

/// Values come from servers: what would move the cursor or start a new row is escaped.
fn one_line(cell: &str) -> String {
    cell.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let plain = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_in_spaces() {
        let rows = [
            ("token_accessor".to_owned(), "abc".to_owned()),
            ("meta".to_owned(), "a\nb\u{1b}[1m".to_owned()),
            ("ünï".to_owned(), String::new()),
        ];
        assert_eq!(
            key_values(&rows),
            "Key               Value\n\
             ---               -----\n\
             token_accessor    abc\n\
             meta              a\\nb\\u{1b}[1m\n\
             ünï\n"
        );
        assert_eq!(
            columns(
                &["Node", "State"],
                &[vec!["node-1".into(), "leader".into()]]
            ),
            "Node      State\n----      -----\nnode-1    leader\n"
        );
    }
}
