//! Adds a barrier key when one is due: what the active node does by itself. It only looks at what is
//! replicated, so that another node goes on where it ended.

use std::{sync::Arc, time::Duration};

use tenure_core::{seal::rotate_when_due, state::View};
use tenure_raft::batch::SubmitError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    limits::ROTATION_LOOK_MS,
    pipeline::{Pipeline, transaction},
    random::SystemRandom,
};

/// How long one look may take.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// Looks now and then, for one activation; it ends with `end`.
pub fn start(pipeline: &Arc<Pipeline>, end: CancellationToken) {
    let pipeline = Arc::clone(pipeline);
    tokio::spawn(end.run_until_cancelled_owned(async move {
        loop {
            match look(&pipeline).await {
                Ok(true) => tracing::info!("a barrier key was due and is added"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(reason = error.reason, "no barrier key could be added");
                }
            }
            sleep(Duration::from_millis(ROTATION_LOOK_MS)).await;
        }
    }));
}

/// Whether a key was added.
async fn look(pipeline: &Pipeline) -> Result<bool, Error> {
    let deadline = Instant::now() + LOOK_WAIT;
    let txn = {
        let pinned = pipeline.pin(false, deadline).await?;
        let keys = pipeline.keys.get().ok_or_else(Error::sealed)?;
        let view = View::new(&pinned.state, &keys.barrier);
        match rotate_when_due(&view, pinned.now, &mut SystemRandom)? {
            None => return Ok(false),
            Some(txn) => transaction(view.into_reads(), txn, &keys.barrier)?,
        }
    };
    match pipeline.node.submit(txn, deadline).await {
        Ok(_) => Ok(true),
        // Somebody has changed the keys: the next look sees what is left to do.
        Err(SubmitError::Conflict) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
