//! What the active node does behind the calls: it clears away what revocations left, and
//! tokens and kept answers that have ended. Each step is a transaction like any other, so
//! that a node that lost power changes nothing. Refusal never waits for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tenure_core::{
    barrier::TokenHash,
    state::{Due, View},
    token::{self, Cursor, Progress},
    types::limits::CLEANUP_ROWS_MAX,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Pinned, Pipeline, transaction};
use crate::{error::Error, random::SystemRandom, seal::Unsealed};

/// How often there is a look at what is due, when nothing is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long one step may take.
const STEP_WAIT: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Starts the duties of one activation; they end with `end`.
    pub fn start_duties(self: &Arc<Self>, end: CancellationToken) {
        let pipeline = Arc::clone(self);
        tokio::spawn(end.run_until_cancelled_owned(async move {
            let mut behind = Behind::default();
            loop {
                match pipeline.step_behind(&mut behind).await {
                    Ok(true) => {}
                    Ok(false) => sleep(LOOK_EVERY).await,
                    Err(error) => {
                        tracing::debug!(reason = error.reason, "a clean-up step is tried again");
                        sleep(LOOK_EVERY).await;
                    }
                }
            }
        }));
    }

    /// One bounded step. False when nothing is left to do for now.
    async fn step_behind(&self, behind: &mut Behind) -> Result<bool, Error> {
        let deadline = Instant::now() + STEP_WAIT;
        let keys = self.keys.get().ok_or_else(Error::sealed)?;
        let pinned = self.pin(false, deadline).await?;
        let Some((reads, txn, done)) = self.plan_behind(&keys, &pinned, behind)? else {
            behind.marker = None;
            return Ok(false);
        };
        let wrote = !txn.is_empty();
        if wrote {
            self.node.submit(transaction(reads, txn), deadline).await?;
        }
        // A marker that stays is looked at again later, not at once.
        let idle = !wrote && matches!(done, Done::Swept(_));
        behind.settle(done);
        Ok(!idle)
    }

    #[allow(clippy::type_complexity)]
    fn plan_behind(
        &self,
        keys: &Unsealed,
        pinned: &Pinned,
        behind: &Behind,
    ) -> Result<Option<(tenure_core::state::Reads, tenure_core::state::Txn, Done)>, Error> {
        let looking = View::new(&pinned.state, &keys.barrier);
        let due = token::due(&looking, behind.due.as_ref(), pinned.now, CLEANUP_ROWS_MAX)?;
        let view = View::new(&pinned.state, &keys.barrier);
        let context = token::Context {
            view: &view,
            revocations: &pinned.revocations,
            ttl: &self.ttl,
            now: pinned.now,
        };
        if let Some(last) = due.last() {
            let plan = token::expire(context, &due, &mut SystemRandom)?;
            let done = Done::Expired(*last);
            return Ok(Some((view.into_reads(), plan.txn, done)));
        }
        if let Some(top) = pinned.revocations.tombstones().next() {
            let cursor = behind.cursors.get(top).cloned().unwrap_or_default();
            let plan = token::clean_up(context, top, cursor)?;
            let done = Done::Cleaned(*top, plan.response);
            return Ok(Some((view.into_reads(), plan.txn, done)));
        }
        // One marker a look: it stays as long as a child lives, which may be for ever.
        let next = match &behind.marker {
            Some(last) => pinned.revocations.markers().find(|marker| *marker > last),
            None => pinned.revocations.markers().next(),
        };
        let plan = match next {
            Some(marker) => Some((*marker, token::sweep_marker(&view, marker)?)),
            None => None,
        };
        Ok(plan.map(|(marker, plan)| (view.into_reads(), plan.txn, Done::Swept(marker))))
    }
}

/// Where the duties stand. Only a shortcut: an empty one is always right.
#[derive(Default)]
struct Behind {
    /// The last row of the time index that was dealt with.
    due: Option<Due>,
    cursors: BTreeMap<TokenHash, Cursor>,
    /// The orphan marker that was looked at last.
    marker: Option<TokenHash>,
}

enum Done {
    Expired(Due),
    Cleaned(TokenHash, Progress),
    Swept(TokenHash),
}

impl Behind {
    fn settle(&mut self, done: Done) {
        match done {
            Done::Expired(last) => self.due = Some(last),
            Done::Cleaned(top, Progress::More(cursor)) => {
                self.cursors.insert(top, cursor);
            }
            Done::Cleaned(top, Progress::Done) => {
                self.cursors.remove(&top);
            }
            Done::Swept(marker) => self.marker = Some(marker),
        }
    }
}
