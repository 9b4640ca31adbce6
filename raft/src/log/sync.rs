//! The one thread that makes the log durable. It takes all that is queued, fsyncs once,
//! moves the marker, and only then tells those who wait. It also truncates and purges, so
//! that nothing overtakes anything. After a failed fsync it refuses everything: what the
//! disk holds is unknown, and trying again can report success for bytes that were dropped.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use openraft::storage::IOFlushed;
use prost::Message;
use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::{Inner, keys};
use crate::{
    codec,
    limits::LOG_SYNC_JOBS_MAX,
    marker::{Mark, Marker},
    rocks,
    types::{LogId, TypeConfig, Vote},
};

type Done = oneshot::Sender<io::Result<()>>;

/// What the thread is asked to do.
pub(super) enum Job {
    /// Entries up to `last` were written to RocksDB: make them durable.
    Append {
        last: Option<LogId>,
        done: IOFlushed<TypeConfig>,
    },
    /// Write a vote and make it durable.
    Vote { vote: Vote, done: Done },
    /// Cut the log after `keep`.
    Truncate { keep: Option<LogId>, done: Done },
    /// Drop the log's entries up to `upto`.
    Purge { upto: LogId, done: Done },
    /// End.
    Stop,
}

impl Job {
    /// Answers without doing it.
    pub fn refuse(self, error: impl Fn() -> io::Error) {
        match self {
            Self::Append { done, .. } => done.io_completed(Err(error())),
            Self::Vote { done, .. } | Self::Truncate { done, .. } | Self::Purge { done, .. } => {
                answer(done, Err(error()));
            }
            Self::Stop => {}
        }
    }
}

/// Shows since when an fsync has been running.
#[derive(Default)]
pub(super) struct Watch(Mutex<Option<Instant>>);

impl Watch {
    pub fn pending_for(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

pub(super) struct SyncThread {
    inner: Arc<Inner>,
    marker: Marker,
    queue: mpsc::Receiver<Job>,
    /// Set by the first failure, and final.
    failed: Option<String>,
}

/// What shares one fsync.
#[derive(Default)]
struct Round {
    appends: Vec<IOFlushed<TypeConfig>>,
    last: Option<LogId>,
    votes: Vec<Done>,
    vote: Option<Vote>,
}

impl SyncThread {
    pub fn new(inner: Arc<Inner>, marker: Marker, queue: mpsc::Receiver<Job>) -> Self {
        Self {
            inner,
            marker,
            queue,
            failed: None,
        }
    }

    pub fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let (round, other) = self.gather(first);
            self.finish(round);
            match other {
                None => {}
                Some(Job::Stop) => return,
                Some(job) => self.reshape(job),
            }
        }
    }

    /// Takes what is queued, up to the first job that can't share an fsync.
    fn gather(&self, first: Job) -> (Round, Option<Job>) {
        let mut round = Round::default();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Append { last, done } => {
                    round.last = last;
                    round.appends.push(done);
                }
                Job::Vote { vote, done } => {
                    round.vote = Some(vote);
                    round.votes.push(done);
                }
                other => return (round, Some(other)),
            }
            if round.appends.len() + round.votes.len() < LOG_SYNC_JOBS_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        (round, None)
    }

    /// One fsync, the marker, then the answers.
    fn finish(&mut self, round: Round) {
        if round.appends.is_empty() && round.votes.is_empty() {
            return;
        }
        let result = self.guarded(|thread| thread.make_durable(&round));
        for done in round.appends {
            done.io_completed(copy(&result));
        }
        for done in round.votes {
            answer(done, copy(&result));
        }
    }

    fn make_durable(&mut self, round: &Round) -> io::Result<()> {
        if let Some(vote) = &round.vote {
            let bytes = codec::vote_to_proto(vote).encode_to_vec();
            self.inner
                .db
                .put_opt(keys::VOTE, bytes, &rocks::log_write())
                .map_err(io::Error::other)?;
            fail::fail_point!("vote::before_sync");
        }
        if !round.appends.is_empty() {
            fail::fail_point!("append::before_sync");
        }
        let mark = self.marker.mark();
        self.sync(Mark {
            last: round.last.or(mark.last),
            vote: round.vote.or(mark.vote),
        })?;
        if !round.appends.is_empty() {
            fail::fail_point!("append::after_sync");
        }
        if let Some(vote) = round.vote {
            // A node's vote in a term must never change: crash tests judge by this line.
            tracing::info!(
                term = vote.leader_id.term,
                node_id = vote.leader_id.voted_for,
                committed = vote.committed,
                "vote saved"
            );
            fail::fail_point!("vote::after_sync");
            self.inner.memory().vote = Some(vote);
        }
        Ok(())
    }

    /// The log's fsync first, the marker's after it: the marker claims nothing too early.
    fn sync(&mut self, mark: Mark) -> io::Result<()> {
        self.inner.watch.set(Some(Instant::now()));
        let result = self
            .inner
            .db
            .flush_wal(true)
            .map_err(io::Error::other)
            .and_then(|()| self.marker.set(mark));
        self.inner.watch.set(None);
        result
    }

    fn reshape(&mut self, job: Job) {
        match job {
            Job::Truncate { keep, done } => {
                let result = self.guarded(|thread| thread.truncate(keep));
                answer(done, result);
            }
            Job::Purge { upto, done } => {
                let result = self.guarded(|thread| thread.purge(upto));
                answer(done, result);
            }
            other => other.refuse(super::closed),
        }
    }

    /// Cuts the log's end. The marker is lowered before: a crash in between leaves a log
    /// that is longer than the marker says, which is fine. The cut itself needs no fsync;
    /// the write-ahead log keeps its order before the appends that follow.
    fn truncate(&mut self, keep: Option<LogId>) -> io::Result<()> {
        let next = keep.map_or(0, |keep| keep.index() + 1);
        if self
            .inner
            .memory()
            .last
            .is_none_or(|last| last.index() < next)
        {
            return Ok(());
        }
        fail::fail_point!("truncate::before");
        let mark = self.marker.mark();
        if mark.last.is_some_and(|last| last.index() >= next) {
            self.marker.set(Mark { last: keep, ..mark })?;
        }
        let mut batch = WriteBatch::default();
        batch.delete_range(keys::entry(next).as_slice(), keys::ENTRIES_END);
        // Under the lock, so that no read sees the one without the other.
        let mut memory = self.inner.memory();
        self.inner
            .db
            .write_opt(batch, &rocks::log_write())
            .map_err(io::Error::other)?;
        memory.truncate(keep);
        Ok(())
    }

    /// Drops the log's beginning. A purge beyond the end (a snapshot was installed) moves
    /// the end too, so it is made durable with the marker; any other may be lost and done
    /// again.
    fn purge(&mut self, upto: LogId) -> io::Result<()> {
        fail::fail_point!("purge::before");
        let after = keys::entry(upto.index().saturating_add(1));
        let mut batch = WriteBatch::default();
        batch.put(keys::PURGED, codec::log_id_to_proto(&upto).encode_to_vec());
        batch.delete_range(keys::entry(0), after);
        let beyond_end = {
            let mut memory = self.inner.memory();
            if memory
                .purged
                .is_some_and(|purged| purged.index() >= upto.index())
            {
                return Ok(());
            }
            self.inner
                .db
                .write_opt(batch, &rocks::log_write())
                .map_err(io::Error::other)?;
            let beyond_end = memory.last.is_none_or(|last| last.index() < upto.index());
            memory.purge(upto);
            beyond_end
        };
        // Files go for good at once: that they are purged must be durable before.
        let mark = self.marker.mark();
        let last = if beyond_end { Some(upto) } else { mark.last };
        self.sync(Mark { last, ..mark })?;
        // Whole files below the purge point go at once, instead of through compactions.
        self.inner
            .db
            .delete_file_in_range(keys::entry(0), after)
            .map_err(io::Error::other)?;
        fail::fail_point!("purge::after");
        Ok(())
    }

    /// Does it unless something failed before; a failure is final.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(failure) = &self.failed {
            return Err(io::Error::other(failure.clone()));
        }
        let result = work(self);
        if let Err(error) = &result {
            tracing::error!(%error, "the log can't be written; this node must restart");
            self.failed = Some(format!("the log failed before: {error}"));
        }
        result
    }
}

fn copy(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

fn answer(done: Done, result: io::Result<()>) {
    // The one who asked may have gone.
    let _ = done.send(result);
}
