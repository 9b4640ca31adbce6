//! The counters of what this node proposed as the active one.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};
use tenure_raft::batch::ProposedCounts;

/// Counters that follow those of the store.
#[derive(Clone, Debug, Default)]
pub struct ProposedMetrics {
    entries: Counter,
    transactions: Counter,
    operations: Counter,
    bytes: Counter,
}

impl ProposedMetrics {
    /// Shows what the store counted. It never counts down.
    pub fn set(&self, counts: ProposedCounts) {
        for (counter, count) in [
            (&self.entries, counts.entries),
            (&self.transactions, counts.transactions),
            (&self.operations, counts.operations),
            (&self.bytes, counts.bytes),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            (
                "raft_proposed_entries",
                "Log entries proposed by this node as the active one",
                &self.entries,
            ),
            (
                "raft_proposed_transactions",
                "Transactions in the proposed entries",
                &self.transactions,
            ),
            (
                "raft_proposed_operations",
                "Puts, deletes and range deletes in the proposed transactions",
                &self.operations,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_with_unit(
            "raft_proposed",
            "Keys and values in the proposed transactions",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }
}
