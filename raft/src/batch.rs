//! The sequencer of the active node: takes transactions in order, sends back those whose
//! reads no longer hold, and puts what is already queued into one log entry (group commit;
//! it never waits to fill a batch). Entries are proposed for one leadership only (the
//! fence): a leader that lost power can't write what it decided before.
//!
//! **Invariant:** a transaction is proposed at most once. When its entry's fate is unknown
//! the submitter is told so, and nothing here tries again.

mod task;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::FuturesUnordered;
use openraft::Raft;
use tenure_proto::internal as wire;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::task::propose;
use self::task::{Batch, Task};
use crate::{
    clock::ClusterClock,
    limits::TRANSACTION_BYTES_MAX,
    resolver::Resolver,
    state::StateMachine,
    txn::{ReadSet, Txn},
    types::{LeaderId, Revision, TypeConfig},
};

/// Entries proposed and not yet applied. Two keep the disk busy while the next batch fills;
/// more would make batches smaller (eight were measured to lose).
pub const ENTRIES_IN_FLIGHT_MAX: usize = 2;
/// Transactions waiting for the sequencer; beyond it submitters are refused at once.
pub const QUEUED_MAX: usize = 8_192;

/// Why a transaction has no revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Something that it read has changed since. Nothing was applied: read again and retry.
    #[error("a record that the transaction read was changed in the meantime")]
    Conflict,
    /// This node is not active. Nothing was applied.
    #[error("this node is not the active one")]
    NotActive,
    /// The deadline passed before it was proposed. Nothing was applied.
    #[error("the deadline passed before the transaction was proposed")]
    Expired,
    /// Leadership or the node was lost while the entry was on its way.
    #[error(
        "leadership changed while the transaction was being committed: it may have been applied"
    )]
    MaybeApplied,
    /// The transaction exceeds its size limit. Nothing was applied.
    #[error("the transaction has {bytes} bytes; the limit is {TRANSACTION_BYTES_MAX}")]
    TooLarge {
        /// Bytes of its keys and values.
        bytes: usize,
    },
    /// Too many transactions wait. Nothing was applied.
    #[error("too many transactions are waiting")]
    Overloaded,
}

/// Staged pieces of a backup that take the place of all records above the seam, before the
/// transaction's own writes.
pub(crate) struct SwapIn {
    pub message: wire::SwapIn,
    /// Revision of the state that was saved: that of the transaction will be above it.
    pub revision: Revision,
    /// The pieces, which nobody may have touched since they were read at this revision. What the
    /// transaction itself has read is another matter, and may be newer.
    pub staged: (Revision, ReadSet),
}

/// What the sequencer says instead of a revision.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Something that was read changed. `changed` is the revision of the newest change. It may
    /// not be applied yet; a state that is older would conflict again. `staged`: what a restore
    /// staged was touched, and a new state doesn't help.
    Conflict { changed: Revision, staged: bool },
    /// Anything else.
    Other(SubmitError),
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        Self::Other(error)
    }
}

/// What a node's sequencers have proposed since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProposedCounts {
    /// Log entries.
    pub entries: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Puts, deletes and range deletes in those.
    pub operations: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl ProposedCounts {
    fn count(&mut self, batch: &Batch) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let operations = batch.transactions.iter().map(|txn| txn.operations.len());
        self.entries += 1;
        self.transactions += number(batch.transactions.len());
        self.operations += number(operations.sum());
        self.bytes += number(batch.bytes);
    }
}

/// The counts of all sequencers of a node, one after the other.
pub(crate) type Proposed = Arc<Mutex<ProposedCounts>>;

/// The counts, to read or to add to.
pub(crate) fn lock(proposed: &Proposed) -> MutexGuard<'_, ProposedCounts> {
    proposed.lock().unwrap_or_else(PoisonError::into_inner)
}

type Reply = oneshot::Sender<Result<Revision, Refusal>>;

struct Proposal {
    txn: Txn,
    /// Then it has an entry of its own, and is the last one of its sequencer: what was planned
    /// on the state before must not reach the one after.
    swap_in: Option<SwapIn>,
    deadline: Instant,
    reply: Reply,
}

/// A handle to the sequencer of one activation.
#[derive(Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<Proposal>,
    stop: CancellationToken,
    quiet: CancellationToken,
    done: CancellationToken,
}

impl Sequencer {
    /// Starts a sequencer for one leadership. `applied` is the revision of the state after
    /// this leadership's own opening entry: nothing of the log before it is unapplied.
    pub(crate) fn start(
        raft: Raft<TypeConfig, StateMachine>,
        leader: LeaderId,
        applied: Revision,
        clock: Arc<ClusterClock>,
        proposed: Proposed,
    ) -> Self {
        let (queue, proposals) = mpsc::channel(QUEUED_MAX);
        let sequencer = Self {
            queue,
            stop: CancellationToken::new(),
            quiet: CancellationToken::new(),
            done: CancellationToken::new(),
        };
        let task = Task {
            raft,
            leader,
            clock,
            proposed,
            resolver: Resolver::new(applied),
            next_revision: applied + 1,
            in_flight: FuturesUnordered::new(),
        };
        let (stop, done) = (sequencer.stop.clone(), sequencer.done.clone());
        let quiet = sequencer.quiet.clone().drop_guard();
        tokio::spawn(async move {
            let _finished = done.drop_guard();
            task.run(proposals, stop, quiet).await;
        });
        sequencer
    }

    /// Commits a transaction and returns its revision once it is applied here.
    ///
    /// # Errors
    /// See [`SubmitError`]; all but `MaybeApplied` promise that nothing was applied.
    pub(crate) async fn submit(&self, txn: Txn, deadline: Instant) -> Result<Revision, Refusal> {
        self.submit_with(txn, None, deadline).await
    }

    /// Like [`Self::submit`], and swaps in staged pieces first; the sequencer then ends.
    ///
    /// # Errors
    /// See [`SubmitError`]; all but `MaybeApplied` promise that nothing was applied.
    pub(crate) async fn submit_with(
        &self,
        txn: Txn,
        swap_in: Option<SwapIn>,
        deadline: Instant,
    ) -> Result<Revision, Refusal> {
        let bytes = txn.size_bytes();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes }.into());
        }
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal {
            txn,
            swap_in,
            deadline,
            reply,
        };
        match self.queue.try_send(proposal) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(SubmitError::Overloaded.into()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(SubmitError::NotActive.into());
            }
        }
        // Past the deadline the entry may still be on its way; so may it be if the task died.
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(SubmitError::MaybeApplied.into()),
        }
    }

    /// Stops proposing. What is queued is refused as not applied, what is in flight is
    /// waited for. Returns when all of it has an answer.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.done.cancelled().await;
    }

    /// Stops proposing, without waiting.
    pub fn abandon(&self) {
        self.stop.cancel();
    }

    /// Resolves when nothing more is proposed: all that ever was is in raft's queue. Until
    /// then no other sequencer may start in the same term, or both give out one revision.
    pub async fn quiet(&self) {
        self.quiet.cancelled().await;
    }

    /// Whether the sequencer has ended: by `stop`, or because a proposal failed.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled() || self.done.is_cancelled()
    }

    /// Resolves when nothing new is proposed any more. What is in flight may stay there as
    /// long as no quorum is heard.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Resolves when the sequencer has ended.
    pub async fn ended(&self) {
        self.done.cancelled().await;
    }
}
