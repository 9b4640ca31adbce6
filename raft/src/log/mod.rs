//! The raft log and the vote: a RocksDB database of its own, fsynced by one thread, with a
//! durable marker beside it. It must never signal an append or a vote before its fsync.
//!
//! - [`memory`]: what is known without reading the disk, and the recent entries.
//! - [`sync`]: the one thread that makes things durable and tells who waits for it.
//! - [`reader`]: reads, for replication and apply.

mod memory;
mod reader;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use rocksdb::{DB, WriteBatch};
use tenure_proto::internal;
use thiserror::Error;
use tokio::sync::oneshot;

pub use self::reader::LogReader;
use self::{
    memory::Memory,
    sync::{Job, SyncThread},
};
use crate::{
    codec::{self, CodecError},
    files,
    limits::FORMAT,
    marker::{Mark, Marker},
    rocks,
    types::{Entry, LogId, TypeConfig, Vote},
};

const LOG_DIR: &str = "log";
const MARKER_FILE: &str = "marker";

/// Keys of the log's database: one tag byte, then the rest.
mod keys {
    /// `u32` be: version of everything in the database.
    pub const FORMAT: &[u8] = b"\x00format";
    /// An encoded `Vote`.
    pub const VOTE: &[u8] = b"\x00vote";
    /// An encoded `LogId`: what was known to be committed. Not fsynced by itself.
    pub const COMMITTED: &[u8] = b"\x00committed";
    /// An encoded `LogId`: entries up to it are gone.
    pub const PURGED: &[u8] = b"\x00purged";
    /// After every entry.
    pub const ENTRIES_END: &[u8] = b"\x02";
    const ENTRY: u8 = 1;

    /// An encoded `LogEntry`: in order of its index.
    pub fn entry(index: u64) -> [u8; 9] {
        let mut key = [ENTRY; 9];
        key[1..].copy_from_slice(&index.to_be_bytes());
        key
    }

    /// The index in the key of an entry; none for another kind of key.
    pub fn index_of(key: &[u8]) -> Option<u64> {
        let index = key.strip_prefix(&[ENTRY])?;
        Some(u64::from_be_bytes(index.try_into().ok()?))
    }
}

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

/// What the handles and the sync thread share.
struct Inner {
    db: DB,
    memory: Mutex<Memory>,
    /// Bytes appended since the last [`LogStore::reset_bytes`].
    bytes: AtomicU64,
    watch: sync::Watch,
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // The sections under this lock don't panic half-way; what they leave is whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending side of the sync thread; the thread ends when it is closed or dropped.
struct SyncHandle {
    jobs: mpsc::Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SyncHandle {
    fn stop(&self) {
        // A thread that is gone already is as good as stopped.
        let _ = self.jobs.send(Job::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the log's sync thread panicked");
        }
    }
}

impl Drop for SyncHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The log store. Clones are handles to the same log.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
    sync: Arc<SyncHandle>,
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
            true => Some(Marker::open(&marker_path)?),
            false if log_path.exists() => None,
            false => Some(Marker::create(&marker_path)?),
        };
        files::create_private_dir(&log_path)?;
        let db = DB::open(&rocks::log_options(), &log_path)?;
        files::sync_dir(&log_path)?;
        let Some(marker) = marker else {
            return Err(LogError::MarkerMissing);
        };
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
            watch: sync::Watch::default(),
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

    /// Bytes appended since the last [`Self::reset_bytes`]; after an open, the bytes found.
    /// It drives the snapshot policy.
    pub fn bytes_since_purge(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// Starts the count again: a snapshot that covers what was counted was asked for.
    pub fn reset_bytes(&self) {
        self.inner.bytes.store(0, Ordering::Relaxed);
    }

    /// Index of the last entry; 0 for an empty log.
    pub fn last_index(&self) -> u64 {
        self.inner.memory().last.map_or(0, |last| last.index())
    }

    /// For how long the fsync that runs now has been running: a disk that hangs shows here
    /// and nowhere else. Zero when none runs.
    pub fn sync_pending_for(&self) -> Duration {
        self.inner.watch.pending_for()
    }

    /// Makes durable what is queued and ends the sync thread. What is asked of the log
    /// afterwards is answered with an error. Blocks; the files are released with the last
    /// handle and reader.
    pub fn close(self) {
        self.sync.stop();
    }

    /// Queues a job and waits for its answer.
    async fn call(
        &self,
        job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        if self.sync.jobs.send(job(done)).is_err() {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Writes entries to RocksDB (not yet durable) and makes them readable. Gives the id of
    /// the last entry in the log.
    fn write_entries(&self, entries: Vec<Entry>) -> io::Result<Option<LogId>> {
        let mut batch = WriteBatch::default();
        let mut sizes = Vec::with_capacity(entries.len());
        let mut expected = self.inner.memory().last.map(|last| last.index() + 1);
        for entry in &entries {
            let index = entry.log_id.index();
            if expected.is_some_and(|expected| expected != index) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("append of entry {index} would leave a hole in the log"),
                ));
            }
            expected = Some(index + 1);
            let bytes = codec::encode_entry(entry);
            batch.put(keys::entry(index), &bytes);
            sizes.push(bytes.len());
        }
        if !entries.is_empty() {
            self.inner
                .db
                .write_opt(batch, &rocks::log_write())
                .map_err(io::Error::other)?;
        }
        let appended: usize = sizes.iter().sum();
        self.inner
            .bytes
            .fetch_add(appended as u64, Ordering::Relaxed);
        let mut memory = self.inner.memory();
        for (entry, bytes) in entries.into_iter().zip(sizes) {
            memory.push(entry, bytes);
        }
        Ok(memory.last)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let memory = self.inner.memory();
        Ok(LogState {
            last_purged_log_id: memory.purged,
            last_log_id: memory.last,
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.inner))
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.call(|done| Job::Vote { vote, done }).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // No fsync: it runs before every apply, and an older value only means that more
        // entries wait for the leader's word after a restart.
        let value = committed.as_ref().map(codec::log_id_to_proto);
        let mut batch = WriteBatch::default();
        match &value {
            Some(id) => batch.put(keys::COMMITTED, prost::Message::encode_to_vec(id)),
            None => batch.delete(keys::COMMITTED),
        }
        self.inner
            .db
            .write_opt(batch, &rocks::log_write())
            .map_err(io::Error::other)?;
        self.inner.memory().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.inner.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + openraft::OptionalSend,
        I::IntoIter: openraft::OptionalSend,
    {
        let last = self.write_entries(entries.into_iter().collect())?;
        if let Err(mpsc::SendError(job)) = self.sync.jobs.send(Job::Append {
            last,
            done: callback,
        }) {
            job.refuse(closed);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, keep: Option<LogId>) -> io::Result<()> {
        self.call(|done| Job::Truncate { keep, done }).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.call(|done| Job::Purge { upto, done }).await
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
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
        if let Some(bytes) = db.get(keys::entry(marked.index()))?
            && memory
                .purged
                .is_none_or(|purged| purged.index() < marked.index())
        {
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
