//! Restoring: the active node checks the file as it comes, stages it on all nodes, verifies
//! what they have, and swaps it in. A standby passes the stream on. A caller that goes away, a
//! file that isn't whole, a leader that is lost: before the last entry none of them changes
//! anything.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tenure_core::{
    state::{ExpirationHolds, RestoreMarks, Txn},
    types::UnixMillis,
};
use tenure_proto::v1;
use tenure_raft::{
    backup::{Decoder, Part, Summary},
    node::{Restore, RestoreError},
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::keyring::SealRows;
use crate::{
    api::grpc::timestamp,
    error::Error,
    ha::forward,
    limits::{RESTORE_IDLE_MS, RESTORE_SWAP_MS_MAX},
    listen::Applied,
    pipeline::{Call, Context, Pipeline, transaction},
};

/// How often the rights of its caller may change just before a restore is swapped in.
const RIGHTS_TRIES: usize = 5;

/// A file that comes in.
pub type File = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Restores a snapshot, on the active node or through this standby.
///
/// # Errors
/// The refusal that the caller sees.
pub async fn restore(
    pipeline: &Pipeline,
    options: v1::RestoreOptions,
    context: &Context,
    file: File,
) -> Result<v1::RestoreSnapshotResponse, Status> {
    let sealed = pipeline.keys.is_sealed();
    if !sealed && !context.forwarded && !pipeline.node.is_active() {
        if context.manner.stays {
            return Err(Error::not_passed_on().into());
        }
        pipeline.metrics.forwarded(v1::RestoreOptions::METHOD);
        return forward::restore(&pipeline.node, options, context, file).await;
    }
    restore_here(pipeline, options, context, file).await
}

/// Restores a snapshot on this node, which must be the active one.
///
/// # Errors
/// The refusal that the caller sees.
pub async fn restore_here(
    pipeline: &Pipeline,
    options: v1::RestoreOptions,
    context: &Context,
    file: File,
) -> Result<v1::RestoreSnapshotResponse, Status> {
    let allowed = pipeline.execute(&options, context).await?;
    allowed.ok_or_else(Error::no_active_node)?;
    let rows = SealRows::wanted_by(&pipeline.keys)?;
    let mut restore = pipeline.node.begin_restore().await.map_err(Error::from)?;
    let (summary, rows) = take(&mut restore, file, rows, context.deadline).await?;
    let opened = rows.opened_with(&pipeline.keys)?;
    // One from before a rekey can be followed, too: but it would bring the old shares back.
    let current = pipeline.keys.get().ok_or_else(Error::sealed)?;
    let is_ours = (opened.as_ref()).is_some_and(|opened| opened.has_root_of(&current));
    if !is_ours && !options.force {
        return Err(keyring_mismatch().into());
    }
    let verified = restore.verify(|_| {}).await.map_err(Error::from)?;
    if verified.summary != summary {
        return Err(Error::internal("what was staged is not what came").into());
    }
    let now = UnixMillis::new(pipeline.node.cluster_time_ms());
    let mut txn = Txn::default();
    txn.insert_plain::<ExpirationHolds>(&(), &now)
        .map_err(Error::from)?;
    // A watch must not go on as if nothing happened, whatever it has seen until then.
    txn.insert_plain::<RestoreMarks>(&(), &())
        .map_err(Error::from)?;
    let end = Instant::now() + Duration::from_millis(RESTORE_SWAP_MS_MAX);
    let mut tries = 1;
    let revision = loop {
        // It took a while: whose token or right has ended meanwhile, up to the swap itself, may not
        // restore any more.
        let rights = pipeline.still_allowed(&options, context).await?;
        // It tells of no lease: the barrier seals nothing more.
        let keys = pipeline.keys.get().ok_or_else(Error::sealed)?;
        let on_top = transaction(rights, txn.clone(), &keys.barrier).map_err(Error::from)?;
        match restore.swap_in(&verified, on_top, end).await {
            Err(RestoreError::Changed) if tries < RIGHTS_TRIES => tries += 1,
            done => break done.map_err(Error::from)?,
        }
    };
    tracing::warn!(
        revision,
        snapshot_revision = summary.revision,
        records = summary.records,
        forced = options.force,
        sealed = opened.is_none(),
        remote = context.remote,
        request_id = context.trace_id,
        "a snapshot was restored; expiration is held until it is resumed"
    );
    Ok(v1::RestoreSnapshotResponse {
        revision,
        snapshot_revision: summary.revision,
        snapshot_time: Some(timestamp(UnixMillis::new(summary.time_ms))),
        records: summary.records,
    })
}

/// Stages a file, and looks at it while it passes: what can't be one ends at once.
async fn take(
    restore: &mut Restore,
    mut file: File,
    mut rows: SealRows,
    deadline: Instant,
) -> Result<(Summary, SealRows), Status> {
    let mut decoder = Decoder::default();
    loop {
        if Instant::now() >= deadline {
            return Err(Error::deadline(Applied::No).into());
        }
        let idle = Duration::from_millis(RESTORE_IDLE_MS);
        let next = timeout(idle, file.next()).await.map_err(|_| stalled())?;
        let Some(bytes) = next else { break };
        let bytes = bytes?;
        decoder.push(&bytes);
        while let Some(part) = decoder.part().map_err(refused)? {
            if let Part::Records(_) = part {
                rows.look(&part);
            }
        }
        restore.push(&bytes).await.map_err(Error::from)?;
    }
    let summary = decoder.finish().map_err(refused)?;
    Ok((summary, rows))
}

fn refused(error: tenure_raft::backup::FormatError) -> Status {
    Error::from(error).into()
}

fn stalled() -> Status {
    let message = "the snapshot stands still: nothing was restored";
    Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).into()
}

fn keyring_mismatch() -> Error {
    let message = "the snapshot was made under other unseal keys, which would count again; restoring \
                   it by force seals the nodes whose keys don't open it";
    Error::new(Code::FailedPrecondition, "KEYRING_MISMATCH", message)
}
