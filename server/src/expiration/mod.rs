//! The expiration manager: what the active node does behind the calls. It clears away tokens,
//! leases and kept answers that have ended, and what revocations left. Refusal never waits
//! for it.
//!
//! It reads only the head of the time index, from a cursor on, in bounded batches, and sleeps
//! until the next row is due: becoming active costs the same with ten leases and with ten
//! million, and its memory doesn't grow with them. Each step is a transaction like any other,
//! and rests on the records as they are then, so that a node that lost power changes nothing
//! and a renewed lease is left alone.

mod head;
mod rounds;

use std::{sync::Arc, time::Duration};

use tenure_core::{
    lease, quota,
    state::{Due, DueKind, ExpirationHolds, LeaseQuotas, Reads, Store, Txn, View, read_plain},
    token,
    types::{UnixMillis, limits::CLEANUP_ROWS_MAX},
};
use tenure_raft::batch::SubmitError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::head::DueHead;
use self::rounds::{Done, Kind, Rounds};
use crate::{
    error::Error,
    pipeline::{Pinned, Pipeline, StateView, transaction},
    random::SystemRandom,
    seal::Unsealed,
};

/// The longest sleep: cluster time may be corrected forwards meanwhile.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// How long it waits after a step that failed.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long one step may take.
const STEP_WAIT: Duration = Duration::from_secs(5);
/// Orphan markers that are looked at before a sleep: one stays as long as a child lives,
/// which may be for ever.
const MARKERS_A_LOOK: usize = 8;

/// Runs the manager for one activation; it ends with `end`.
pub fn start(pipeline: &Arc<Pipeline>, end: CancellationToken) {
    let pipeline = Arc::clone(pipeline);
    tokio::spawn(end.run_until_cancelled_owned(async move {
        let mut manager = Manager {
            pipeline: &pipeline,
            rounds: Rounds::default(),
        };
        loop {
            match manager.step().await {
                Ok(None) => {}
                Ok(Some(sleep)) => pipeline.due.wait(sleep.until, sleep.at_most).await,
                Err(error) => {
                    tracing::debug!(reason = error.reason, "a clean-up step is tried again");
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }));
}

/// Since when the manager is held: a restored state may hold leases whose credentials were
/// renewed, or ended, since it was saved. No lease and no token is cleared away until an operator says
/// so; use is refused as ever. Old events and kept answers go all the same, and quotas count.
///
/// # Errors
/// The state can't be read.
pub fn hold_of(state: &StateView) -> Result<Option<UnixMillis>, Error> {
    // Only a restore writes one.
    match state.0.restores() {
        0 => Ok(None),
        _ => Ok(read_plain::<ExpirationHolds>(state, &())?),
    }
}

struct Manager<'a> {
    pipeline: &'a Pipeline,
    rounds: Rounds,
}

/// Nothing is left to do for now.
struct Sleep {
    /// When the next row is due.
    until: UnixMillis,
    at_most: Duration,
}

/// A step that is planned.
struct Step {
    reads: Reads,
    txn: Txn,
    done: Done,
}

impl Manager<'_> {
    /// One bounded step, or how long to sleep.
    async fn step(&mut self) -> Result<Option<Sleep>, Error> {
        let deadline = Instant::now() + STEP_WAIT;
        // Before the state is pinned, and kept whatever becomes of this step.
        let told = self.pipeline.due.take();
        if let Some((earliest, _)) = told {
            self.rounds.due.rewind(earliest);
            self.rounds.answers.rewind(earliest);
        }
        let pinned = self.pipeline.pin(false, deadline).await?;
        self.pipeline.due.pinned(told, pinned.state.revision());
        let held = hold_of(&pinned.state)?.is_some();
        // After the state is pinned: so they open all that is in it.
        let keys = self.pipeline.keys.get().ok_or_else(Error::sealed)?;
        let order = self.rounds.order();
        for kind in order.filter(|kind| kind.has_turns(held)) {
            let step = match self.plan(kind, &keys, &pinned) {
                Ok(step) => step,
                Err(error) => {
                    // A row that can't be read must not stop the other kinds.
                    self.rounds.pass(kind);
                    tracing::warn!(?kind, reason = error.reason, "an expiry step failed");
                    return Err(error);
                }
            };
            let Some(Step { reads, txn, done }) = step else {
                continue;
            };
            self.rounds.pass(kind);
            if !txn.is_empty() {
                let node = &self.pipeline.node;
                match node
                    .submit(transaction(reads, txn, &keys.barrier)?, deadline)
                    .await
                {
                    Ok(_) => {}
                    // Somebody was faster: the next look sees what came of it.
                    Err(SubmitError::Conflict) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
            self.tell(&done);
            self.rounds.settle(done);
            return Ok(None);
        }
        if held {
            return Ok(Some(sleep_until(None, pinned.now)));
        }
        let view = View::new(&pinned.state, &keys.barrier);
        let next = token::next_due(&view, &self.rounds.due)?;
        Ok(Some(sleep_until(next, pinned.now)))
    }

    /// Shows how late it was.
    fn tell(&self, done: &Done) {
        let (Done::Expired(rows) | Done::Answered(rows)) = done else {
            return;
        };
        let all = matches!(done, Done::Expired(_));
        let now = self.pipeline.node.cluster_time_ms();
        for row in rows {
            if all || is_answer(row) {
                let late = Duration::from_millis(now.saturating_sub(row.at.get()));
                self.pipeline.metrics.expiration().cleared(&row.kind, late);
            }
        }
    }

    fn plan(
        &mut self,
        kind: Kind,
        keys: &Unsealed,
        pinned: &Pinned,
    ) -> Result<Option<Step>, Error> {
        let view = View::new(&pinned.state, &keys.barrier);
        let context = token::Context {
            view: &view,
            revocations: &pinned.revocations,
            acls: &keys.acls,
            ttl: &self.pipeline.ttl,
            now: pinned.now,
            remote: None,
        };
        let planned = match kind {
            Kind::Expiry => self.expire(context)?,
            Kind::Tokens => {
                let plan = token::clean_up_some(context, self.rounds.trees(&pinned.revocations))?;
                match plan.response.is_empty() {
                    true => None,
                    false => Some((plan.txn, Done::Cleaned(plan.response))),
                }
            }
            Kind::Prefixes => {
                let after = self.rounds.prefix.as_ref();
                match pinned.revocations.next_prefix(after) {
                    None => None,
                    Some(prefix) => {
                        let cursor = self.rounds.prefix_cursor(prefix);
                        let plan = lease::clean_up_prefix(context, prefix, cursor)?;
                        Some((plan.txn, Done::CleanedPrefix(prefix.clone(), plan.response)))
                    }
                }
            }
            Kind::Paths => self.clean_up_path(context)?,
            Kind::Markers => self.sweep(context)?,
            Kind::Events => {
                let step = self
                    .rounds
                    .events
                    .step(&view, pinned.now, &mut SystemRandom)?;
                step.map(|(txn, done)| (txn, Done::Tidied(done)))
            }
            Kind::Quotas => self.count(&view)?,
            Kind::Answers => self.forget_answers(context)?,
            Kind::Trim => match self.rounds.trim_to() {
                None => None,
                Some(end) => {
                    let plan = token::trim(&view, &self.rounds.trimmed, end)?;
                    plan.response.then_some((plan.txn, Done::Trimmed(end)))
                }
            },
        };
        let Some((mut txn, done)) = planned else {
            return Ok(None);
        };
        quota::settle(&view, &mut txn, &mut SystemRandom)?;
        Ok(Some(Step {
            reads: view.into_reads(),
            txn,
            done,
        }))
    }

    fn expire(&self, context: token::Context<'_>) -> Result<Option<(Txn, Done)>, Error> {
        let cursor = &self.rounds.due;
        let due = token::due(context.view, cursor, context.now, CLEANUP_ROWS_MAX)?;
        let Some(first) = due.first().map(|first| first.at) else {
            return Ok(None);
        };
        let plan = token::expire(context, &due, &mut SystemRandom)?;
        tracing::debug!(
            leases = plan.response.leases,
            tokens = plan.response.tokens,
            late_ms = context.now.get().saturating_sub(first.get()),
            "clearing away what has ended"
        );
        Ok(Some((plan.txn, Done::Expired(due))))
    }

    /// Clears away the answers among what is due, a bounded number of rows at a time.
    fn forget_answers(&self, context: token::Context<'_>) -> Result<Option<(Txn, Done)>, Error> {
        let cursor = &self.rounds.answers;
        let due = token::due(context.view, cursor, context.now, CLEANUP_ROWS_MAX)?;
        if due.is_empty() {
            return Ok(None);
        }
        let answers: Vec<_> = due.iter().filter(|row| is_answer(row)).cloned().collect();
        let plan = token::expire(context, &answers, &mut SystemRandom)?;
        Ok(Some((plan.txn, Done::Answered(due))))
    }

    /// The next source path under which there may be something left.
    fn clean_up_path(&mut self, context: token::Context<'_>) -> Result<Option<(Txn, Done)>, Error> {
        let mut paths = context.revocations.paths();
        let due = paths.find(|path| {
            let tombstone = context.revocations.path(path);
            !self.rounds.is_kept(path, tombstone, context.now)
        });
        let Some(path) = due.cloned() else {
            return Ok(None);
        };
        let cursor = self.rounds.path_cursor(&path);
        let plan = token::clean_up_path(context, &path, cursor, &mut SystemRandom)?;
        Ok(Some((plan.txn, Done::CleanedPath(path, plan.response))))
    }

    fn count(&mut self, view: &View<'_>) -> Result<Option<(Txn, Done)>, Error> {
        let revision = view.mod_revision::<LeaseQuotas>(&())?;
        if revision.is_none() || revision == self.rounds.counted {
            return Ok(None);
        }
        let plan = quota::search(view, &mut SystemRandom)?;
        if !plan.response {
            self.rounds.counted = revision;
        }
        Ok(plan.response.then_some((plan.txn, Done::Counted)))
    }

    fn sweep(&mut self, context: token::Context<'_>) -> Result<Option<(Txn, Done)>, Error> {
        for _ in 0..MARKERS_A_LOOK {
            let after = self.rounds.marker.as_ref();
            let Some(marker) = context.revocations.next_marker(after).copied() else {
                break;
            };
            self.rounds.marker = Some(marker);
            let plan = token::sweep_marker(context, &marker)?;
            if plan.response {
                return Ok(Some((plan.txn, Done::Swept)));
            }
        }
        Ok(None)
    }
}

fn is_answer(row: &Due) -> bool {
    matches!(row.kind, DueKind::Dedupe(_))
}

/// Until the next row is due, within bounds.
fn sleep_until(next: Option<UnixMillis>, now: UnixMillis) -> Sleep {
    let until = next.unwrap_or(UnixMillis::new(u64::MAX));
    let left = Duration::from_millis(until.get().saturating_sub(now.get()));
    Sleep {
        until,
        at_most: left.clamp(Duration::from_millis(1), SLEEP_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_the_next_row_is_due() {
        let at = |ms| Some(UnixMillis::new(ms));
        let now = UnixMillis::new(1_000);
        let ms = |next| sleep_until(next, now).at_most.as_millis();
        assert_eq!((ms(at(1_040)), ms(at(1_000)), ms(at(5))), (40, 1, 1));
        assert_eq!((ms(at(9_000)), ms(None)), (250, 250));
    }
}
