//! Every openraft option that we rely on, with its value and its reason. (RocksDB's are in
//! `rocks.rs`.) Library defaults aren't decisions: what is not named here doesn't matter
//! to us.

use std::{sync::Arc, time::Duration};

use openraft::{Config, SnapshotPolicy, StepDownPolicy, raft::linearizable_read::LinearizerOption};

/// Log bytes after which a snapshot is taken, unless a node is told otherwise: a restart replays
/// at most about so much (a second's work), and a log of small records isn't checkpointed all
/// the time.
pub const SNAPSHOT_LOG_BYTES: u64 = 64 << 20;
/// Log entries kept behind a snapshot, unless a node is told otherwise (as in Vault): a node that
/// was away for a moment catches up by the log, and needs no snapshot.
pub const ENTRIES_KEPT: u64 = 10_000;

/// Raft's timing. All nodes of a cluster should agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Shortest election timeout, milliseconds.
    pub election_min_ms: u64,
    /// Longest election timeout, milliseconds: also the leader lease that voters promise.
    pub election_max_ms: u64,
}

impl Default for Timing {
    /// Measured on two cores shared by three nodes and their load: a failover gap below a
    /// second and no false election. (Shorter timeouts fail over faster, and elect falsely
    /// when a machine stalls for 150 ms.)
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 250,
            election_max_ms: 500,
        }
    }
}

impl Timing {
    /// How long a voter refuses other candidates after it heard its leader.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.election_max_ms)
    }

    /// How old a quorum's acknowledgement may be for a lease read: well inside the lease,
    /// so that clocks that run at slightly different rates do no harm.
    pub fn read_lease(&self) -> Duration {
        self.lease() * 3 / 5
    }

    /// A sealed node stands for election only after so long without a leader.
    pub fn last_resort(&self) -> Duration {
        self.lease() * 6
    }
}

/// The configuration of openraft. `entries_kept` stay in the log behind a snapshot: a follower
/// that was away for a moment catches up from them.
///
/// # Errors
/// The timing is impossible (heartbeat not well below the election timeout…).
pub fn raft_config(
    timing: Timing,
    entries_kept: u64,
) -> Result<Arc<Config>, openraft::ConfigError> {
    let config = Config {
        cluster_name: "tenure".to_owned(),
        heartbeat_interval: timing.heartbeat_ms,
        // A replication round proves what a heartbeat proves: under load, send fewer.
        heartbeat_min_interval: Some(timing.heartbeat_ms),
        election_timeout_min: timing.election_min_ms,
        election_timeout_max: timing.election_max_ms,
        // A node that can't win must not raise the term and disturb a healthy leader.
        enable_pre_vote: Some(true),
        // Sealed nodes don't stand: `Node` switches this on when the node is unsealed.
        enable_elect: false,
        enable_tick: true,
        enable_heartbeat: true,
        // Entries differ in size by orders of magnitude: `Node` triggers snapshots by bytes.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: entries_kept,
        purge_batch_size: 256,
        // Beyond this lag a follower is sent a snapshot, if the log it lacks is gone.
        replication_lag_threshold: 50_000,
        max_payload_entries: 512,
        max_append_entries: Some(1024),
        // Whoever removes a leader hands over first; a removed leader must not pick any
        // voter by itself (it could be sealed).
        removed_leader_step_down: StepDownPolicy::Never,
        // A restarted leader stands again. It may have sent entries that its own disk never
        // got; leading on in the same term it would put others at the same places.
        enable_leader_restore: Some(false),
        // Never true in production: a log that went back is a lost disk, see `marker`.
        allow_log_reversion: Some(false),
        // A snapshot of gigabytes takes minutes; the transport has its own idle deadline.
        install_snapshot_timeout: 3_600_000,
        // Reach a node soon after it is back.
        backoff: "50ms 100ms ..500ms".to_owned(),
        reset_backoff_on_transfer_leader: Some(true),
        ..Config::default()
    };
    Ok(Arc::new(config.validate()?))
}

/// A read under the leader lease: heartbeats are sent if the last acknowledgement is too
/// old, and the read waits for them.
pub fn lease_read(timing: Timing, wait: Duration) -> LinearizerOption {
    LinearizerOption::new(Some(timing.read_lease()), true).with_wait_timeout(wait)
}

/// A read confirmed by a quorum that was asked after the read began.
pub fn quorum_read(wait: Duration) -> LinearizerOption {
    LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(wait)
}
