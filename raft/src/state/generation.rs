//! A generation of the state: one RocksDB database. A snapshot install makes the next one;
//! the old one ends at once, and its files go when the last view of it does.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use prost::Message;
use rocksdb::{Cache, DB};
use tenure_proto::internal;

use super::{AppliedInfo, StateError, keys};
use crate::{
    codec::{self, CodecError},
    files,
    limits::FORMAT,
    rocks,
    types::{LogId, Revision, StoredMembership},
    view::ViewError,
};

/// Rows of the state that were read on this node, over all generations.
#[derive(Clone, Default)]
pub(crate) struct RowsRead(Arc<AtomicU64>);

impl RowsRead {
    /// Counts rows.
    pub fn add(&self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One database of the state.
pub(crate) struct Generation {
    number: u64,
    dir: PathBuf,
    /// Taken by the drop alone.
    db: Option<DB>,
    ended: AtomicBool,
    rows_read: RowsRead,
}

impl Generation {
    /// Opens the database in `dir`, or makes an empty one that belongs to the cluster.
    pub fn open(
        dir: PathBuf,
        number: u64,
        cache: &Cache,
        cluster_id: &[u8; 16],
        rows_read: RowsRead,
    ) -> Result<Self, StateError> {
        files::create_private_dir(&dir)?;
        let db = DB::open(&rocks::state_options(cache), &dir)?;
        match db.get(keys::CLUSTER)? {
            Some(found) => check_cluster(&found, cluster_id)?,
            None => {
                if db.get(keys::APPLIED)?.is_some() {
                    return Err(StateError::OtherCluster);
                }
                // It reaches the disk with, or before, the first Applied record.
                db.put_opt(keys::CLUSTER, cluster_id, &rocks::state_write_waiting())?;
            }
        }
        files::sync_dir(&dir)?;
        Ok(Self {
            number,
            dir,
            db: Some(db),
            ended: AtomicBool::new(false),
            rows_read,
        })
    }

    /// The database.
    pub fn db(&self) -> Result<&DB, ViewError> {
        self.db.as_ref().ok_or(ViewError::GenerationEnded)
    }

    /// Counts what is read of it.
    pub fn rows_read(&self) -> &RowsRead {
        &self.rows_read
    }

    /// Grows with every install.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether another generation took its place.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends it: reads fail from now on, and its files go with the last handle.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Writes the memtables out. What was applied before is durable when it returns.
    pub fn flush(&self) -> Result<(), StateError> {
        fail::fail_point!("flush::before");
        self.db()?.flush_opt(&rocks::flush_now())?;
        fail::fail_point!("flush::after");
        Ok(())
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.ended() {
            return;
        }
        if let Some(db) = self.db.take() {
            let dir = std::mem::take(&mut self.dir);
            files::clean_up_in_background(move || {
                db.cancel_all_background_work(true);
                drop(db);
                files::remove_dir_if_there(&dir)
            });
        }
    }
}

/// How far a state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppliedRecord {
    pub log_id: Option<LogId>,
    pub revision: Revision,
    pub time_ms: u64,
    /// The restore epoch.
    pub restores: u64,
}

impl AppliedRecord {
    pub fn info(&self) -> AppliedInfo {
        AppliedInfo {
            index: self.log_id.map_or(0, |id| id.index()),
            term: self.log_id.map_or(0, |id| id.committed_leader_id().term),
            revision: self.revision,
            time_ms: self.time_ms,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        internal::Applied {
            format: FORMAT,
            log_id: self.log_id.as_ref().map(codec::log_id_to_proto),
            revision: self.revision,
            time_ms: self.time_ms,
            restores: self.restores,
        }
        .encode_to_vec()
    }
}

/// The Applied record; a state without one is new.
pub(crate) fn read_applied(
    get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, rocksdb::Error>,
) -> Result<AppliedRecord, ViewError> {
    let Some(bytes) = get(keys::APPLIED)? else {
        return Ok(AppliedRecord::default());
    };
    let applied = codec::decode::<internal::Applied>("applied record", bytes.as_slice())?;
    codec::check_format("applied record", applied.format)?;
    Ok(AppliedRecord {
        log_id: applied.log_id.as_ref().map(codec::log_id_from_proto),
        revision: applied.revision,
        time_ms: applied.time_ms,
        restores: applied.restores,
    })
}

/// The membership of the last membership entry applied.
pub(crate) fn read_membership(db: &DB) -> Result<StoredMembership, ViewError> {
    let Some(bytes) = db.get(keys::MEMBERSHIP)? else {
        return Ok(StoredMembership::default());
    };
    let stored = codec::decode::<internal::StoredMembership>("membership", bytes.as_slice())?;
    Ok(codec::stored_membership_from_proto(&stored)?)
}

/// What a snapshot folder holds, read from the folder itself.
pub(crate) fn inspect(
    dir: &Path,
    cluster_id: &[u8; 16],
) -> Result<(AppliedRecord, StoredMembership), StateError> {
    let db = DB::open_for_read_only(&rocks::inspect_options(), dir, false)?;
    match db.get(keys::CLUSTER)? {
        Some(found) => check_cluster(&found, cluster_id)?,
        None => return Err(StateError::OtherCluster),
    }
    let applied = read_applied(|key| db.get(key))?;
    Ok((applied, read_membership(&db)?))
}

fn check_cluster(found: &[u8], cluster_id: &[u8; 16]) -> Result<(), StateError> {
    match found == cluster_id {
        true => Ok(()),
        false => Err(StateError::OtherCluster),
    }
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::View(ViewError::Codec(error))
    }
}
