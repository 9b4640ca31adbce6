//! The task of the sequencer: takes proposals in order, builds entries of them, and answers. It
//! proposes a transaction once at most.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use openraft::{Raft, impls::ProgressResponder};
use prost::Message;
use tenure_proto::internal as wire;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ENTRIES_IN_FLIGHT_MAX, Proposal, Proposed, Refusal, Reply, SubmitError, lock};
use crate::{
    clock::ClusterClock,
    limits::{
        ENTRY_BYTES_MAX, ENTRY_TRANSACTIONS_MAX, FORMAT, RESTORE_REVISION_GAP,
        TRANSACTION_BYTES_MAX,
    },
    resolver::Resolver,
    state::StateMachine,
    txn::Op,
    types::{Command, LeaderId, Revision, TypeConfig},
};

pub(super) struct Task {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) leader: LeaderId,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) proposed: Proposed,
    pub(super) resolver: Resolver,
    pub(super) next_revision: Revision,
    /// Each resolves to whether its entry was applied, after answering its submitters.
    pub(super) in_flight: FuturesUnordered<BoxFuture<'static, bool>>,
}

impl Task {
    pub(super) async fn run(
        mut self,
        mut proposals: mpsc::Receiver<Proposal>,
        stop: CancellationToken,
        quiet: DropGuard,
    ) {
        let mut held = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(applied) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    // After a failure revisions can't be foretold: end this activation.
                    if !applied {
                        stop.cancel();
                    }
                }
                proposal = next(&mut held, &mut proposals),
                    if self.in_flight.len() < ENTRIES_IN_FLIGHT_MAX =>
                {
                    let Some(proposal) = proposal else { break };
                    if !self.propose(proposal, &mut held, &mut proposals).await {
                        stop.cancel();
                    }
                }
            }
        }
        drop(quiet);
        proposals.close();
        while let Some(proposal) = next(&mut held, &mut proposals).await {
            let _ = proposal.reply.send(Err(SubmitError::NotActive.into()));
        }
        while self.in_flight.next().await.is_some() {}
    }

    /// Builds one entry from `first` and what is queued behind it, and proposes it. False
    /// when nothing may follow it: raft has stopped, or a restore was proposed.
    async fn propose(
        &mut self,
        first: Proposal,
        held: &mut Option<Proposal>,
        proposals: &mut mpsc::Receiver<Proposal>,
    ) -> bool {
        let mut batch = Batch::default();
        self.admit(first, &mut batch);
        while batch.swap_in.is_none()
            && batch.transactions.len() < ENTRY_TRANSACTIONS_MAX
            && batch.bytes + TRANSACTION_BYTES_MAX <= ENTRY_BYTES_MAX
            && let Ok(next) = proposals.try_recv()
        {
            if next.swap_in.is_some() && !batch.transactions.is_empty() {
                *held = Some(next);
                break;
            }
            self.admit(next, &mut batch);
        }
        if batch.transactions.is_empty() {
            return true;
        }
        lock(&self.proposed).count(&batch);
        let command = wire::Command {
            format: FORMAT,
            time_ms: self.clock.now_ms(),
            first_revision: self.next_revision - batch.transactions.len() as u64,
            transactions: batch.transactions,
            swap_in: batch.swap_in,
        };
        let restores = command.swap_in.is_some();
        let replies = batch.replies;
        match propose(&self.raft, &self.leader, &command).await {
            Some(outcome) => {
                self.in_flight.push(Box::pin(async move {
                    let applied = outcome.await;
                    for (reply, revision) in replies {
                        let answer = if applied {
                            Ok(revision)
                        } else {
                            Err(SubmitError::MaybeApplied.into())
                        };
                        let _ = reply.send(answer);
                    }
                    applied
                }));
                !restores
            }
            None => {
                for (reply, _) in replies {
                    let _ = reply.send(Err(SubmitError::MaybeApplied.into()));
                }
                false
            }
        }
    }

    /// Gives a transaction its revision and its place in the batch, or sends it back.
    fn admit(&mut self, proposal: Proposal, batch: &mut Batch) {
        let Proposal {
            txn,
            swap_in,
            deadline,
            reply,
        } = proposal;
        if reply.is_closed() {
            return;
        }
        if deadline <= Instant::now() {
            let _ = reply.send(Err(SubmitError::Expired.into()));
            return;
        }
        let staged = swap_in.as_ref().map(|swap_in| &swap_in.staged);
        let staged = staged.and_then(|(at, pieces)| self.resolver.changed(*at, pieces));
        let read = self.resolver.changed(txn.read_revision, &txn.reads);
        if let Some(changed) = read.max(staged) {
            let staged = staged.is_some();
            let _ = reply.send(Err(Refusal::Conflict { changed, staged }));
            return;
        }
        if let Some(swap_in) = swap_in {
            // Above all revisions of the records that come: they only grow.
            let Some(first) = after_gap(self.next_revision.max(swap_in.revision)) else {
                let _ = reply.send(Err(SubmitError::NotActive.into()));
                return;
            };
            self.next_revision = first;
            batch.swap_in = Some(swap_in.message);
        }
        let revision = self.next_revision;
        self.next_revision += 1;
        batch.bytes += txn.size_bytes();
        let mut ops = txn.ops;
        // Apply gives the transaction this very revision: its entry says where it begins.
        ops.extend(txn.at_revision.into_iter().map(|row| row.put(revision)));
        self.resolver.record(revision, &ops);
        batch.replies.push((reply, revision));
        batch.transactions.push(encode(ops));
    }
}

/// Where the revisions of a restored state begin: above those that others may have been told of
/// since the file was saved, and nowhere that another restore of it begins. `None` without
/// randomness.
fn after_gap(revision: Revision) -> Option<Revision> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    let beyond = u64::from_le_bytes(random) % RESTORE_REVISION_GAP;
    Some(revision.saturating_add(RESTORE_REVISION_GAP + beyond))
}

#[derive(Default)]
pub(super) struct Batch {
    pub(super) transactions: Vec<wire::Transaction>,
    replies: Vec<(Reply, Revision)>,
    pub(super) bytes: usize,
    swap_in: Option<wire::SwapIn>,
}

/// What was held back, or the next one of the queue.
async fn next(
    held: &mut Option<Proposal>,
    proposals: &mut mpsc::Receiver<Proposal>,
) -> Option<Proposal> {
    match held.take() {
        Some(proposal) => Some(proposal),
        None => proposals.recv().await,
    }
}

/// Proposes an entry for one leadership. The future tells whether it was applied; `None`
/// when raft has stopped.
pub async fn propose(
    raft: &Raft<TypeConfig, StateMachine>,
    leader: &LeaderId,
    command: &wire::Command,
) -> Option<impl Future<Output = bool> + Send + 'static> {
    let bytes = Bytes::from(command.encode_to_vec());
    let (responder, outcome) = ProgressResponder::complete_only();
    raft.write(Command(bytes))
        .with_leader(*leader)
        .responder(responder)
        .await
        .ok()?;
    Some(async move {
        match outcome.await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "an entry was not applied");
                false
            }
            // Raft has stopped.
            Err(_) => false,
        }
    })
}

fn encode(ops: Vec<Op>) -> wire::Transaction {
    use wire::operation::Operation;
    let operations = ops
        .into_iter()
        .map(|op| wire::Operation {
            operation: Some(match op {
                Op::Put {
                    key,
                    value,
                    create_revision,
                } => Operation::Put(wire::Put {
                    key,
                    value,
                    create_revision,
                }),
                Op::Delete(key) => Operation::Delete(key),
                Op::DeleteRange(start, end) => {
                    Operation::DeleteRange(wire::KeyRange { start, end })
                }
            }),
        })
        .collect();
    wire::Transaction { operations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_restores_of_a_file_share_revisions() {
        let [one, other] = [after_gap(7), after_gap(7)];
        assert_ne!(one, other);
        let gap = 7 + RESTORE_REVISION_GAP..7 + 2 * RESTORE_REVISION_GAP;
        for first in [one, other] {
            assert!(first.is_some_and(|first| gap.contains(&first)));
        }
    }
}
