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

/// The shared end. A restore needs no word of its own here: its revision is above all that is held,
/// nothing before it is read any more, and behind it the end begins anew.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tenure_core::{
        barrier::{Barrier, Keyring},
        state::{About, EventKind, Op, RestoreMarks, Txn},
        testing::{MemoryStore, TestRandom},
        types::{Path, UnixMillis},
    };

    use super::*;

    /// So many transactions with an event each, about this prefix.
    fn tell(store: &mut MemoryStore, barrier: &Barrier, about: &str, count: usize) {
        for _ in 0..count {
            let mut txn = Txn::default();
            txn.tell(Event {
                kind: EventKind::Revoked,
                about: About::Prefix(Path::parse(about).unwrap()),
                at: UnixMillis::new(1),
                token: None,
                owner: None,
                expires: None,
            });
            txn.seal_events(barrier, &mut TestRandom::new(2)).unwrap();
            store.commit(txn.into_ops());
        }
    }

    /// The first and the last revision of a part, how far it goes and what it tells of.
    fn shown(part: Part) -> Option<(u64, u64, u64, String)> {
        let Part::Events(told, to) = part else {
            return None;
        };
        let (first, last) = (told.first().unwrap(), told.last().unwrap());
        let About::Prefix(path) = &last.events.first().unwrap().about else {
            return None;
        };
        Some((first.revision, last.revision, to, path.as_str().to_owned()))
    }

    /// A state that was restored has another history, also where its events have revisions that the
    /// end of the old one holds: nobody is shown one for the other, or led past what is missing.
    ///
    /// Planted bug: a floor that doesn't look at restores. Caught.
    #[test]
    fn a_restore_ends_what_is_shared() {
        let mut random = TestRandom::new(1);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        let barrier = Barrier::new(&keyring).unwrap();
        let (mut old, mut new) = (MemoryStore::default(), MemoryStore::default());
        tell(&mut old, &barrier, "old", 10);
        let shared = Shared::default();
        let view = View::new(&old, &barrier);
        let seen = shown(shared.after(&view, 2).unwrap());
        assert_eq!(seen, Some((3, 10, 10, "old".to_owned())));

        tell(&mut new, &barrier, "saved", 4);
        // The restore goes on above all that was; here by commits of nothing.
        (0..8).for_each(|_| drop(new.commit(Vec::<Op>::new())));
        let mut txn = Txn::default();
        txn.insert_plain::<RestoreMarks>(&(), &()).unwrap();
        new.commit(txn.into_ops());
        tell(&mut new, &barrier, "new", 3);
        let view = View::new(&new, &barrier);
        for after in 0..13 {
            let part = shared.after(&view, after).unwrap();
            assert!(matches!(part, Part::Compacted { oldest: 14 }), "{after}");
        }
        let seen = shown(shared.after(&view, 13).unwrap());
        assert_eq!(seen, Some((14, 16, 16, "new".to_owned())));
        let seen = shown(shared.after(&view, 14).unwrap());
        assert_eq!(seen, Some((15, 16, 16, "new".to_owned())));
    }
}
