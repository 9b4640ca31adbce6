//! Receives a snapshot: everything about it is verified before openraft sees it, for
//! openraft stops the process over a snapshot that can't be.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use openraft::{Snapshot, type_config::alias::SnapshotOf};
use tenure_proto::internal::{SnapshotChunk, SnapshotHeader, snapshot_chunk::Part};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    RaftHandle,
    raft_service::{Caller, invalid, stopped},
};
use crate::{
    codec::{CodecError, check_format, snapshot_meta_from_proto, vote_from_proto},
    limits::SNAPSHOT_IDLE_MS,
    snapshot::{Import, ImportError, SnapshotDir},
    types::{SnapshotMeta, TypeConfig, Vote},
};

/// Receives one snapshot at a time: a newer one ends the one before it.
#[derive(Default)]
pub(super) struct Receiver {
    current: Mutex<Option<Transfer>>,
}

struct Transfer {
    vote: Vote,
    superseded: CancellationToken,
}

impl Receiver {
    /// Answers with this node's vote, once the snapshot is installed or because that vote
    /// is higher than the sender's.
    pub(super) async fn receive(
        &self,
        raft: &RaftHandle,
        data_dir: &Path,
        cluster_id: [u8; 16],
        caller: &Caller,
        mut chunks: Streaming<SnapshotChunk>,
    ) -> Result<Vote, Status> {
        let header = match next(&mut chunks, caller).await?.part {
            Some(Part::Header(header)) => header,
            _ => {
                return Err(Status::invalid_argument(
                    "a snapshot starts with its header",
                ));
            }
        };
        let (vote, meta) = check_header(&header, cluster_id, caller)?;
        if let Some(higher) = refusal(raft, vote, &meta).await? {
            return Ok(higher);
        }
        let superseded = self.begin(vote)?;
        let staged = tokio::select! {
            staged = stage(data_dir, cluster_id, header, chunks, caller) => staged?,
            () = superseded.cancelled() => {
                return Err(Status::aborted("a newer transfer has taken over"));
            }
        };
        // Time has passed.
        match refusal(raft, vote, &meta).await {
            Ok(None) => {}
            refused => {
                // The files serve nobody.
                staged.snapshot.supersede();
                return refused.map(|higher| higher.unwrap_or(vote));
            }
        }
        let response = raft
            .install_full_snapshot(vote, staged)
            .await
            .map_err(stopped)?;
        Ok(response.vote)
    }

    /// Takes the place of the transfer in progress, unless that one has a newer leader.
    fn begin(&self, vote: Vote) -> Result<CancellationToken, Status> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = current.as_ref() {
            if before.vote.leader_id.term > vote.leader_id.term {
                return Err(Status::aborted("a newer leader sends a snapshot"));
            }
            before.superseded.cancel();
        }
        let superseded = CancellationToken::new();
        *current = Some(Transfer {
            vote,
            superseded: superseded.clone(),
        });
        Ok(superseded)
    }
}

/// The next message, within the idle deadline, from a caller that is still a member.
async fn next(
    chunks: &mut Streaming<SnapshotChunk>,
    caller: &Caller,
) -> Result<SnapshotChunk, Status> {
    let limit = Duration::from_millis(SNAPSHOT_IDLE_MS);
    let chunk = timeout(limit, chunks.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the snapshot stream stands still"))??
        .ok_or_else(|| Status::aborted("the snapshot stream broke off"))?;
    caller.check()?;
    Ok(chunk)
}

fn check_header(
    header: &SnapshotHeader,
    cluster_id: [u8; 16],
    caller: &Caller,
) -> Result<(Vote, SnapshotMeta), Status> {
    check_format("snapshot", header.format).map_err(invalid)?;
    if header.cluster_id.as_ref() != cluster_id.as_slice() {
        return Err(Status::failed_precondition(
            "the snapshot belongs to another cluster",
        ));
    }
    let vote = header
        .vote
        .as_ref()
        .map(vote_from_proto)
        .ok_or(CodecError::Missing { what: "vote" })
        .map_err(invalid)?;
    caller.owns(&vote)?;
    let meta = snapshot_meta_from_proto(header).map_err(invalid)?;
    let covers_nothing = meta.last_log_id.is_none();
    let beyond_its_leader = meta
        .last_log_id
        .is_some_and(|last| last.committed_leader_id().term > vote.leader_id.term);
    if !vote.committed || covers_nothing || beyond_its_leader {
        return Err(Status::invalid_argument(
            "no leader owns a snapshot with this vote and log id",
        ));
    }
    Ok((vote, meta))
}

/// This node's vote when it is higher than the sender's; an error for a snapshot that
/// contradicts what is committed here.
async fn refusal(
    raft: &RaftHandle,
    vote: Vote,
    meta: &SnapshotMeta,
) -> Result<Option<Vote>, Status> {
    let (own, committed) = raft
        .with_raft_state(|state| (*state.vote_ref(), state.local_committed().copied()))
        .await
        .map_err(stopped)?;
    if own > vote {
        return Ok(Some(own));
    }
    if let (Some(last), Some(committed)) = (meta.last_log_id, committed)
        && last > committed
        && last.index() <= committed.index()
    {
        return Err(Status::failed_precondition(
            "the snapshot contradicts what is committed on this node",
        ));
    }
    Ok(None)
}

/// Writes the files of a snapshot beside the state, and verifies them.
async fn stage(
    data_dir: &Path,
    cluster_id: [u8; 16],
    header: SnapshotHeader,
    mut chunks: Streaming<SnapshotChunk>,
    caller: &Caller,
) -> Result<StagedSnapshot, Status> {
    let data_dir = data_dir.to_owned();
    let begun =
        tokio::task::spawn_blocking(move || Import::begin(&data_dir, cluster_id, &header)).await;
    let import = begun
        .map_err(|_| Status::internal("receiving the snapshot broke off"))?
        .map_err(refused)?;
    let mut incoming = Incoming(Some(import));
    loop {
        let chunk = next(&mut chunks, caller).await?;
        let last = matches!(chunk.part, Some(Part::End(_)));
        incoming.import()?.push(chunk).await.map_err(refused)?;
        if last {
            break;
        }
    }
    let import = incoming.0.take().ok_or_else(given_up)?;
    let (_, meta, snapshot) = import.finish().await.map_err(refused)?;
    Ok(Snapshot { meta, snapshot })
}

type StagedSnapshot = SnapshotOf<TypeConfig, SnapshotDir>;

/// An import that is in progress. When the transfer breaks off, its files are removed off
/// the reactor.
struct Incoming(Option<Import>);

impl Incoming {
    fn import(&mut self) -> Result<&mut Import, Status> {
        self.0.as_mut().ok_or_else(given_up)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(import) = self.0.take() {
            tokio::task::spawn_blocking(move || drop(import));
        }
    }
}

fn given_up() -> Status {
    Status::internal("the snapshot that comes in was given up")
}

fn refused(error: ImportError) -> Status {
    tracing::warn!(%error, "a snapshot could not be received");
    match error {
        ImportError::OtherCluster => Status::failed_precondition(error.to_string()),
        ImportError::Codec(error) => invalid(error),
        _ => Status::data_loss(format!("receiving the snapshot failed: {error}")),
    }
}
