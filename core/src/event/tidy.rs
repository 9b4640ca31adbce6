//! Keeps the events within their bounds: counts them in stretches as they are written, and
//! deletes the oldest stretches. Run by the active node, in bounded steps.

use std::collections::VecDeque;

use crate::{
    random::Random,
    state::{
        EventFloor, EventMark, EventMarks, Events, ReadError, Txn, View, key_of, range_of,
        successor,
    },
    token::TokenError,
    types::{
        UnixMillis,
        limits::{
            EVENT_AGE_MS_MAX, EVENT_BYTES_MAX, EVENT_ROWS_COUNTED_MAX, EVENT_STRETCH_BYTES,
            EVENT_STRETCH_MS, PAGE_ROWS_MAX,
        },
    },
};

/// What is known of the events. Empty on a node that has just become active: it reads the marks
/// then, and counts what was written since the last one.
#[derive(Clone, Debug)]
pub struct Tidy {
    /// Bytes of events at most, and of one stretch.
    bytes_max: u64,
    stretch_bytes: u64,
    loaded: bool,
    /// The stretches that are closed, oldest first.
    marks: VecDeque<(u64, EventMark)>,
    /// The last revision that was counted.
    counted: u64,
    /// Bytes counted since the last mark, and when the first of them was.
    bytes: u64,
    since: Option<UnixMillis>,
}

/// A step that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidied {
    /// A stretch is closed at this revision.
    Closed(u64, EventMark),
    /// The stretch up to this revision is deleted.
    Deleted(u64),
}

impl Default for Tidy {
    fn default() -> Self {
        Self::within(EVENT_BYTES_MAX, EVENT_STRETCH_BYTES)
    }
}

impl Tidy {
    /// With these bounds.
    pub(super) fn within(bytes_max: u64, stretch_bytes: u64) -> Self {
        Self {
            bytes_max,
            stretch_bytes,
            loaded: false,
            marks: VecDeque::new(),
            counted: 0,
            bytes: 0,
            since: None,
        }
    }

    /// The next step, if there is anything to do.
    pub fn step(
        &mut self,
        view: &View<'_>,
        now: UnixMillis,
        random: &mut dyn Random,
    ) -> Result<Option<(Txn, Tidied)>, TokenError> {
        self.load(view)?;
        self.count(view, now)?;
        let mut txn = Txn::default();
        if self.is_over(now)
            && let Some((to, _)) = self.marks.front().copied()
        {
            txn.delete_range(Events::range_to(to));
            txn.delete::<EventMarks>(&to);
            txn.insert::<EventFloor>(view.barrier(), &(), &to, random)?;
            return Ok(Some((txn, Tidied::Deleted(to))));
        }
        let old = |since: UnixMillis| now.get().saturating_sub(since.get()) >= EVENT_STRETCH_MS;
        if self.bytes >= self.stretch_bytes || self.since.is_some_and(old) {
            let mark = EventMark {
                bytes: self.bytes,
                closed: now,
            };
            txn.insert::<EventMarks>(view.barrier(), &self.counted, &mark, random)?;
            return Ok(Some((txn, Tidied::Closed(self.counted, mark))));
        }
        Ok(None)
    }

    /// Takes note of a step that was committed.
    pub fn settle(&mut self, done: Tidied) {
        match done {
            Tidied::Closed(to, mark) => {
                self.marks.push_back((to, mark));
                (self.bytes, self.since) = (0, None);
            }
            Tidied::Deleted(to) => self.marks.retain(|(mark, _)| *mark != to),
        }
    }

    fn load(&mut self, view: &View<'_>) -> Result<(), ReadError> {
        if self.loaded {
            return Ok(());
        }
        let mut marks = VecDeque::new();
        let (mut start, end) = range_of::<EventMarks>(&[]);
        loop {
            let rows = view.peek::<EventMarks>((start, end.clone()), PAGE_ROWS_MAX)?;
            let Some(last) = rows.last().map(|row| row.key) else {
                break;
            };
            start = successor(&key_of::<EventMarks>(&last));
            marks.extend(rows.into_iter().map(|row| (row.key, row.value)));
        }
        let floor = super::floor(view)?;
        self.counted = marks.back().map_or(floor, |(to, _)| *to);
        self.marks = marks;
        self.loaded = true;
        Ok(())
    }

    fn count(&mut self, view: &View<'_>, now: UnixMillis) -> Result<(), ReadError> {
        let after = Events::range_after(self.counted);
        for (revision, bytes) in view.peek_sizes::<Events>(after, EVENT_ROWS_COUNTED_MAX)? {
            self.counted = revision;
            self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
            self.since = self.since.or(Some(now));
        }
        Ok(())
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        let bytes: u64 = self.marks.iter().map(|(_, mark)| mark.bytes).sum();
        let oldest = self.marks.front().map(|(_, mark)| mark.closed);
        let age = oldest.map_or(0, |closed| now.get().saturating_sub(closed.get()));
        bytes.saturating_add(self.bytes) > self.bytes_max || age > EVENT_AGE_MS_MAX
    }
}
