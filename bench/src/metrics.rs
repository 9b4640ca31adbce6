//! What a node says it has written, by its own metrics.

use std::{collections::BTreeMap, net::SocketAddr};

use tenure_tests::server_cluster::Outcome;

use crate::openbao::http::Http;

/// Values by name, labels left out (a name with labels keeps its last value).
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
    pub fn between(before: &Values, after: &Values) -> Self {
        let grown = |name: &str| {
            let of = |values: &Values| values.get(name).copied().unwrap_or_default();
            of(after) - of(before)
        };
        let transactions = grown("tenure_raft_proposed_transactions_total");
        let entries = grown("tenure_raft_proposed_entries_total");
        if transactions <= 0.0 || entries <= 0.0 {
            return Self::default();
        }
        Self {
            keys: grown("tenure_raft_proposed_operations_total") / transactions,
            bytes: grown("tenure_raft_proposed_bytes_total") / transactions,
            batch: transactions / entries,
        }
    }
}
