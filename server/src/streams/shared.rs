//! The end of the events, opened once for all watches of a node. Only a shortcut: what it doesn't
//! hold is read from the state. It holds names in clear, and is empty while nobody watches.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tenure_core::{
    event,
    state::{Event, ReadError, View},
    types::limits::EVENT_ROWS_READ_MAX,
};

use crate::limits::WATCH_EVENTS_SHARED_MAX;

/// The events of one transaction, in order.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) revision: u64,
    pub(super) events: Arc<[Event]>,
}

/// A part of the events.
pub(super) enum Part {
    /// They go so far; there may be more.
    Events(Vec<Told>, u64),
    /// Those that were asked for are gone; these are the oldest that are left.
    Compacted { oldest: u64 },
}

#[derive(Default)]
struct Tail {
    /// All events after `from` and up to `to` are here.
    from: u64,
    to: u64,
    told: VecDeque<Told>,
    count: usize,
}

/// The shared end.
#[derive(Default)]
pub(super) struct Shared(Mutex<Tail>);

impl Shared {
    /// The next events after a revision, in a state.
    pub(super) fn after(&self, view: &View<'_>, after: u64) -> Result<Part, ReadError> {
        if after >= view.revision() {
            return Ok(Part::Events(Vec::new(), after));
        }
        let floor = event::floor(view)?;
        if after < floor {
            return Ok(Part::Compacted { oldest: floor + 1 });
        }
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.told.is_empty() || after > tail.to {
            // Nobody has looked for a while: it begins anew where somebody looks.
            *tail = Tail {
                from: after,
                to: after,
                ..Tail::default()
            };
        }
        if after < tail.from {
            drop(tail);
            let (told, to) = read(view, after)?;
            return Ok(Part::Events(told, to));
        }
        if tail.to < view.revision() {
            let (told, to) = read(view, tail.to)?;
            tail.extend(told, to);
        }
        Ok(tail.after(after, view.revision()))
    }

    /// Forgets all of it.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Tail::default();
    }
}

/// The first events after a revision, and how far they go. A page of rows may be short where
/// they are large: only an empty one says that there are no more.
fn read(view: &View<'_>, after: u64) -> Result<(Vec<Told>, u64), ReadError> {
    let rows = event::page(view, after, EVENT_ROWS_READ_MAX)?;
    let to = rows.last().map_or(view.revision(), |(last, _)| *last);
    let told = rows.into_iter().map(|(revision, events)| Told {
        revision,
        events: events.into(),
    });
    Ok((told.collect(), to))
}

impl Tail {
    fn extend(&mut self, told: Vec<Told>, to: u64) {
        self.count += told.iter().map(|told| told.events.len()).sum::<usize>();
        self.told.extend(told);
        self.to = to;
        while self.count > WATCH_EVENTS_SHARED_MAX
            && let Some(oldest) = self.told.pop_front()
        {
            self.count = self.count.saturating_sub(oldest.events.len());
            self.from = oldest.revision;
        }
    }

    /// What comes after a revision, up to that of the state that it is judged on: others may have
    /// read further.
    fn after(&self, after: u64, upto: u64) -> Part {
        if after < self.from {
            // What was asked for has just been pushed out: it is read next time.
            return Part::Events(Vec::new(), after);
        }
        let first = self.told.partition_point(|told| told.revision <= after);
        let known = self.told.range(first..);
        let told = known.take_while(|told| told.revision <= upto);
        let told: Vec<Told> = told.take(EVENT_ROWS_READ_MAX).cloned().collect();
        let to = match told.last() {
            Some(last) if told.len() == EVENT_ROWS_READ_MAX => last.revision,
            _ => self.to.min(upto).max(after),
        };
        Part::Events(told, to)
    }
}
