//! Planned changes of leadership. Openraft never clears a transfer whose target is dead or
//! behind, and until someone else is elected the leader then serves nothing: so the target
//! is chosen with care, the wait has a bound, and the next candidate overwrites it.

use std::{cmp::Reverse, sync::atomic::Ordering, time::Duration};

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::timeout;

use super::{Core, Node};
use crate::types::{LeaderId, NodeId};

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// This node does not lead.
    #[error("this node is not the leader")]
    NotLeader,
    /// No other voter is unsealed, reachable and able to catch up.
    #[error("no other voter is unsealed and caught up")]
    NoTarget,
    /// Another hand-over is under way.
    #[error("a hand-over is already under way")]
    Busy,
    /// No candidate took over. Leadership is open: the next election decides.
    #[error("no candidate took over in time")]
    Failed,
}

/// How long entries in flight are waited for.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// How long a target may take to catch up once nothing new is proposed.
const CATCH_UP_WAIT: Duration = Duration::from_secs(2);

impl Node {
    /// Hands leadership to `target`, or to the best candidate. Nothing acknowledged is lost,
    /// and what is queued here is refused as not applied, so that it can be sent on.
    ///
    /// # Errors
    /// See [`HandOverError`].
    pub async fn hand_over(&self, target: Option<NodeId>) -> Result<NodeId, HandOverError> {
        // A task of its own: a caller that goes must not leave a transfer half done.
        let node = self.clone();
        let task = tokio::spawn(async move { node.hand_over_now(target).await });
        task.await.unwrap_or(Err(HandOverError::Failed))
    }

    async fn hand_over_now(&self, target: Option<NodeId>) -> Result<NodeId, HandOverError> {
        let core = self.core().ok_or(HandOverError::NotLeader)?;
        let leadership = core.leadership().ok_or(HandOverError::NotLeader)?;
        if self.candidates(core, target).is_empty() {
            // A member that has just come may not have been asked yet.
            self.ask_peers(core).await;
            if self.candidates(core, target).is_empty() {
                return Err(HandOverError::NoTarget);
            }
        }
        if self.shared.transferring.swap(true, Ordering::AcqRel) {
            return Err(HandOverError::Busy);
        }
        let result = self.transfer(core, leadership, target).await;
        self.shared.transferring.store(false, Ordering::Release);
        result
    }

    async fn transfer(
        &self,
        core: &Core,
        leadership: LeaderId,
        target: Option<NodeId>,
    ) -> Result<NodeId, HandOverError> {
        if let Some(active) = self.shared.active.swap(None) {
            let _ = timeout(DRAIN_WAIT, active.sequencer.stop()).await;
        }
        let mut outcome = HandOverError::NoTarget;
        for candidate in self.candidates(core, target) {
            if !self.catch_up(core, candidate).await {
                continue;
            }
            tracing::info!(to = candidate, "handing over leadership");
            if core
                .raft
                .trigger()
                .transfer_leader(candidate)
                .await
                .is_err()
            {
                return Err(HandOverError::NotLeader);
            }
            if self.leadership_left(core, leadership).await {
                return Ok(candidate);
            }
            tracing::warn!(to = candidate, "the hand-over's target did not take over");
            outcome = HandOverError::Failed;
        }
        Err(outcome)
    }

    /// Unsealed voters that answered lately, the most caught up first.
    fn candidates(&self, core: &Core, target: Option<NodeId>) -> Vec<NodeId> {
        let metrics = core.raft.server_metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        let mut candidates: Vec<_> = membership
            .membership()
            .voter_ids()
            .filter(|id| *id != core.identity.node_id)
            .filter(|id| target.is_none_or(|target| target == *id))
            .filter_map(|id| Some((id, self.recent_sample(core, id)?)))
            .filter(|(_, sample)| sample.unsealed)
            .collect();
        candidates.sort_by_key(|(id, sample)| (Reverse(sample.last_log_index), *id));
        candidates.into_iter().map(|(id, _)| id).collect()
    }

    /// Waits until `candidate` has all of the log that this leader has.
    async fn catch_up(&self, core: &Core, candidate: NodeId) -> bool {
        let wait = core.raft.wait(Some(CATCH_UP_WAIT));
        let caught_up = wait.metrics(
            |now| {
                let matched = now
                    .replication
                    .as_ref()
                    .and_then(|all| all.get(&candidate).cloned().flatten());
                matched.map(|id| id.index()) >= now.last_log_index
            },
            "the hand-over's target catches up",
        );
        caught_up.await.is_ok()
    }

    async fn leadership_left(&self, core: &Core, leadership: LeaderId) -> bool {
        let wait = core.raft.wait(Some(self.shared.config.timing.lease() * 2));
        let left = wait.metrics(
            |now| now.current_term > leadership.term,
            "a new term begins",
        );
        left.await.is_ok()
    }
}
