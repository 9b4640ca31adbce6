//! Finds out whether a transaction's reads still hold: optimistic concurrency control over
//! a window of recent writes (FoundationDB's resolver, in small). In memory, on the active
//! node only; empty after each change of leadership.
//!
//! **Invariant:** it may refuse a transaction that would have been fine (its reads are
//! older than the window); it never passes one whose reads were changed.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;

use crate::{
    txn::{Op, ReadSet},
    types::Revision,
};

/// Keys and ranges remembered. A transaction that read before the oldest of them conflicts.
pub const WINDOW_WRITES_MAX: usize = 200_000;

/// Recent writes by key.
pub struct Resolver {
    /// Writes at or before this revision are forgotten.
    floor: Revision,
    last_write: BTreeMap<Bytes, Revision>,
    /// Range deletes, oldest first.
    ranges: VecDeque<(Revision, Bytes, Bytes)>,
    /// Point writes in order, for forgetting.
    order: VecDeque<(Revision, Bytes)>,
    window_max: usize,
}

impl Resolver {
    /// An empty window that starts after `applied`.
    pub fn new(applied: Revision) -> Self {
        Self::with_window(applied, WINDOW_WRITES_MAX)
    }

    fn with_window(applied: Revision, window_max: usize) -> Self {
        Self {
            floor: applied,
            last_write: BTreeMap::new(),
            ranges: VecDeque::new(),
            order: VecDeque::new(),
            window_max,
        }
    }

    /// The newest change of anything in `reads` after `revision`, at which it was read;
    /// `None` when all of it still holds. A state that shows that revision shows the change.
    pub fn changed(&self, revision: Revision, reads: &ReadSet) -> Option<Revision> {
        if reads.keys.is_empty() && reads.ranges.is_empty() {
            return None;
        }
        let keys = reads.keys.iter().map(|key| self.key_changed(key));
        let ranges = reads.ranges.iter();
        let ranges = ranges.map(|(start, end)| self.range_changed(revision, start, end));
        let cleared = self.cleared(revision, reads);
        // What is forgotten may have changed any of it.
        let forgotten = Some(self.floor);
        let newest = keys.chain(ranges).flatten().chain(cleared).chain(forgotten);
        newest.max().filter(|newest| *newest > revision)
    }

    fn key_changed(&self, key: &Bytes) -> Option<Revision> {
        self.last_write.get(key).copied()
    }

    fn range_changed(&self, revision: Revision, start: &Bytes, end: &Bytes) -> Option<Revision> {
        if start >= end {
            return None;
        }
        let bounds = (Bound::Included(start.clone()), Bound::Excluded(end.clone()));
        let writes = self.last_write.range(bounds).map(|(_, at)| *at);
        writes.filter(|at| *at > revision).max()
    }

    /// The newest range delete after `revision` that touches what was read.
    fn cleared(&self, revision: Revision, reads: &ReadSet) -> Option<Revision> {
        let mut deletes = self.ranges_after(revision);
        let touching = deletes.find(|(_, from, to)| {
            reads.keys.iter().any(|key| from <= key && key < to)
                || reads
                    .ranges
                    .iter()
                    .any(|(start, end)| start < end && from < to && from < end && start < to)
        });
        touching.map(|(at, _, _)| *at)
    }

    fn ranges_after(&self, revision: Revision) -> impl Iterator<Item = &(Revision, Bytes, Bytes)> {
        self.ranges
            .iter()
            .rev()
            .take_while(move |(at, _, _)| *at > revision)
    }

    /// Notes the writes of the transaction that got `revision`.
    pub fn record(&mut self, revision: Revision, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Put { key, .. } | Op::Delete(key) => {
                    self.last_write.insert(key.clone(), revision);
                    self.order.push_back((revision, key.clone()));
                }
                Op::DeleteRange(start, end) => {
                    self.ranges
                        .push_back((revision, start.clone(), end.clone()));
                }
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        while self.order.len() > self.window_max {
            if let Some((revision, key)) = self.order.pop_front() {
                if self.last_write.get(&key) == Some(&revision) {
                    self.last_write.remove(&key);
                }
                self.floor = self.floor.max(revision);
            }
        }
        while self.ranges.len() > self.window_max {
            if let Some((revision, _, _)) = self.ranges.pop_front() {
                self.floor = self.floor.max(revision);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    fn put(n: u8) -> Op {
        Op::Put {
            key: key(n),
            value: Bytes::new(),
            create_revision: None,
        }
    }

    fn holds(resolver: &Resolver, revision: Revision, reads: &ReadSet) -> bool {
        resolver.changed(revision, reads).is_none()
    }

    fn reads(keys: &[u8], ranges: &[(u8, u8)]) -> ReadSet {
        ReadSet {
            keys: keys.iter().map(|n| key(*n)).collect(),
            ranges: ranges.iter().map(|(a, b)| (key(*a), key(*b))).collect(),
        }
    }

    #[test]
    fn a_write_after_the_read_conflicts_and_one_before_does_not() {
        let mut resolver = Resolver::new(10);
        resolver.record(11, &[put(1)]);
        assert!(!holds(&resolver, 10, &reads(&[1], &[])));
        assert!(holds(&resolver, 11, &reads(&[1], &[])));
        assert!(holds(&resolver, 10, &reads(&[2], &[])));
        assert!(!holds(&resolver, 10, &reads(&[], &[(0, 2)])));
        assert!(holds(&resolver, 10, &reads(&[], &[(2, 9)])));
        resolver.record(12, &[put(5)]);
        assert_eq!(resolver.changed(10, &reads(&[1, 5], &[])), Some(12));
        assert_eq!(resolver.changed(10, &reads(&[5], &[(0, 2)])), Some(12));
    }

    #[test]
    fn a_range_delete_conflicts_with_keys_and_ranges_inside() {
        let mut resolver = Resolver::new(0);
        resolver.record(1, &[Op::DeleteRange(key(3), key(6))]);
        assert!(!holds(&resolver, 0, &reads(&[3], &[])));
        assert!(holds(&resolver, 0, &reads(&[6], &[])));
        assert!(!holds(&resolver, 0, &reads(&[], &[(5, 9)])));
        assert!(holds(&resolver, 0, &reads(&[], &[(6, 9)])));
        assert!(holds(&resolver, 1, &reads(&[3], &[(0, 9)])));
    }

    #[test]
    fn blind_writes_never_conflict_and_old_reads_always_do() {
        let mut resolver = Resolver::with_window(5, 2);
        for revision in 6..20 {
            resolver.record(revision, &[put(revision as u8)]);
        }
        assert!(holds(&resolver, 0, &ReadSet::default()));
        assert!(!holds(&resolver, 4, &reads(&[200], &[])));
        assert!(!holds(&resolver, 10, &reads(&[200], &[])));
        assert!(holds(&resolver, 18, &reads(&[200], &[])));
        assert!(resolver.last_write.len() <= 2);
    }

    proptest! {
        /// Against the whole history: whatever the window forgets, no changed read passes; and
        /// while it has forgotten nothing, the newest change is told exactly.
        #[test]
        fn never_passes_a_changed_read(
            writes in prop::collection::vec((0u8..20, 0u8..20, any::<bool>()), 1..60),
            at in 0u64..60,
            keys in prop::collection::vec(0u8..20, 0..4),
            ranges in prop::collection::vec((0u8..20, 0u8..20), 0..3),
            window in 1usize..100,
        ) {
            let mut resolver = Resolver::with_window(0, window);
            let mut newest = None;
            for (index, (a, b, is_range)) in writes.iter().enumerate() {
                let revision = index as u64 + 1;
                let (from, to) = if *is_range { (*a.min(b), *a.max(b)) } else { (*a, *a + 1) };
                let op = if *is_range { Op::DeleteRange(key(from), key(to)) } else { put(*a) };
                resolver.record(revision, &[op]);
                if revision > at {
                    let in_keys = keys.iter().any(|k| from <= *k && *k < to);
                    let in_ranges =
                        ranges.iter().any(|(s, e)| s < e && from < *e && *s < to && from < to);
                    if in_keys || in_ranges {
                        newest = Some(revision);
                    }
                }
            }
            let found = resolver.changed(at, &reads(&keys, &ranges));
            prop_assert!(found.is_none_or(|found| at < found && found <= writes.len() as u64));
            prop_assert!(found >= newest, "{:?} found, {:?} changed it", found, newest);
            if resolver.floor == 0 {
                prop_assert_eq!(found, newest);
            }
        }
    }
}
