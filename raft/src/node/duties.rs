//! What a node does without being asked: follow leadership and membership, ask its peers
//! how they are, keep cluster time right, make snapshots, stand for election when it may,
//! bring learners in, and let go of leadership that it can't use.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use openraft::{ChangeMembers, ServerState, async_runtime::watch::WatchReceiver};
use tenure_proto::internal as wire;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Core, Leadership, Node, status::PeerSample};
use crate::{clock::SKEW_YIELD_MS, codec, types::NodeId};

/// How often peers are asked how they are.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(500);
/// How long a peer may take to say it.
const POLL_WAIT: Duration = Duration::from_millis(400);
/// How often the other duties are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Voters that lost the leader stand this far apart.
const STAND_APART: Duration = Duration::from_millis(30);
/// A learner this close to the leader's log becomes a voter.
const CAUGHT_UP_ENTRIES: u64 = 64;
/// How long one change of membership may take before it is looked at again.
const MEMBERSHIP_WAIT: Duration = Duration::from_secs(10);
/// A leader with a wrong clock yields at most so often.
const YIELD_EVERY: Duration = Duration::from_secs(60);

impl Node {
    /// Starts the duties; they end with the node.
    pub(super) fn start_duties(&self) {
        let tasks: [fn(Node) -> futures_util::future::BoxFuture<'static, ()>; 6] = [
            |node| Box::pin(async move { node.follow_raft().await }),
            |node| Box::pin(async move { node.follow_time().await }),
            |node| Box::pin(async move { node.poll_peers().await }),
            |node| Box::pin(async move { node.look_at_disk().await }),
            |node| Box::pin(async move { node.follow_connections().await }),
            |node| Box::pin(async move { node.tick().await }),
        ];
        for task in tasks {
            let node = self.clone();
            let stop = self.shared.stop.clone();
            tokio::spawn(stop.run_until_cancelled_owned(task(node)));
        }
    }

    /// Who may speak to this node: the members that raft knows.
    pub(super) fn trust_members(&self) {
        let Some(core) = self.core() else { return };
        let metrics = core.raft.server_metrics();
        let stored = metrics.borrow_watched().membership_config.clone();
        // A node that has just joined knows no members until its log does.
        if stored.membership().nodes().next().is_some() {
            self.shared.peers.follow(&stored);
        }
    }

    async fn follow_raft(self) {
        let Some(core) = self.core() else { return };
        let mut metrics = core.raft.server_metrics();
        loop {
            self.trust_members();
            let leadership = {
                let now = metrics.borrow_and_update();
                Leadership {
                    term: now.vote.leader_id().term,
                    leader: now.current_leader,
                    is_leader: now.state == ServerState::Leader
                        && now.current_leader == Some(core.identity.node_id),
                }
            };
            let active_term = self.shared.active.load().as_ref().map(|active| active.term);
            if active_term.is_some_and(|term| !leadership.is_leader || term != leadership.term) {
                self.deactivate();
            }
            self.shared.leadership.send_if_modified(|known| {
                let changed = *known != leadership;
                *known = leadership;
                changed
            });
            if metrics.changed().await.is_err() {
                tracing::error!("raft has stopped: this node must restart");
                self.deactivate();
                self.shared.stop.cancel();
                return;
            }
        }
    }

    /// A connection that closes tells that its process died long before a timeout does. The
    /// lease that was promised to the leader still holds; what is saved is the random part
    /// of the wait for an election. Voters stand one after the other, so that they don't
    /// split the votes.
    async fn follow_connections(self) {
        let Some(core) = self.core() else { return };
        let mut disconnects = self.shared.peers.disconnects();
        loop {
            let lost = match disconnects.recv().await {
                Ok(lost) => lost,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            let leader = core.raft.server_metrics().borrow_watched().current_leader;
            let own = core.identity.node_id;
            let voters = core.voters();
            if leader != Some(lost) || lost == own || !voters.contains(&own) {
                continue;
            }
            let rank = voters
                .iter()
                .filter(|id| **id < own && **id != lost)
                .count();
            let wait = self.shared.config.timing.lease() + STAND_APART * (rank as u32 + 1);
            tokio::time::sleep(wait).await;
            let still = core.raft.server_metrics().borrow_watched().current_leader;
            if still == Some(lost) && self.may_stand(core) {
                let _ = core.raft.trigger().elect(true).await;
            }
        }
    }

    /// Entries carry cluster time: never be behind it.
    async fn follow_time(self) {
        let Some(core) = self.core() else { return };
        let mut applied = core.state.watch_applied();
        loop {
            let time_ms = applied.borrow_and_update().time_ms;
            core.clock.anchor(time_ms);
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    async fn poll_peers(self) {
        let Some(core) = self.core() else { return };
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.ask_peers(core).await;
        }
    }

    /// Asks all peers how they are, and corrects the clock by what they say.
    pub(super) async fn ask_peers(&self, core: &Core) {
        let members: Vec<NodeId> = {
            let metrics = core.raft.server_metrics();
            let stored = metrics.borrow_watched().membership_config.clone();
            stored.membership().nodes().map(|(id, _)| *id).collect()
        };
        let own = core.identity.node_id;
        let asked = members
            .iter()
            .filter(|id| **id != own)
            .map(|id| async move {
                let mut client = self.shared.peers.raft_client(*id).ok()?;
                let answer = timeout(POLL_WAIT, client.status(wire::PeerStatusRequest {})).await;
                let answer = answer.ok()?.ok()?.into_inner();
                let sample = PeerSample {
                    wall_ms: answer.wall_clock_ms,
                    at: core.clock.boottime(),
                    unsealed: answer.unsealed,
                    applied_index: answer.applied_index,
                    last_log_index: answer.last_log_index,
                    version: answer.version,
                    disk_free: answer.disk_free_bytes,
                };
                Some((*id, sample))
            });
        let answers = futures_util::future::join_all(asked).await;
        {
            let mut samples = self.shared.samples();
            samples.retain(|id, _| members.contains(id));
            samples.extend(answers.into_iter().flatten());
        }
        self.correct_clock(core);
    }

    /// Corrects cluster time by what is known of the voters' clocks.
    /// Whether enough of them were known.
    pub(super) fn correct_clock(&self, core: &Core) -> bool {
        let own = core.identity.node_id;
        let voters = core.voters();
        let mut clocks: Vec<u64> = voters
            .iter()
            .filter(|id| **id != own)
            .filter_map(|id| {
                let sample = self.recent_sample(core, *id)?;
                let age = core.clock.boottime().saturating_sub(sample.at);
                Some(sample.wall_ms + u64::try_from(age.as_millis()).ok()?)
            })
            .collect();
        if voters.contains(&own) {
            clocks.push(core.clock.wall_ms());
        }
        core.clock.observe(&clocks, voters.len());
        clocks.len() > voters.len() / 2
    }

    async fn tick(self) {
        let Some(core) = self.core() else { return };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaderless_since = Instant::now();
        let mut yielded: Option<Instant> = None;
        loop {
            ticks.tick().await;
            if core.log.bytes_since_purge() >= self.shared.config.snapshot_log_bytes {
                self.snapshot().await;
            }
            self.stand_if_allowed().await;
            self.finish_alone(core).await;
            if self.leader_lives(core) {
                leaderless_since = Instant::now();
            } else if leaderless_since.elapsed() > self.shared.config.timing.last_resort() {
                self.stand_as_last_resort(core).await;
                leaderless_since = Instant::now();
            }
            if core.leadership().is_none() {
                continue;
            }
            if !self.shared.unsealed.load(Ordering::Acquire) {
                // It can't be active: let an unsealed voter lead.
                let _ = self.hand_over(None).await;
                continue;
            }
            let skewed = core.clock.skew_ms().unsigned_abs() > SKEW_YIELD_MS;
            if skewed && yielded.is_none_or(|at| at.elapsed() > YIELD_EVERY) {
                yielded = Some(Instant::now());
                tracing::warn!(
                    skew_ms = core.clock.skew_ms(),
                    "this node's clock is far from the others': giving up leadership"
                );
                let _ = self.hand_over(None).await;
                continue;
            }
            let _ = timeout(MEMBERSHIP_WAIT, self.settle_membership(core)).await;
        }
    }

    /// Whether this node may stand for election by itself: unsealed, and past the lease that
    /// a restart forgot (a single voter promised nothing).
    fn may_stand(&self, core: &Core) -> bool {
        let quiet = core.started.elapsed() <= self.shared.config.timing.lease();
        self.shared.unsealed.load(Ordering::Acquire) && (!quiet || core.is_single_voter())
    }

    /// Tells raft whether it may stand.
    pub(super) async fn stand_if_allowed(&self) {
        let Some(core) = self.core() else { return };
        let allowed = self.may_stand(core);
        core.raft.runtime_config().elect(allowed);
        if allowed && core.is_single_voter() && core.leadership().is_none() {
            let _ = core.raft.trigger().elect(true).await;
        }
    }

    /// A single voter applies the end of its log only once it leads; sealed, it doesn't stand
    /// by itself, and what it lacks may be the keyring that unseals it. It proposes nothing.
    async fn finish_alone(&self, core: &Core) {
        let behind = core.state.applied().index < core.log.last_index();
        if behind && core.is_single_voter() && core.leadership().is_none() {
            let _ = core.raft.trigger().elect(true).await;
        }
    }

    /// Whether there is a leader that answers. (Raft goes on naming one that died.)
    pub(super) fn leader_lives(&self, core: &Core) -> bool {
        let leader = core.raft.server_metrics().borrow_watched().current_leader;
        leader
            .is_some_and(|id| id == core.identity.node_id || self.recent_sample(core, id).is_some())
    }

    /// A sealed voter stands only when nobody else has for long: it may hold the longest
    /// log. (A sealed single node simply waits.)
    async fn stand_as_last_resort(&self, core: &Core) {
        let votes = core.voters().contains(&core.identity.node_id);
        let sealed = !self.shared.unsealed.load(Ordering::Acquire);
        if votes && sealed && !core.is_single_voter() {
            tracing::info!("no leader for long: standing for election although sealed");
            let _ = core.raft.trigger().elect(true).await;
        }
    }

    /// Finishes a change of membership that a lost leader left half done, and makes learners
    /// that have caught up voters. A learner that came back under the name of an older
    /// member replaces it in the same change.
    async fn settle_membership(&self, core: &Core) {
        let Ok(_alone) = self.shared.membership.try_lock() else {
            return;
        };
        let metrics = core.raft.metrics();
        let (stored, replication, last) = {
            let now = metrics.borrow_watched();
            (
                now.membership_config.clone(),
                now.replication.clone().unwrap_or_default(),
                now.last_log_index.unwrap_or(0),
            )
        };
        let membership = stored.membership();
        if let [_, target] = membership.get_joint_config().as_slice() {
            let target = target.clone();
            if let Err(error) = core.raft.change_membership(target, false).await {
                tracing::warn!(%error, "a half done change of membership could not be finished");
            }
            return;
        }
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let ready = membership.nodes().find(|(id, _)| {
            let matched = replication.get(*id).cloned().flatten();
            !voters.contains(*id)
                && matched.is_some_and(|at| at.index() + CAUGHT_UP_ENTRIES >= last)
        });
        let Some((id, member)) = ready else { return };
        let replaced: BTreeSet<NodeId> = membership
            .nodes()
            .filter(|(other, known)| *other < id && known.name == member.name)
            .map(|(other, _)| *other)
            .collect();
        if replaced.contains(&core.identity.node_id) {
            // Two members of one name, and this one leads: it must let go first.
            let _ = self.hand_over(None).await;
            return;
        }
        let mut target: BTreeSet<NodeId> = voters.difference(&replaced).copied().collect();
        target.insert(*id);
        tracing::info!(
            node = id,
            name = member.name,
            ?replaced,
            "a learner becomes a voter"
        );
        let changed = core.raft.change_membership(target, false).await;
        if let Err(error) = changed {
            tracing::warn!(%error, node = id, "the learner could not be made a voter");
            return;
        }
        // Learners of the same name that never became voters.
        let stale: BTreeSet<NodeId> = replaced.difference(&voters).copied().collect();
        if !stale.is_empty() {
            let change = ChangeMembers::RemoveNodes(stale);
            let _ = core.raft.change_membership(change, false).await;
        }
    }

    /// Takes a member out of the cluster. The leader must hand over before it is removed.
    ///
    /// # Errors
    /// Not the leader, no such member, the last voter, or no quorum.
    pub async fn remove(&self, id: NodeId) -> Result<(), RemoveError> {
        let core = self.core().ok_or(RemoveError::NotLeader)?;
        core.leadership().ok_or(RemoveError::NotLeader)?;
        if id == core.identity.node_id {
            return Err(RemoveError::Leader);
        }
        let _alone = self.shared.membership.lock().await;
        // Its join token must not let it in again.
        let forgotten = self.forget_join_tokens(id).await;
        forgotten.map_err(|error| RemoveError::Failed(error.to_string()))?;
        let stored = core
            .raft
            .server_metrics()
            .borrow_watched()
            .membership_config
            .clone();
        let membership = stored.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        if !membership.nodes().any(|(known, _)| *known == id) {
            return Err(RemoveError::Unknown);
        }
        let failed = |error: String| RemoveError::Failed(error);
        if voters.contains(&id) {
            let rest: BTreeSet<NodeId> = voters.into_iter().filter(|voter| *voter != id).collect();
            let change = core.raft.change_membership(rest, false);
            change.await.map_err(|error| failed(error.to_string()))?;
        } else {
            let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            let change = core.raft.change_membership(change, false);
            change.await.map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    /// The membership as it is on the wire, for the layer above.
    pub fn membership(&self) -> Option<wire::Membership> {
        let core = self.core()?;
        let stored = core
            .raft
            .server_metrics()
            .borrow_watched()
            .membership_config
            .clone();
        Some(codec::membership_to_proto(stored.membership()))
    }
}

/// Why a member was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Only the leader changes membership.
    #[error("this node is not the leader")]
    NotLeader,
    /// The leader itself: hand over first.
    #[error("the leader can't be removed: step it down first")]
    Leader,
    /// No such member.
    #[error("no member has this id")]
    Unknown,
    /// Raft refused.
    #[error("{0}")]
    Failed(String),
}
