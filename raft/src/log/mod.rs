//! The raft log and the vote: a RocksDB database of its own, fsynced by one thread, with a
//! durable marker beside it. It must never signal an append or a vote before its fsync.
//!
//! - [`memory`]: what is known without reading the disk, and the recent entries.
//! - [`sync`]: the one thread that makes things durable and tells who waits for it.
//! - [`open`]: opens the log, and refuses one that lost what was durable.
//! - [`reader`]: reads, for replication and apply.

mod memory;
mod open;
mod reader;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    io,
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
use tokio::sync::oneshot;

use self::{memory::Memory, sync::Job};
pub use self::{open::LogError, reader::LogReader};
use crate::{
    codec, rocks,
    types::{Entry, LogId, TypeConfig, Vote},
};

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
