//! Opens the log: reads what is kept in memory, and compares the log with its marker. It
//! must never let a log through that lost what was durable.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicU64, mpsc},
};

use rocksdb::DB;
use tenure_proto::internal;
use thiserror::Error;

use super::{
    Inner, LogStore, SyncHandle, keys,
    memory::Memory,
    sync::{SyncThread, Watch},
};
use crate::{
    codec::{self, CodecError},
    files,
    limits::FORMAT,
    marker::{Mark, Marker},
    rocks,
    types::{Entry, LogId},
};

pub(super) const LOG_DIR: &str = "log";
pub(super) const MARKER_FILE: &str = "marker";

/// Why a log can't be opened.
#[derive(Debug, Error)]
pub enum LogError {
    /// Entries that were fsynced are gone: this node may have acknowledged them, so it must
    /// not vote. It is wiped and joins as a new node.
    #[error(
        "the log came back shorter: it was durable up to index {marker}, now it ends at {}; \
         wipe this node's data folder and let it join as a new node",
        found.map_or_else(|| "nothing".to_owned(), |found| found.to_string())
    )]
    Shorter {
        /// Last index that was durable.
        marker: u64,
        /// Last index found.
        found: Option<u64>,
    },
    /// The vote that was fsynced is gone: voting again could elect two leaders in a term.
    #[error(
        "the vote of this node was lost; wipe this node's data folder and let it join as a new node"
    )]
    VoteLost,
    /// The entry at the marker's index isn't the one that was fsynced.
    #[error("the entry at index {index} has term {found}, the marker says {marker}")]
    Mismatch {
        /// Index of the entry.
        index: u64,
        /// Term in the marker.
        marker: u64,
        /// Term in the log.
        found: u64,
    },
    /// There is a log, but no marker to judge it by.
    #[error(
        "the marker of the log is missing; wipe this node's data folder and let it join as a new node"
    )]
    MarkerMissing,
    /// Undecodable, or written by a newer version.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The disk.
    #[error("log: {0}")]
    Io(#[from] io::Error),
    /// RocksDB.
    #[error("log: {0}")]
    Rocks(#[from] rocksdb::Error),
}

impl LogStore {
    /// Opens the log in a data folder, or makes an empty one. A log that lost what was
    /// durable is refused.
    pub fn open(data_dir: &Path) -> Result<Self, LogError> {
        files::create_private_dir(data_dir)?;
        let marker_path = data_dir.join(MARKER_FILE);
        let log_path = data_dir.join(LOG_DIR);
        // The marker comes first, so that no crash leaves a log without one.
        let marker = match marker_path.exists() {
            true => Marker::open(&marker_path)?,
            false if log_path.exists() => return Err(LogError::MarkerMissing),
            false => Marker::create(&marker_path)?,
        };
        files::create_private_dir(&log_path)?;
        let db = DB::open(&rocks::log_options(), &log_path)?;
        files::sync_dir(&log_path)?;
        check_or_write_format(&db, &marker)?;
        let memory = load(&db)?;
        compare(&db, &memory, marker.mark())?;

        let stored = [
            "rocksdb.estimate-live-data-size",
            "rocksdb.cur-size-all-mem-tables",
        ];
        let mut bytes = 0;
        for property in stored {
            bytes += db.property_int_value(property)?.unwrap_or(0);
        }
        let inner = Arc::new(Inner {
            db,
            memory: Mutex::new(memory),
            bytes: AtomicU64::new(bytes),
            watch: Watch::default(),
        });
        let (jobs, queue) = mpsc::channel();
        let worker = SyncThread::new(Arc::clone(&inner), marker, queue);
        let thread = std::thread::Builder::new()
            .name("raft-log-sync".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            inner,
            sync: Arc::new(SyncHandle {
                jobs,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }
}

/// Refuses a newer format; marks a new database with ours, unless the marker knows of
/// entries or a vote that a new database can't have.
fn check_or_write_format(db: &DB, marker: &Marker) -> Result<(), LogError> {
    match db.get(keys::FORMAT)? {
        Some(bytes) => {
            let found =
                <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| CodecError::Undecodable {
                    what: "format of the log",
                    reason: format!("{} bytes", bytes.len()),
                })?;
            codec::check_format("log", u32::from_be_bytes(found))?;
        }
        None => {
            compare(db, &Memory::default(), marker.mark())?;
            db.put(keys::FORMAT, FORMAT.to_be_bytes())?;
            db.flush_wal(true)?;
        }
    }
    Ok(())
}

/// Reads what is kept in memory.
fn load(db: &DB) -> Result<Memory, LogError> {
    let log_id = |key| -> Result<Option<LogId>, LogError> {
        let Some(bytes) = db.get(key)? else {
            return Ok(None);
        };
        let id = codec::decode::<internal::LogId>("log id", bytes.as_slice())?;
        Ok(Some(codec::log_id_from_proto(&id)))
    };
    let vote = match db.get(keys::VOTE)? {
        Some(bytes) => {
            let vote = codec::decode::<internal::Vote>("vote", bytes.as_slice())?;
            Some(codec::vote_from_proto(&vote))
        }
        None => None,
    };
    let purged = log_id(keys::PURGED)?;
    let mut entries = db.raw_iterator();
    entries.seek_for_prev(keys::ENTRIES_END);
    let newest = entry_at(&entries)?.map(|entry| entry.log_id);
    entries.seek(keys::entry(purged.map_or(0, |purged| purged.index() + 1)));
    let first = entries.key().and_then(keys::index_of);
    entries.status()?;
    Ok(Memory::new(
        vote,
        log_id(keys::COMMITTED)?,
        purged,
        // Files dropped by a purge may uncover entries below it that were deleted before.
        newest.filter(|newest| purged.is_none_or(|purged| newest.index() > purged.index())),
        first,
    ))
}

fn entry_at(entries: &rocksdb::DBRawIterator<'_>) -> Result<Option<Entry>, LogError> {
    entries.status()?;
    match entries.item() {
        Some((key, value)) if keys::index_of(key).is_some() => Ok(Some(codec::decode_entry(
            bytes::Bytes::copy_from_slice(value),
        )?)),
        _ => Ok(None),
    }
}

/// Refuses a log that is behind its marker.
fn compare(db: &DB, memory: &Memory, mark: Mark) -> Result<(), LogError> {
    if let Some(marked) = mark.last {
        let found = memory.last.map(|last| last.index());
        if found.is_none_or(|found| found < marked.index()) {
            return Err(LogError::Shorter {
                marker: marked.index(),
                found,
            });
        }
        let purged = memory.purged.map(|purged| purged.index());
        if purged.is_none_or(|purged| purged < marked.index()) {
            let bytes = db
                .get(keys::entry(marked.index()))?
                .ok_or(LogError::Shorter {
                    marker: marked.index(),
                    found: purged,
                })?;
            let entry = codec::decode_entry(bytes.into())?;
            if entry.log_id != marked {
                return Err(LogError::Mismatch {
                    index: marked.index(),
                    marker: marked.committed_leader_id().term,
                    found: entry.log_id.committed_leader_id().term,
                });
            }
        }
    }
    match (mark.vote, memory.vote) {
        (None, _) => Ok(()),
        (Some(marked), Some(found)) if found >= marked => Ok(()),
        (Some(_), _) => Err(LogError::VoteLost),
    }
}
