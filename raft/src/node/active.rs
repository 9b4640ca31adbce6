//! Being active: the opening entry, the sequencer behind it, and the end of both. A leader
//! that was not activated, or whose activation ended, proposes nothing of ours.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use openraft::{
    Instant as _, ServerState, async_runtime::watch::WatchReceiver, vote::RaftLeaderId as _,
};
use tenure_proto::internal as wire;
use tokio::time::Instant;

use super::{Core, Node};
use crate::{
    batch::{Refusal, Sequencer, SubmitError, propose},
    limits::FORMAT,
    txn::Txn,
    types::{LeaderId, NodeId, Revision},
};

/// How long the opening entry may take to reach a quorum.
const OPENING_WAIT: Duration = Duration::from_secs(5);
/// How soon a refused opening entry is proposed again.
const OPENING_RETRY: Duration = Duration::from_millis(2);

/// One activation of this node.
pub(crate) struct Active {
    pub(super) term: u64,
    /// Cluster time at which it began.
    pub(super) since_ms: u64,
    pub(super) sequencer: Sequencer,
}

/// Why a leader did not become active.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// This node is not the leader.
    #[error("this node is not the leader")]
    NotLeader,
    /// The opening entry was not committed.
    #[error("the opening entry was not committed")]
    NotCommitted,
}

impl Node {
    /// Makes this leader active: commits its opening entry and starts the sequencer. After
    /// a sequencer ended, it may be called again in the same term.
    ///
    /// # Errors
    /// This node is not the leader, or no quorum took the entry.
    pub async fn activate(&self) -> Result<(), ActivateError> {
        let core = self.core().ok_or(ActivateError::NotLeader)?;
        let mut last = self.shared.activating.lock().await;
        let leader = core.leadership().ok_or(ActivateError::NotLeader)?;
        if self.is_active() {
            return Ok(());
        }
        if self.shared.transferring.load(Ordering::Acquire) {
            return Err(ActivateError::NotLeader);
        }
        self.deactivate();
        if let Some(last) = &*last {
            // Once it is quiet its entries precede the opening entry in the log, so that
            // waiting for that one is enough.
            last.abandon();
            tokio::time::timeout(OPENING_WAIT, last.quiet())
                .await
                .map_err(|_| ActivateError::NotCommitted)?;
        }
        // After a start nothing may be known of the others' clocks: what ended meanwhile must
        // not pass for a moment.
        if !self.correct_clock(core) {
            self.ask_peers(core).await;
        }
        let applied = core.state.applied();
        core.clock.anchor(applied.time_ms);
        let opening = wire::Command {
            format: FORMAT,
            time_ms: core.clock.now_ms(),
            first_revision: 0,
            transactions: Vec::new(),
            swap_in: None,
        };
        let deadline = Instant::now() + OPENING_WAIT;
        loop {
            let outcome = propose(&core.raft, &leader, &opening)
                .await
                .ok_or(ActivateError::NotLeader)?;
            match tokio::time::timeout_at(deadline, outcome).await {
                Ok(true) => break,
                // Just after an election raft may refuse for a moment. The entry changes
                // nothing, so that a second one does no harm.
                Ok(false) if core.leadership() == Some(leader) && Instant::now() < deadline => {
                    tokio::time::sleep(OPENING_RETRY).await;
                }
                Ok(false) | Err(_) => return Err(ActivateError::NotCommitted),
            }
        }
        if core.leadership() != Some(leader)
            || !self.shared.unsealed.load(Ordering::Acquire)
            || self.shared.transferring.load(Ordering::Acquire)
        {
            return Err(ActivateError::NotLeader);
        }
        let sequencer = Sequencer::start(
            core.raft.clone(),
            leader,
            core.state.applied().revision,
            Arc::clone(&core.clock),
            Arc::clone(&self.shared.proposed),
        );
        *last = Some(sequencer.clone());
        self.shared.active.store(Some(Arc::new(Active {
            term: leader.term,
            since_ms: core.clock.now_ms(),
            sequencer,
        })));
        self.clear_staging();
        Ok(())
    }

    /// Whether this node is active now: the leader of a term it was activated in, not
    /// handing over, and heard by a quorum lately.
    pub fn is_active(&self) -> bool {
        let Some(core) = self.core() else {
            return false;
        };
        let active = self.shared.active.load();
        let Some(active) = active.as_deref() else {
            return false;
        };
        !active.sequencer.is_stopped()
            && !self.shared.transferring.load(Ordering::Acquire)
            && core
                .leadership()
                .is_some_and(|leader| leader.term == active.term)
            && core.heard_by_quorum(self.shared.config.timing.lease() * 2)
    }

    /// Resolves when the current activation has ended; at once if there is none.
    pub async fn inactive(&self) {
        let active = self.shared.active.load_full();
        if let Some(active) = active {
            active.sequencer.ended().await;
        }
    }

    pub(super) fn deactivate(&self) {
        if let Some(active) = self.shared.active.swap(None) {
            active.sequencer.abandon();
        }
    }

    /// Commits a transaction on the active node: returns when it is applied here. After a
    /// conflict it returns when the change is applied, so that a new view shows it.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, txn: Txn, deadline: Instant) -> Result<Revision, SubmitError> {
        let active = self.shared.active.load_full();
        let (Some(active), Some(core)) = (active, self.core()) else {
            return Err(SubmitError::NotActive);
        };
        match active.sequencer.submit(txn, deadline).await {
            Ok(revision) => Ok(revision),
            Err(Refusal::Other(error)) => Err(error),
            Err(Refusal::Conflict { changed, .. }) => {
                Err(self.conflicted(core, &active, changed, deadline).await)
            }
        }
    }

    /// Waits until what conflicted can be read. On a leader that lost its quorum it never can.
    pub(super) async fn conflicted(
        &self,
        core: &Core,
        active: &Active,
        changed: Revision,
        deadline: Instant,
    ) -> SubmitError {
        let mut applied = core.state.watch_applied();
        loop {
            tokio::select! {
                biased;
                _ = applied.wait_for(|now| now.revision >= changed) => {
                    return SubmitError::Conflict;
                }
                () = active.sequencer.stopping() => return SubmitError::NotActive,
                () = tokio::time::sleep_until(deadline) => return SubmitError::Expired,
                () = tokio::time::sleep(self.shared.config.timing.lease()) => {
                    if !self.is_active() {
                        return SubmitError::NotActive;
                    }
                }
            }
        }
    }
}

impl Core {
    /// The committed leadership of this node, if it leads.
    pub(super) fn leadership(&self) -> Option<LeaderId> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        (metrics.state == ServerState::Leader
            && metrics.current_leader == Some(self.identity.node_id)
            && metrics.vote.is_committed())
        .then(|| metrics.vote.leader_id().to_committed())
    }

    /// Whether a quorum has acknowledged this leader within `age`. A single voter is its own
    /// quorum, and nobody acknowledges it.
    pub(super) fn heard_by_quorum(&self, age: Duration) -> bool {
        if self.is_single_voter() {
            return true;
        }
        let metrics = self.raft.data_metrics();
        let acked = metrics.borrow_watched().last_quorum_acked;
        acked.is_some_and(|at| at.elapsed() <= age)
    }
}

impl Core {
    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.server_metrics();
        let stored = metrics.borrow_watched().membership_config.clone();
        stored.membership().voter_ids().collect()
    }

    /// Whether this node is the only voter.
    pub(super) fn is_single_voter(&self) -> bool {
        self.voters().into_iter().eq([self.identity.node_id])
    }
}
