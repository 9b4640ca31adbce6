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
    nodes: usize,
    clients: usize,
    echo: Option<Sample>,
    rows: Vec<Row>,
}

impl Table {
    /// An empty one.
    pub fn new(nodes: usize, clients: usize) -> Self {
        Self {
            nodes,
            clients,
            echo: None,
            rows: Vec::new(),
        }
    }

    /// gRPC alone.
    pub fn echo(&mut self, sample: Sample) {
        self.echo = Some(sample);
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }
}

fn rate(sample: Option<&Sample>) -> String {
    match sample {
        Some(sample) => format!(
            "{:.0} ({:.2} / {:.1}){}",
            sample.rate,
            sample.p50_ms,
            sample.p99_ms,
            failures(sample)
        ),
        None => "–".to_owned(),
    }
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

fn ratio(of: Option<&Sample>, to: Option<&Sample>) -> Option<f64> {
    Some(of?.rate / to?.rate)
}

fn percent(of: Option<&Sample>, to: Option<&Sample>) -> String {
    ratio(of, to).map_or("–".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0))
}

fn times(of: Option<&Sample>, to: Option<&Sample>) -> String {
    ratio(of, to).map_or("–".to_owned(), |ratio| format!("{ratio:.1}×"))
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
        Ok(())
    }
}
