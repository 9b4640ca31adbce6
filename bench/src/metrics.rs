//! What a node says it has written, by its own metrics.

use std::{collections::BTreeMap, net::SocketAddr};

use tenure_tests::server_cluster::Outcome;

use crate::http_client::Http;

/// Values by name, with the labels as they are written.
pub type Values = BTreeMap<String, f64>;

/// Reads a node's metrics.
///
/// # Errors
/// It doesn't answer.
pub async fn scrape(address: SocketAddr) -> Outcome<Values> {
    let text = Http::connect(address).await?.get("/metrics").await?;
    let values = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    Ok(values.collect())
}

/// What one call wrote, on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Keys written.
    pub keys: f64,
    /// Bytes of keys and values.
    pub bytes: f64,
    /// Transactions that shared a log entry.
    pub batch: f64,
}

impl Written {
    /// By the metrics before and after.
    ///
    /// # Errors
    /// A metric is missing, or nothing was written.
    pub fn between(before: &Values, after: &Values) -> Outcome<Self> {
        let grown = |what: &str| {
            let name = format!("tenure_raft_proposed_{what}_total");
            Ok::<_, String>(value(after, &name)? - value(before, &name)?)
        };
        let (transactions, entries) = (grown("transactions")?, grown("entries")?);
        if transactions <= 0.0 || entries <= 0.0 {
            return Err("the active node counted no transaction".to_owned());
        }
        Ok(Self {
            keys: grown("operations")? / transactions,
            bytes: grown("bytes")? / transactions,
            batch: transactions / entries,
        })
    }
}

/// One value.
///
/// # Errors
/// The node doesn't show it.
pub fn value(values: &Values, name: &str) -> Outcome<f64> {
    let found = values.get(name).copied();
    found.ok_or_else(|| format!("the metric {name} is missing"))
}

/// How many calls each node answered itself, by the metrics of all nodes before and after: those
/// that came to it and that it didn't pass on to the active one.
pub fn answered(before: &[Values], after: &[Values], method: &str) -> Vec<u64> {
    let came = format!("tenure_requests_total{{method=\"{method}\",code=\"OK\"}}");
    let passed_on = format!("tenure_requests_forwarded_total{{method=\"{method}\"}}");
    let own = |values: &Values| {
        let value = |name| values.get(name).copied().unwrap_or_default();
        value(&came) - value(&passed_on)
    };
    let nodes = before.iter().zip(after);
    nodes
        .map(|(before, after)| (own(after) - own(before)) as u64)
        .collect()
}
