//! What the log knows without reading the disk: its ends, the vote, and its newest entries,
//! so that replication and apply hardly ever read RocksDB. Bounded in bytes.

use std::{collections::VecDeque, ops::Range};

use crate::{
    limits::LOG_CACHE_BYTES_MAX,
    types::{Entry, LogId, Vote},
};

struct Recent {
    entry: Entry,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Memory {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    /// Entries up to it are gone.
    pub purged: Option<LogId>,
    /// The last entry, or the purge point of an empty log.
    pub last: Option<LogId>,
    /// Index of the first entry that is stored; one past the last of an empty log.
    first: u64,
    /// The newest entries, without a gap, up to `last`.
    recent: VecDeque<Recent>,
    recent_bytes: usize,
}

impl Memory {
    /// `newest` and `first` are what the disk holds above the purge point.
    pub fn new(
        vote: Option<Vote>,
        committed: Option<LogId>,
        purged: Option<LogId>,
        newest: Option<LogId>,
        first: Option<u64>,
    ) -> Self {
        let after_purge = purged.map_or(0, |purged| purged.index() + 1);
        Self {
            vote,
            committed,
            purged,
            last: newest.or(purged),
            // Entries that are missing after the purge point are a hole, which reads report.
            first: match purged {
                Some(_) => after_purge,
                None => first.unwrap_or(0),
            },
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    /// The part of a range that the log holds.
    pub fn clamp(&self, range: Range<u64>) -> Range<u64> {
        let after_last = self.last.map_or(0, |last| last.index() + 1);
        range.start.max(self.first)..range.end.min(after_last)
    }

    /// Index of the oldest entry that is in memory; entries before it are on disk only.
    pub fn recent_from(&self) -> u64 {
        match self.recent.front() {
            Some(oldest) => oldest.entry.log_id.index(),
            None => self.last.map_or(0, |last| last.index() + 1),
        }
    }

    /// Entries of a range that is wholly in memory, up to a number of bytes but at least one.
    pub fn recent(&self, range: Range<u64>, bytes_max: usize) -> Vec<Entry> {
        let skip = range.start.saturating_sub(self.recent_from()) as usize;
        let count = range.end.saturating_sub(range.start) as usize;
        let mut bytes = 0;
        self.recent
            .iter()
            .skip(skip)
            .take(count)
            .enumerate()
            .take_while(|(place, recent)| {
                bytes += recent.bytes;
                *place == 0 || bytes <= bytes_max
            })
            .map(|(_, recent)| recent.entry.clone())
            .collect()
    }

    /// Takes in an appended entry; the caller checked that it follows the last one.
    pub fn push(&mut self, entry: Entry, bytes: usize) {
        if self.last.is_none() {
            self.first = entry.log_id.index();
        }
        self.last = Some(entry.log_id);
        self.recent_bytes += bytes;
        self.recent.push_back(Recent { entry, bytes });
        while self.recent_bytes > LOG_CACHE_BYTES_MAX && self.recent.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Forgets the entries after `keep`, which the caller has compared with `last`.
    pub fn truncate(&mut self, keep: Option<LogId>) {
        let next = keep.map_or(0, |keep| keep.index() + 1);
        while let Some(newest) = self.recent.back() {
            if newest.entry.log_id.index() < next {
                break;
            }
            self.recent_bytes -= newest.bytes;
            self.recent.pop_back();
        }
        self.last = keep;
    }

    /// Forgets the entries up to `upto`.
    pub fn purge(&mut self, upto: LogId) {
        while self
            .recent
            .front()
            .is_some_and(|oldest| oldest.entry.log_id.index() <= upto.index())
        {
            self.drop_oldest();
        }
        self.purged = Some(upto);
        self.first = upto.index() + 1;
        if self.last.is_none_or(|last| last.index() < upto.index()) {
            self.last = Some(upto);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.recent.pop_front() {
            self.recent_bytes -= oldest.bytes;
        }
    }
}
