//! What a node tells of itself and of its peers. Facts only; decides nothing.

use std::{io, sync::atomic::Ordering, time::Duration};

use openraft::async_runtime::watch::WatchReceiver;

use super::{Core, Node, duties::POLL_EVERY};
use crate::batch::{self, ProposedCounts};
use crate::files;
use crate::types::{Member, NodeId, Revision};

/// Nothing is known of the disk.
pub(super) const FREE_UNKNOWN: u64 = u64::MAX;

/// What a peer said of itself, and when.
#[derive(Clone, Debug)]
pub(crate) struct PeerSample {
    /// Its wall clock, milliseconds since the epoch.
    pub wall_ms: u64,
    /// This node's boot time when it said so.
    pub at: Duration,
    pub unsealed: bool,
    pub applied_index: u64,
    pub last_log_index: u64,
    pub version: String,
    /// Bytes that are free on its disk, if it says so.
    pub disk_free: Option<u64>,
}

/// A member as this node sees it.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Name, addresses, key.
    pub member: Member,
    /// Whether it votes (a learner doesn't).
    pub voter: bool,
    /// Whether it is the leader.
    pub leader: bool,
    /// Whether it is unsealed; `None` when it didn't answer lately.
    pub unsealed: Option<bool>,
    /// Its applied index, when it answered lately.
    pub applied_index: Option<u64>,
    /// Its version, when it answered lately.
    pub version: Option<String>,
}

/// A node's view of itself and its cluster.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// This node.
    pub id: NodeId,
    /// Current term.
    pub term: u64,
    /// Leader, if known.
    pub leader: Option<NodeId>,
    /// Whether this node is active.
    pub active: bool,
    /// Since when it is, milliseconds of cluster time since the epoch; `None` if it isn't.
    pub active_since_ms: Option<u64>,
    /// Last index in the log.
    pub last_log_index: u64,
    /// Last index known to be committed.
    pub committed_index: u64,
    /// Last applied index.
    pub applied_index: u64,
    /// Bytes of log since the last snapshot.
    pub log_bytes: u64,
    /// Index covered by the last snapshot.
    pub snapshot_index: Option<u64>,
    /// Revision of the state.
    pub revision: Revision,
    /// Cluster time, milliseconds since the epoch.
    pub cluster_time_ms: u64,
    /// This node's wall clock minus the voters' median, milliseconds.
    pub clock_skew_ms: i64,
    /// Cluster time minus the voters' median, milliseconds.
    pub time_ahead_ms: i64,
    /// What this node has proposed since it started.
    pub proposed: ProposedCounts,
    /// Rows of the state that were read on this node since it started.
    pub rows_read: u64,
    /// All members.
    pub members: Vec<MemberStatus>,
}

/// A peer that was silent for longer is unknown.
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(3);

impl Node {
    /// Facts about this node and its cluster; `None` until it belongs to one.
    pub fn status(&self) -> Option<NodeStatus> {
        let core = self.core()?;
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let applied = core.state.applied();
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let members = membership
            .nodes()
            .map(|(id, member)| {
                let sample = self.recent_sample(core, *id);
                let own = *id == core.identity.node_id;
                MemberStatus {
                    id: *id,
                    member: member.clone(),
                    voter: voters.contains(id),
                    leader: metrics.current_leader == Some(*id),
                    unsealed: if own {
                        Some(self.shared.unsealed.load(Ordering::Acquire))
                    } else {
                        sample.as_ref().map(|sample| sample.unsealed)
                    },
                    applied_index: if own {
                        Some(applied.index)
                    } else {
                        sample.as_ref().map(|sample| sample.applied_index)
                    },
                    version: if own {
                        Some(env!("CARGO_PKG_VERSION").to_owned())
                    } else {
                        sample.map(|sample| sample.version)
                    },
                }
            })
            .collect();
        let active = self.is_active();
        let since = self.shared.active.load();
        let since = since.as_deref().map(|active| active.since_ms);
        Some(NodeStatus {
            id: core.identity.node_id,
            term: metrics.current_term,
            leader: metrics.current_leader,
            active,
            active_since_ms: since.filter(|_| active),
            last_log_index: metrics.last_log_index.unwrap_or(0),
            committed_index: metrics.cluster_committed.map_or(0, |id| id.index()),
            applied_index: applied.index,
            log_bytes: core.log.bytes_since_purge(),
            snapshot_index: metrics.snapshot.map(|id| id.index()),
            revision: applied.revision,
            cluster_time_ms: core.clock.now_ms(),
            clock_skew_ms: core.clock.skew_ms(),
            time_ahead_ms: core.clock.ahead_ms(),
            proposed: *batch::lock(&self.shared.proposed),
            rows_read: core.state.rows_read(),
            members,
        })
    }

    /// Whether there is a leader that answered lately: what a standby needs to serve.
    pub fn has_live_leader(&self) -> bool {
        self.core().is_some_and(|core| self.leader_lives(core))
    }

    /// Looks again and again at how much of the disk is free. A disk that hangs holds up this duty
    /// alone, and one thread.
    pub(super) async fn look_at_disk(self) {
        loop {
            let dir = self.shared.config.data_dir.clone();
            let free = tokio::task::spawn_blocking(move || files::free_bytes(&dir)).await;
            let free = free.ok().and_then(Result::ok).unwrap_or(FREE_UNKNOWN);
            self.shared.disk_free.store(free, Ordering::Relaxed);
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Bytes that were free on the disk of this node at the last look.
    pub(super) fn last_disk_free(&self) -> Option<u64> {
        let free = self.shared.disk_free.load(Ordering::Relaxed);
        (free != FREE_UNKNOWN).then_some(free)
    }

    /// Bytes that are free on the disk of this node, and on those of the members that said so lately,
    /// with their names.
    pub(super) async fn free_of_members(&self) -> io::Result<Vec<(String, u64)>> {
        let dir = self.shared.config.data_dir.clone();
        let own = tokio::task::spawn_blocking(move || files::free_bytes(&dir)).await;
        let mut free = vec![("this node".to_owned(), own.map_err(io::Error::other)??)];
        let Some(core) = self.core() else {
            return Ok(free);
        };
        let stored = core
            .raft
            .server_metrics()
            .borrow_watched()
            .membership_config
            .clone();
        free.extend(stored.membership().nodes().filter_map(|(id, member)| {
            let sample = self.recent_sample(core, *id)?;
            Some((member.name.clone(), sample.disk_free?))
        }));
        Ok(free)
    }

    pub(super) fn recent_sample(&self, core: &Core, id: NodeId) -> Option<PeerSample> {
        let now = core.clock.boottime();
        let sample = self.shared.samples().get(&id).cloned()?;
        (now.saturating_sub(sample.at) <= SAMPLE_AGE_MAX).then_some(sample)
    }
}
