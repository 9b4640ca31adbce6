//! The gauges of the replicated store. Holds what it is told, and asks nobody.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::proposed::ProposedMetrics;

/// What the node tells of its replicated store; set by whoever knows.
#[derive(Clone, Debug, Default)]
pub struct StoreMetrics {
    /// Current term.
    pub term: Gauge,
    /// Id of the leader, 0 while none is known.
    pub leader_id: Gauge,
    /// 1 while this node is the active one.
    pub active: Gauge,
    /// 1 while this node is unsealed.
    pub unsealed: Gauge,
    /// Index of the last applied entry.
    pub applied_index: Gauge,
    /// Revision of the last transaction.
    pub revision: Gauge,
    /// Bytes of log since the last snapshot.
    pub log_bytes: Gauge,
    /// What this node proposed as the active one.
    pub proposed: ProposedMetrics,
    rows_read: Counter,
    /// 1 while the expiration manager is held after a restore.
    pub expiration_held: Gauge,
    /// Voting members.
    pub voters: Gauge,
    /// This node's wall clock minus the voters' median, in milliseconds.
    pub clock_skew_ms: Gauge,
}

impl StoreMetrics {
    /// Shows how many rows of the state were read since the process began.
    pub fn set_rows_read(&self, rows: u64) {
        self.rows_read.inner().store(rows, Ordering::Relaxed);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let (term, leader) = (self.term.clone(), self.leader_id.clone());
        registry.register("raft_term", "Current term", term);
        registry.register(
            "raft_leader_id",
            "Id of the leader, 0 while none is known",
            leader,
        );
        registry.register(
            "active",
            "1 while this node is the active one",
            self.active.clone(),
        );
        registry.register(
            "unsealed",
            "1 while this node is unsealed",
            self.unsealed.clone(),
        );
        let applied = self.applied_index.clone();
        registry.register(
            "raft_applied_index",
            "Index of the last applied entry",
            applied,
        );
        registry.register(
            "revision",
            "Revision of the last transaction",
            self.revision.clone(),
        );
        let (bytes, voters) = (self.log_bytes.clone(), self.voters.clone());
        registry.register_with_unit(
            "raft_log",
            "Log since the last snapshot",
            Unit::Bytes,
            bytes,
        );
        registry.register("raft_voters", "Voting members", voters);
        registry.register(
            "expiration_held",
            "1 while the expiration manager is held after a restore",
            self.expiration_held.clone(),
        );
        self.proposed.register(registry);
        let rows_read = self.rows_read.clone();
        registry.register(
            "state_rows_read",
            "Rows of the state that were read",
            rows_read,
        );
        let unit = Unit::Other("milliseconds".into());
        let skew = self.clock_skew_ms.clone();
        registry.register_with_unit(
            "clock_skew",
            "Cluster time minus this wall clock",
            unit,
            skew,
        );
    }
}
