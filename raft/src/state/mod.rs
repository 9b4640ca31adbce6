//! The replicated state: a RocksDB database without a write-ahead log (the raft log is
//! one), changed by [`apply`] alone. It must never be written by anything else, and what it
//! publishes is always the whole state at one log index.
//!
//! - [`generation`]: one database, from an install (or the first start) to the next.
//! - [`apply`]: committed entries to one atomic write.
//! - [`machine`]: what openraft drives.
//! - [`swap`]: a backup that takes the place of all records above the seam.
//! - [`open`], [`install`]: which generation is current, across crashes.

mod apply;
mod generation;
mod install;
mod machine;
mod open;
mod swap;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use rocksdb::Cache;
use thiserror::Error;
use tokio::sync::watch;

pub(crate) use self::generation::{AppliedRecord, Generation, RowsRead, inspect, read_applied};
pub use self::machine::{SnapshotBuilder, StateMachine};
use crate::{
    snapshot::SnapshotDir,
    types::{Revision, StoredMembership},
    view::{View, ViewError},
};

/// Keys below the records. Records have the tags 1 (this crate), 2 (above the seam) and 3 (a
/// backup that is being restored).
pub(crate) mod keys {
    /// Tag of this module's own keys.
    pub const TAG: u8 = 0;
    /// An encoded `Applied`.
    pub const APPLIED: &[u8] = b"\x00applied";
    /// An encoded `StoredMembership`.
    pub const MEMBERSHIP: &[u8] = b"\x00membership";
    /// The 16 bytes of the cluster's id.
    pub const CLUSTER: &[u8] = b"\x00cluster";
}

/// Why the state can't be opened or used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It belongs to another cluster, or to none.
    #[error("the state belongs to another cluster")]
    OtherCluster,
    /// There are generations, but nothing says which one is current.
    #[error(
        "state/CURRENT is missing or unreadable; wipe this node's data folder and let it join as a new node"
    )]
    CurrentLost,
    /// The current generation is gone.
    #[error("state/{0} is missing; wipe this node's data folder and let it join as a new node")]
    GenerationLost(String),
    /// A snapshot isn't what was announced.
    #[error("the snapshot holds another state than announced")]
    SnapshotMismatch,
    /// A staged backup isn't the one that was verified.
    #[error("the staged backup can't be swapped in: {0}")]
    Staged(String),
    /// A read failed, or the state is being replaced.
    #[error(transparent)]
    View(#[from] ViewError),
    /// RocksDB, or the disk under it.
    #[error("state: {0}")]
    Rocks(#[from] rocksdb::Error),
    /// The disk.
    #[error("state: {0}")]
    Io(#[from] io::Error),
}

impl From<StateError> for io::Error {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

/// How far the state is. All zero before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppliedInfo {
    /// Index of the last applied entry.
    pub index: u64,
    /// Term of the last applied entry.
    pub term: u64,
    /// Revision of the last transaction.
    pub revision: Revision,
    /// Cluster time, milliseconds since the epoch.
    pub time_ms: u64,
}

/// Told of every change, before anybody can see it.
pub trait ApplyObserver: Send + Sync + 'static {
    /// An entry was written. Called in log order, once for each entry, after the batch is in
    /// RocksDB and before the applied index is published and responders are answered. Must
    /// be quick: it runs on the apply task.
    fn applied(&self, applied: AppliedBatch<'_>);

    /// A snapshot was installed, or a backup restored: everything may have changed. Called before the applied
    /// index is published; until it returns, only the handle that it is given can take views
    /// (it shows the new state, and must not be kept). It may read the disk.
    fn reset(&self, state: &State);
}

/// Follows no change: for a store that nothing stands on.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl ApplyObserver for NoObserver {
    fn applied(&self, _applied: AppliedBatch<'_>) {}

    fn reset(&self, _state: &State) {}
}

/// What one entry changed.
pub struct AppliedBatch<'a> {
    /// Revision of the last transaction so far.
    pub revision: Revision,
    /// Cluster time after this entry.
    pub time_ms: u64,
    /// Index of the entry.
    pub log_index: u64,
    /// Its changes, in order; none for a blank or membership entry.
    pub changes: &'a [Change],
}

/// One change. It has no `Debug`: values are not for logs.
#[derive(Clone)]
pub enum Change {
    /// A record was written.
    Put {
        /// Its key.
        key: Bytes,
        /// Its value, as it was put.
        value: Bytes,
        /// Revision of the transaction.
        revision: Revision,
        /// Whether this transaction created it.
        created: bool,
    },
    /// A record was deleted, if it was there.
    Delete {
        /// Its key.
        key: Bytes,
        /// Revision of the transaction.
        revision: Revision,
    },
    /// All records of a range were deleted.
    DeleteRange {
        /// First key.
        start: Bytes,
        /// After the last key.
        end: Bytes,
        /// Revision of the transaction.
        revision: Revision,
    },
}

/// The folders of the state.
pub(crate) struct Dirs {
    pub state: PathBuf,
    pub snapshots: PathBuf,
    pub incoming: PathBuf,
}

struct Inner {
    dirs: Dirs,
    cluster_id: [u8; 16],
    /// Shared by the generations.
    cache: Cache,
    /// Counted over the generations.
    rows_read: RowsRead,
    observer: Arc<dyn ApplyObserver>,
    /// The state as it is published: always at the end of a batch, after its observers ran.
    current: ArcSwap<View>,
    applied: watch::Sender<AppliedInfo>,
    membership: Mutex<StoredMembership>,
    snapshot: Mutex<Option<SnapshotDir>>,
}

impl Inner {
    fn membership(&self) -> MutexGuard<'_, StoredMembership> {
        self.membership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> MutexGuard<'_, Option<SnapshotDir>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle to the current generation of the state. Cheap to clone.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
    /// Set while an install shows the new state to the observer alone.
    preview: Option<View>,
}

impl State {
    /// The state as it is published now. It fails with [`ViewError::GenerationEnded`] while
    /// a snapshot is being installed.
    pub fn view(&self) -> Result<View, StateError> {
        if let Some(view) = &self.preview {
            return Ok(view.clone());
        }
        let view = View::clone(&self.inner.current.load());
        match view.ended() {
            true => Err(ViewError::GenerationEnded.into()),
            false => Ok(view),
        }
    }

    /// How far the state is: cheap, in memory, and never ahead of the observers.
    pub fn applied(&self) -> AppliedInfo {
        match &self.preview {
            Some(view) => view.applied(),
            None => *self.inner.applied.borrow(),
        }
    }

    /// Follows [`Self::applied`].
    pub fn watch_applied(&self) -> watch::Receiver<AppliedInfo> {
        self.inner.applied.subscribe()
    }

    /// The membership of the last membership entry applied.
    pub fn membership(&self) -> StoredMembership {
        self.inner.membership().clone()
    }

    /// The cluster that the state belongs to.
    pub fn cluster_id(&self) -> [u8; 16] {
        self.inner.cluster_id
    }

    /// Writes to disk what was applied so far. Blocks.
    pub fn flush(&self) -> Result<(), StateError> {
        self.inner.current.load().generation().flush()
    }

    /// Number of the current generation: grows with every install.
    pub fn generation(&self) -> u64 {
        self.inner.current.load().generation().number()
    }

    /// How many rows were read of it since it was opened, those that weren't there, too.
    pub fn rows_read(&self) -> u64 {
        self.inner.rows_read.get()
    }

    /// A real, small read of the disk, past the page cache where the file system allows it.
    /// Blocks, on a disk that hangs for ever: call it where that may be, with a deadline.
    pub fn probe(&self) -> Result<(), StateError> {
        let file = std::fs::File::open(self.inner.dirs.state.join(open::CURRENT_FILE))?;
        // Only a hint: where it isn't followed, the read is served from memory.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0)?;
        Ok(())
    }
}
