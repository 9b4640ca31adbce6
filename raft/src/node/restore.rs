//! A restore, on the active node: the pieces of a backup are staged by the log on all nodes,
//! read back and verified there, and one last entry swaps them in. Until that entry nothing of
//! the state changes; whatever ends a restore before clears what it staged.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tenure_proto::internal as wire;
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout},
};

use super::Node;
use crate::{
    backup::{
        FormatError, Part, Summary,
        staging::{self, RestoreId, StagedError},
    },
    batch::{Refusal, SubmitError, SwapIn},
    limits::{RESTORE_BYTES_MAX, RESTORE_DISK_FREE_BYTES, RESTORE_PIECE_BYTES},
    txn::{Op, ReadSet, Txn},
    types::Revision,
    view::View,
};

/// How long one piece may take to reach a quorum.
const PIECE_WAIT: Duration = Duration::from_secs(30);
/// How long a restore waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(2);
/// How soon a piece is tried again that found the queue full.
const PIECE_AGAIN: Duration = Duration::from_millis(50);
/// Free space is looked at once in so many pieces.
const PIECES_A_LOOK: u64 = 16;

/// Why a restore ended without a change, or perhaps with one ([`RestoreError::maybe_applied`]).
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Another restore is under way.
    #[error("another restore is under way")]
    Busy,
    /// This node is not active.
    #[error("this node is not the active one")]
    NotActive,
    /// The pieces are no whole file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is larger than any that is taken.
    #[error("the snapshot has more than {RESTORE_BYTES_MAX} bytes")]
    TooLarge,
    /// The disk of a member has no room for it.
    #[error(
        "the disk of {member} has too little room for this restore: {free} bytes are free, \
         {needed} needed"
    )]
    DiskFull {
        /// Name of the member.
        member: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that it takes.
        needed: u64,
    },
    /// Leadership changed meanwhile, and with it went what was staged.
    #[error("leadership changed during the restore, nothing was restored: {0}")]
    Lost(String),
    /// What the last entry rests on was changed before it.
    #[error("what the restore rests on has changed meanwhile, nothing was restored")]
    Changed,
    /// The last entry, or one before it.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The disk, or what is on it.
    #[error("restore: {0}")]
    Failed(String),
}

impl From<StagedError> for RestoreError {
    fn from(error: StagedError) -> Self {
        match error {
            StagedError::Format(error) => Self::Format(error),
            StagedError::Missing(_) => Self::Lost(error.to_string()),
            StagedError::View(error) => Self::Failed(error.to_string()),
        }
    }
}

/// A restore under way. Dropped before it is swapped in, it clears what it staged.
pub struct Restore {
    node: Node,
    id: RestoreId,
    pieces: u64,
    bytes: u64,
    /// What doesn't fill a piece yet.
    rest: Vec<u8>,
    /// Taken by what clears the staging.
    alone: Option<OwnedMutexGuard<()>>,
}

/// A whole file that lies on the nodes.
pub struct Verified {
    /// What it is.
    pub summary: Summary,
    /// Revision of the state that it was read from.
    read_revision: Revision,
}

impl Node {
    /// Begins a restore. Active node only.
    ///
    /// # Errors
    /// Another one is under way, or this node isn't active.
    pub async fn begin_restore(&self) -> Result<Restore, RestoreError> {
        if !self.is_active() {
            return Err(RestoreError::NotActive);
        }
        // The one before may still be clearing what it staged.
        let alone = timeout(TURN_WAIT, Arc::clone(&self.shared.restoring).lock_owned()).await;
        let mut id = RestoreId::default();
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|_| RestoreError::Failed("no randomness".to_owned()))?;
        let restore = Restore {
            node: self.clone(),
            id,
            pieces: 0,
            bytes: 0,
            rest: Vec::new(),
            alone: Some(alone.map_err(|_| RestoreError::Busy)?),
        };
        // What an earlier one may have left.
        clear(self).await?;
        Ok(restore)
    }

    /// Clears what restores of earlier leaders left, once none is under way here.
    pub(super) fn clear_staging(&self) {
        let node = self.clone();
        tokio::spawn(async move {
            let _alone = node.shared.restoring.lock().await;
            if let Err(error) = clear(&node).await {
                tracing::debug!(%error, "what a restore staged is cleared by the next active node");
            }
        });
    }
}

/// Deletes all staged pieces, if there are any.
async fn clear(node: &Node) -> Result<(), SubmitError> {
    let view = node.view().map_err(|_| SubmitError::NotActive)?;
    let (start, end) = staging::RANGE;
    let staged = view.scan(start, end, 1);
    if staged.is_ok_and(|staged| staged.is_empty()) {
        return Ok(());
    }
    drop(view);
    let all = Op::DeleteRange(Bytes::from_static(start), Bytes::from_static(end));
    let txn = Txn {
        ops: vec![all],
        ..Txn::default()
    };
    node.submit(txn, Instant::now() + PIECE_WAIT).await?;
    Ok(())
}

impl Restore {
    /// Stages the next bytes of the file.
    ///
    /// # Errors
    /// Too many of them, no room, or this node isn't active any more.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > RESTORE_BYTES_MAX {
            return Err(RestoreError::TooLarge);
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = RESTORE_PIECE_BYTES - self.rest.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() >= RESTORE_PIECE_BYTES {
                self.stage().await?;
            }
        }
        Ok(())
    }

    async fn stage(&mut self) -> Result<(), RestoreError> {
        if self.pieces.is_multiple_of(PIECES_A_LOOK) {
            self.check_room().await?;
        }
        let piece = Bytes::from(std::mem::take(&mut self.rest));
        let deadline = Instant::now() + PIECE_WAIT;
        loop {
            let put = Op::Put {
                key: staging::key(&self.id, self.pieces),
                value: piece.clone(),
                create_revision: None,
            };
            let txn = Txn {
                ops: vec![put],
                ..Txn::default()
            };
            match self.node.submit(txn, deadline).await {
                Ok(_) => break,
                Err(SubmitError::Overloaded) if Instant::now() + PIECE_AGAIN < deadline => {
                    sleep(PIECE_AGAIN).await;
                }
                // A piece that may or may not be staged: nothing is restored.
                Err(error) => return Err(RestoreError::Lost(error.to_string())),
            }
        }
        self.pieces += 1;
        Ok(())
    }

    /// The swap writes all records once more beside what is staged; log and old state keep
    /// their files for a while. A node whose disk is full stops, so each is asked before.
    async fn check_room(&self) -> Result<(), RestoreError> {
        let needed = RESTORE_DISK_FREE_BYTES.saturating_add(self.bytes);
        let free = self.node.free_of_members().await;
        let free = free.map_err(|error| RestoreError::Failed(error.to_string()))?;
        match short_of_room(free, needed) {
            None => Ok(()),
            Some((member, free)) => Err(RestoreError::DiskFull {
                member,
                free,
                needed,
            }),
        }
    }

    /// After the last byte: reads back what is staged, as every node has it, and verifies it.
    /// `look` is shown each part of the file.
    ///
    /// # Errors
    /// It is no whole file, or was cleared by another active node.
    pub async fn verify(
        &mut self,
        mut look: impl FnMut(&Part) + Send + 'static,
    ) -> Result<Verified, RestoreError> {
        if !self.rest.is_empty() {
            self.stage().await?;
        }
        self.check_room().await?;
        let failed = |error: String| RestoreError::Failed(error);
        let view: View = self
            .node
            .view()
            .map_err(|error| failed(error.to_string()))?;
        let (id, pieces) = (self.id, self.pieces);
        let read = tokio::task::spawn_blocking(move || {
            let summary = staging::read::<StagedError>(&view, &id, pieces, |part| {
                look(&part);
                Ok(())
            })?;
            Ok::<_, RestoreError>(Verified {
                summary,
                read_revision: view.revision(),
            })
        });
        read.await.map_err(|error| failed(error.to_string()))?
    }

    /// Puts the file in the place of all records above the seam, on all nodes at once, and
    /// writes on top what `txn` does, which rests on its own reads. Returns its revision once this
    /// node has done it.
    ///
    /// # Errors
    /// All but `MaybeApplied` promise that nothing was restored. After `Changed` it may be tried again,
    /// with newer reads: what changed is applied here.
    pub async fn swap_in(
        &mut self,
        verified: &Verified,
        txn: Txn,
        deadline: Instant,
    ) -> Result<Revision, RestoreError> {
        let active = self.node.shared.active.load_full();
        let (Some(active), Some(core)) = (active, self.node.core()) else {
            return Err(RestoreError::NotActive);
        };
        let start = staging::key(&self.id, 0);
        let end = staging::key(&self.id, u64::MAX);
        let pieces = ReadSet {
            keys: Vec::new(),
            ranges: vec![(start, end)],
        };
        let swap_in = SwapIn {
            message: wire::SwapIn {
                restore_id: Bytes::copy_from_slice(&self.id),
                pieces: self.pieces,
                sha256: Bytes::copy_from_slice(&verified.summary.sha256),
            },
            revision: verified.summary.revision,
            // Nobody may have touched the pieces since they were verified.
            staged: (verified.read_revision, pieces),
        };
        let submitted = active.sequencer.submit_with(txn, Some(swap_in), deadline);
        match submitted.await {
            Ok(revision) => {
                // The pieces went with the old state.
                self.alone = None;
                Ok(revision)
            }
            Err(Refusal::Conflict { staged: true, .. }) => {
                let why = "what was staged may have changed since it was verified";
                Err(RestoreError::Lost(why.to_owned()))
            }
            Err(Refusal::Conflict { changed, .. }) => {
                let node = &self.node;
                match node.conflicted(core, &active, changed, deadline).await {
                    SubmitError::Conflict => Err(RestoreError::Changed),
                    error => Err(error.into()),
                }
            }
            Err(Refusal::Other(error)) => Err(error.into()),
        }
    }
}

/// The member with the least room, if that is too little.
fn short_of_room(free: Vec<(String, u64)>, needed: u64) -> Option<(String, u64)> {
    let least = free.into_iter().min_by_key(|(_, free)| *free);
    least.filter(|(_, free)| *free < needed)
}

impl Drop for Restore {
    fn drop(&mut self) {
        let Some(alone) = self.alone.take() else {
            return;
        };
        let node = self.node.clone();
        // Dropped with the runtime, it leaves the rest to the next active node.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _alone = alone;
                if let Err(error) = clear(&node).await {
                    tracing::debug!(%error, "the next active node clears what a restore staged");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted bug: this node's disk alone is looked at. Caught.
    #[test]
    fn one_member_without_room_is_enough() {
        let free = |of: &[(&str, u64)]| -> Vec<(String, u64)> {
            of.iter()
                .map(|(name, free)| ((*name).to_owned(), *free))
                .collect()
        };
        assert_eq!(short_of_room(free(&[("a", 10), ("b", 10)]), 10), None);
        assert_eq!(short_of_room(free(&[]), 10), None);
        let short = short_of_room(free(&[("a", 99), ("b", 9), ("c", 8)]), 10);
        assert_eq!(short, Some(("c".to_owned(), 8)));
    }
}
