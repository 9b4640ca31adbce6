//! Snapshots: RocksDB checkpoints in folders of their own, sent and received file by file
//! in small pieces. Memory stays small at any size of the state, and a snapshot that isn't
//! whole, or isn't this cluster's, is never handed to raft.
//!
//! - [`export()`]: a folder to a stream of chunks.
//! - [`Import`]: a stream of chunks to a folder, checked.

mod export;
mod import;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rocksdb::checkpoint::Checkpoint;

pub use self::{
    export::{export, header},
    import::{Import, ImportError},
};
use crate::{
    files,
    state::{Generation, StateError, inspect},
    types::SnapshotMeta,
};

pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";
pub(crate) const INCOMING_DIR: &str = "incoming";
/// Folders that aren't whole yet; the next start removes them.
const STAGED_PREFIX: &str = "new-";

/// Numbers folders, so that no two of this process ever share a name: one may still be under
/// deletion when the next is made.
static NEXT_FOLDER: AtomicU64 = AtomicU64::new(1);

fn next_folder() -> u64 {
    NEXT_FOLDER.fetch_add(1, Ordering::Relaxed)
}

/// A complete, readable snapshot folder. Clones are handles to the same folder; it is
/// deleted when it was superseded and the last handle is dropped.
#[derive(Clone)]
pub struct SnapshotDir(Arc<Folder>);

struct Folder {
    path: PathBuf,
    meta: SnapshotMeta,
    superseded: AtomicBool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.superseded.load(Ordering::Acquire) {
            let path = std::mem::take(&mut self.path);
            files::clean_up_in_background(move || files::remove_dir_if_there(&path));
        }
    }
}

impl SnapshotDir {
    fn new(path: PathBuf, meta: SnapshotMeta) -> Self {
        Self(Arc::new(Folder {
            path,
            meta,
            superseded: AtomicBool::new(false),
        }))
    }

    /// A received folder: it is looked into, but goes with its last handle unless it is
    /// installed.
    fn received(path: PathBuf, meta: SnapshotMeta) -> Self {
        let received = Self::new(path, meta);
        received.supersede();
        received
    }

    /// After its install: a received folder takes its place among the snapshots, to be
    /// found there by the next start.
    pub(crate) fn installed(self, snapshots_dir: &Path) -> Result<Self, StateError> {
        if !self.0.superseded.load(Ordering::Acquire) {
            return Ok(self);
        }
        let path = final_path(snapshots_dir, self.meta());
        move_folder(self.path(), &path, snapshots_dir)?;
        Ok(Self::new(path, self.meta().clone()))
    }

    /// What it covers, as read from the folder itself.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.0.meta
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Another took its place: the folder goes with the last handle.
    pub(crate) fn supersede(&self) {
        self.0.superseded.store(true, Ordering::Release);
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for SnapshotDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotDir({:?})", self.0.meta.last_log_id)
    }
}

/// Builds a snapshot of a generation while it is written to. Blocks. What it covers is read
/// back out of the checkpoint: entries may be applied between the flush and the checkpoint.
pub(crate) fn build(
    generation: &Generation,
    snapshots_dir: &Path,
    cluster_id: &[u8; 16],
) -> Result<SnapshotDir, StateError> {
    fail::fail_point!("snapshot::build");
    // The state has no write-ahead log: what isn't flushed isn't in a checkpoint. The
    // checkpoint flushes too; this one bounds what is left for it, and makes the state
    // durable before the log may be purged up to here.
    generation.flush()?;
    let staged = snapshots_dir.join(format!("{STAGED_PREFIX}{}", next_folder()));
    files::remove_dir_if_there(&staged)?;
    Checkpoint::new(generation.db()?)?.create_checkpoint(&staged)?;
    fail::fail_point!("snapshot::checkpointed");
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o700))?;
    files::sync_dir(&staged)?;
    let meta = read_meta(&staged, cluster_id)?;
    let path = final_path(snapshots_dir, &meta);
    move_folder(&staged, &path, snapshots_dir)?;
    Ok(SnapshotDir::new(path, meta))
}

/// A name that no other snapshot has.
fn final_path(snapshots_dir: &Path, meta: &SnapshotMeta) -> PathBuf {
    let (term, index) = meta
        .last_log_id
        .map_or((0, 0), |id| (id.committed_leader_id().term, id.index()));
    loop {
        let path = snapshots_dir.join(format!("{term}-{index}-{}", next_folder()));
        // One may be left from an earlier process.
        if !path.exists() {
            return path;
        }
    }
}

/// Renames a folder, durably.
fn move_folder(from: &Path, to: &Path, snapshots_dir: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    files::sync_parent(from)?;
    files::sync_dir(snapshots_dir)
}

fn read_meta(dir: &Path, cluster_id: &[u8; 16]) -> Result<SnapshotMeta, StateError> {
    let (applied, membership) = inspect(dir, cluster_id)?;
    Ok(SnapshotMeta {
        last_log_id: applied.log_id,
        last_membership: membership,
    })
}

/// After a start: keeps the newest whole snapshot, so that a lagging peer can be served,
/// and removes the rest.
pub(crate) fn keep_newest(
    snapshots_dir: &Path,
    cluster_id: &[u8; 16],
) -> Result<Option<SnapshotDir>, StateError> {
    let mut kept: Option<SnapshotDir> = None;
    for name in files::names_in(snapshots_dir)? {
        let path = snapshots_dir.join(&name);
        if name.starts_with(STAGED_PREFIX) {
            files::remove_dir_if_there(&path)?;
            continue;
        }
        match read_meta(&path, cluster_id) {
            Ok(meta) => {
                let found = SnapshotDir::new(path, meta);
                match &kept {
                    Some(newer) if newer.meta().last_log_id >= found.meta().last_log_id => {
                        found.supersede();
                    }
                    _ => {
                        if let Some(older) = kept.replace(found) {
                            older.supersede();
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a snapshot folder is unusable and was removed");
                files::remove_dir_if_there(&path)?;
            }
        }
    }
    Ok(kept)
}

/// Names of the files that make a snapshot, sorted. Others (an empty write-ahead log, a
/// lock) have no part in it.
pub(crate) fn files_of(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = files::names_in(dir)?;
    names.retain(|name| is_snapshot_file(name));
    Ok(names)
}

/// Whether a file is a table: written once, never changed.
pub(crate) fn is_table(name: &str) -> bool {
    name.strip_suffix(".sst").is_some_and(is_number)
}

/// The only names that a snapshot may hold. No separator, no dot-dot, no surprise.
fn is_snapshot_file(name: &str) -> bool {
    name == "CURRENT"
        || is_table(name)
        || name.strip_prefix("MANIFEST-").is_some_and(is_number)
        || name.strip_prefix("OPTIONS-").is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
