//! docs/semantics.md: what Tenure does, row by row, each with the tests that hold it. Made from
//! rows.txt; the test fails when the page is old, or when a row names a test that isn't there.
//! `make docs` writes it anew.

#![allow(clippy::unwrap_used)]

use std::{env, fmt::Write, fs, path::Path};

/// Set by `make docs`.
const WRITE: &str = "TENURE_WRITE_DOCS";

#[derive(Default)]
struct Row {
    name: String,
    says: String,
    /// File from the root of the repository, and the function in it.
    tests: Vec<(String, String)>,
    differs: String,
    left: String,
}

struct Section {
    title: String,
    rows: Vec<Row>,
}

/// Planted bugs: a row that names a test that is gone, or one that is left out; a row without a
/// test; an old page. Caught.
#[test]
fn every_row_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sections = parse(&fs::read_to_string(root.join("tests/docs/rows.txt")).unwrap());
    let mut wrong = String::new();
    for row in sections.iter().flat_map(|section| &section.rows) {
        if row.tests.is_empty() == row.left.is_empty() {
            writeln!(wrong, "{}: needs tests, or `left`, not both", row.name).unwrap();
        }
        for (file, test) in &row.tests {
            let source = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !is_test(&source, test) {
                writeln!(wrong, "{}: {file} has no test {test}", row.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "tests/docs/rows.txt:\n{wrong}");

    let (page, wanted) = (root.join("docs/semantics.md"), render(&sections));
    if env::var_os(WRITE).is_some() {
        fs::write(&page, &wanted).unwrap();
    }
    let kept = fs::read_to_string(&page).unwrap();
    assert!(kept == wanted, "docs/semantics.md is old: run `make docs`");
}

/// Whether the source has a test of this name that is run: a function under an attribute that makes
/// it one, or one inside of `proptest!`, and none that leaves it out.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let starts = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let found = lines.iter().position(|line| starts(line));
    found.is_some_and(|at| {
        let above = lines.iter().take(at).rev();
        let attributes: Vec<_> = above
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
            .filter(|line| line.starts_with("#["))
            .collect();
        attributes.iter().any(|line| line.contains("test"))
            && !attributes.iter().any(|line| line.contains("ignore"))
    })
}

/// Lines: `# section`, `## row`, `test: file function`, `differs: …`, `left: …`, `//` for the
/// writer alone; anything else is what the row says.
fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(Section {
                title: title.to_owned(),
                rows: Vec::new(),
            });
            continue;
        }
        let section = sections.last_mut().unwrap();
        if let Some(name) = line.strip_prefix("## ") {
            section.rows.push(Row {
                name: name.to_owned(),
                ..Row::default()
            });
            continue;
        }
        let row = section.rows.last_mut().unwrap();
        let append = |to: &mut String, more: &str| {
            if !to.is_empty() {
                to.push(' ');
            }
            to.push_str(more);
        };
        if let Some(test) = line.strip_prefix("test: ") {
            let (file, name) = test.split_once(' ').unwrap();
            row.tests.push((file.to_owned(), name.to_owned()));
        } else if let Some(text) = line.strip_prefix("differs: ") {
            append(&mut row.differs, text);
        } else if let Some(text) = line.strip_prefix("left: ") {
            append(&mut row.left, text);
        } else {
            append(&mut row.says, line);
        }
    }
    sections
}

fn render(sections: &[Section]) -> String {
    let mut out = String::from(
        "# Semantics\n\nWhat Tenure does, row by row, and the tests that hold each row. *Differs*: on \
         purpose another behaviour than that of Vault and OpenBao, with the reason. *Not yet*: told, \
         not hidden. Made from `tests/docs/rows.txt` by `make docs`; a test fails when a row names a \
         test that isn't there.\n",
    );
    for section in sections {
        let title = &section.title;
        write!(
            out,
            "\n## {title}\n\n| row | behaviour | tests |\n|---|---|---|\n"
        )
        .unwrap();
        for row in &section.rows {
            let mut says = row.says.clone();
            if !row.differs.is_empty() {
                write!(says, " *Differs:* {}", row.differs).unwrap();
            }
            if !row.left.is_empty() {
                write!(says, " *Not yet:* {}", row.left).unwrap();
            }
            let tests: Vec<_> = (row.tests.iter())
                .map(|(file, name)| format!("`{name}` ([{file}](../{file}))"))
                .collect();
            let (name, says) = (&row.name, says.replace('|', "\\|"));
            writeln!(out, "| {name} | {} | {} |", says.trim(), tests.join(", ")).unwrap();
        }
    }
    out
}
