//! Reads of the log: from memory where they can be, else from RocksDB on a thread that may
//! block. A hole is an error, never skipped.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use openraft::{
    OptionalSend,
    errors::LeaderChanged,
    storage::{LeaderBoundedStreamError, RaftLogReader},
    type_config::alias::LeaderIdOf,
};

use super::{Inner, keys};
use crate::{
    codec,
    limits::APPEND_BYTES_MAX,
    types::{Entry, TypeConfig, Vote},
};

/// Reads entries and the vote. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    inner: Arc<Inner>,
}

impl LogReader {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The entries of a range that the log holds, from its start; up to `bytes_max` bytes,
    /// but at least one.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        {
            let memory = self.inner.memory();
            let range = memory.clamp(range.clone());
            if range.is_empty() {
                return Ok(Vec::new());
            }
            if range.start >= memory.recent_from() {
                return Ok(memory.recent(range, bytes_max));
            }
        }
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || read_disk(&inner, range, bytes_max))
            .await
            .map_err(io::Error::other)?
    }

    fn vote(&self) -> Option<Vote> {
        self.inner.memory().vote
    }

    /// A range as a stream that holds no more than one bounded piece in memory.
    fn pieces(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Vec<Entry>>> + use<> {
        let range = self.inner.memory().clamp(range);
        stream::try_unfold((self.clone(), range), |(reader, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = reader.read(range.clone(), APPEND_BYTES_MAX).await?;
            match piece.last() {
                Some(last) => {
                    let rest = last.log_id.index() + 1..range.end;
                    Ok(Some((piece, (reader, rest))))
                }
                // Purged or truncated under the stream.
                None => Ok(None),
            }
        })
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(to_range(&range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, APPEND_BYTES_MAX).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.pieces(to_range(&range))
            .map_ok(|piece| stream::iter(piece.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderIdOf<TypeConfig>,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, LeaderBoundedStreamError<TypeConfig>>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let check = move || match reader.vote() {
            Some(vote) if vote.committed && vote.leader_id == leader => Ok(()),
            vote => Err(LeaderBoundedStreamError::from(LeaderChanged::new(
                leader, vote,
            ))),
        };
        let first = stream::iter(check().err().map(Err));
        // Under the same leader nothing is truncated, so a piece is good if the leader is
        // still the same after it was read.
        let pieces = self
            .pieces(to_range(&range))
            .map_err(LeaderBoundedStreamError::from)
            .map(move |piece| check().and(piece))
            .map_ok(|piece| stream::iter(piece.into_iter().map(Ok)))
            .try_flatten();
        let mut ended = false;
        first
            .chain(pieces)
            .take_while(move |item| {
                // The first error is the last item.
                let go_on = !ended;
                ended |= item.is_err();
                std::future::ready(go_on)
            })
            .boxed()
    }
}

fn to_range(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

/// Reads what is on disk only, and with no bound also what follows in memory.
fn read_disk(inner: &Inner, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
    let (mut on_disk, range, in_memory) = {
        let memory = inner.memory();
        let range = memory.clamp(range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let from = memory.recent_from();
        if range.start >= from {
            return Ok(memory.recent(range, bytes_max));
        }
        let in_memory = if bytes_max == usize::MAX && range.end > from {
            memory.recent(from..range.end, usize::MAX)
        } else {
            Vec::new()
        };
        // Made under the lock: it sees the log as memory describes it now.
        (
            inner.db.raw_iterator(),
            range.start..range.end.min(from),
            in_memory,
        )
    };
    let mut entries = Vec::new();
    let mut bytes = 0;
    on_disk.seek(keys::entry(range.start));
    for expected in range {
        let Some((key, value)) = on_disk.item() else {
            on_disk.status().map_err(io::Error::other)?;
            return Err(hole(expected));
        };
        if keys::index_of(key) != Some(expected) {
            return Err(hole(expected));
        }
        bytes += value.len();
        if !entries.is_empty() && bytes > bytes_max {
            break;
        }
        entries.push(codec::decode_entry(Bytes::copy_from_slice(value))?);
        on_disk.next();
    }
    entries.extend(in_memory);
    Ok(entries)
}

fn hole(index: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("entry {index} is missing from the log"),
    )
}
