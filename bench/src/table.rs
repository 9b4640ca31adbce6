//! The table as Markdown: rates, latencies, and the ratios that count.

use std::fmt;

use crate::{
    closed_loop::Sample,
    metrics::Written,
    operation::{Operation, Through},
};

/// One operation through one node.
pub struct Row {
    /// What.
    pub operation: Operation,
    /// Through which node.
    pub through: Through,
    /// What one call writes, on average.
    pub written: Written,
    /// Reads that each node of Tenure's plain cluster answered itself, in the last round.
    pub answered: Vec<u64>,
    /// Tenure, plain text.
    pub tenure: Option<Sample>,
    /// Tenure, TLS.
    pub tls: Option<Sample>,
    /// The bare stack with as many keys and bytes.
    pub bare: Option<Sample>,
    /// OpenBao, plain text.
    pub openbao: Option<Sample>,
}

/// All rows of one cluster size and number of clients.
pub struct Table {
    /// Nodes of each cluster.
    pub nodes: usize,
    /// Clients at once.
    pub clients: usize,
    /// gRPC alone.
    pub echo: Option<Sample>,
    /// The operations.
    pub rows: Vec<Row>,
}

/// What a mark after a rate means.
const FOOTNOTES: [(&str, &str); 2] = [
    (
        "†",
        "the generator used nearly all of its core: the rate is a lower bound, and its \
         ratios are in parentheses",
    ),
    (
        "‡",
        "the tokens to revoke were used up before half of the window was over",
    ),
];

fn rate(sample: Option<&Sample>) -> String {
    match sample {
        Some(sample) => format!(
            "{:.0}{} ({:.2} / {:.1}; {:.0} %){}",
            sample.rate,
            marks(sample),
            sample.p50_ms,
            sample.p99_ms,
            sample.generator * 100.0,
            failures(sample)
        ),
        None => "–".to_owned(),
    }
}

fn marks(sample: &Sample) -> String {
    let set = [sample.is_generator_bound(), sample.cut_short.is_some()];
    let marks = set.into_iter().zip(FOOTNOTES);
    marks
        .filter_map(|(set, (mark, _))| set.then_some(mark))
        .collect()
}

fn failures(sample: &Sample) -> String {
    match sample.failures {
        0 => String::new(),
        count => format!(
            " **{count} failed: {}**",
            sample.first_failure.as_deref().unwrap_or_default()
        ),
    }
}

/// The ratio of two rates, as `show` writes it; in parentheses when one is only a bound.
fn ratio(of: Option<&Sample>, to: Option<&Sample>, show: impl Fn(f64) -> String) -> String {
    match (of, to) {
        (Some(of), Some(to)) => {
            let shown = show(of.rate / to.rate);
            match marks(of).is_empty() && marks(to).is_empty() {
                true => shown,
                false => format!("({shown})"),
            }
        }
        _ => "–".to_owned(),
    }
}

fn percent(of: Option<&Sample>, to: Option<&Sample>) -> String {
    ratio(of, to, |ratio| format!("{:.0} %", ratio * 100.0))
}

fn times(of: Option<&Sample>, to: Option<&Sample>) -> String {
    ratio(of, to, |ratio| format!("{ratio:.1}×"))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        writeln!(
            f,
            "**{} node{}, {} client{}** (bare echo {})\n",
            self.nodes,
            plural(self.nodes),
            self.clients,
            plural(self.clients),
            rate(self.echo.as_ref())
        )?;
        writeln!(
            f,
            "| operation | through | Tenure ops/s (ms) | bare stack ops/s (ms) | of bare | \
             OpenBao ops/s (ms) | × OpenBao | TLS on: ops/s (ms) | of plain | keys, bytes, \
             calls an entry |\n|---|---|---|---|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let (tenure, bare) = (row.tenure.as_ref(), row.bare.as_ref());
            let (peer, tls) = (row.openbao.as_ref(), row.tls.as_ref());
            let written = match row.operation.reads() {
                true => "–".to_owned(),
                false => format!(
                    "{:.1}, {:.0}, {:.1}",
                    row.written.keys, row.written.bytes, row.written.batch
                ),
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {written} |",
                row.operation,
                row.through,
                rate(tenure),
                rate(bare),
                percent(tenure, bare),
                rate(peer),
                times(tenure, peer),
                rate(tls),
                percent(tls, tenure),
            )?;
        }
        for row in self.rows.iter().filter(|row| !row.answered.is_empty()) {
            let counts: Vec<String> = row.answered.iter().map(u64::to_string).collect();
            writeln!(
                f,
                "\n{} through the {}: the nodes answered {} themselves, none passed one on.",
                row.operation,
                row.through,
                counts.join(", ")
            )?;
        }
        let samples = self.rows.iter().flat_map(|row| {
            let all = [&row.tenure, &row.bare, &row.openbao, &row.tls];
            all.into_iter().flatten()
        });
        let used: Vec<String> = samples.chain(&self.echo).map(marks).collect();
        for (mark, meaning) in FOOTNOTES {
            if used.iter().any(|marks| marks.contains(mark)) {
                writeln!(f, "\n{mark} {meaning}.")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(generator: f64) -> Sample {
        Sample {
            rate: 100.0,
            p50_ms: 1.0,
            p99_ms: 2.0,
            failures: 0,
            first_failure: None,
            generator,
            cut_short: None,
        }
    }

    #[test]
    fn what_the_generator_bounds_is_marked_and_its_ratios_are_in_parentheses() {
        let row = |tenure| Row {
            operation: Operation::Create,
            through: Through::Active,
            written: Written::default(),
            answered: Vec::new(),
            tenure: Some(tenure),
            tls: None,
            bare: Some(sample(0.5)),
            openbao: None,
        };
        let shown = |tenure| {
            let table = Table {
                nodes: 1,
                clients: 1,
                echo: None,
                rows: vec![row(tenure)],
            };
            table.to_string()
        };
        let free = shown(sample(0.84));
        assert!(free.contains("| 100 % |") && !free.contains('†'), "{free}");
        let bound = shown(sample(0.86));
        assert!(bound.contains("| (100 %) |"), "{bound}");
        assert_eq!(bound.matches('†').count(), 2, "{bound}");
    }
}
