//! A linearizability checker for one register: the search of Wing and Gong with the memo of
//! Lowe. A history is accepted if its operations can be put in one order that respects real
//! time and in which every read sees the last write.
//!
//! Every written value is unique within its history.

use std::collections::HashSet;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It saw this value (`None`: no such key).
    Read(Option<u64>),
    /// It wrote this value.
    Write(u64),
    /// It replaced the first value by the second.
    Swap(Option<u64>, u64),
}

/// One operation of a client. Operations that certainly did nothing are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it did.
    pub action: Action,
    /// When it was called; any clock that all clients share.
    pub called: u64,
    /// When its answer came; `None` if its fate is unknown.
    pub returned: Option<u64>,
}

/// Whether a history is linearizable. The register starts without a value.
pub fn linearizable(history: &[Operation]) -> bool {
    Search::new(&prune(history)).run()
}

/// Leaves out what can't matter: reads that were not answered, and writes of unknown fate
/// whose value nobody saw (if an order with such a write exists, so does one without it).
fn prune(history: &[Operation]) -> Vec<Operation> {
    let seen: HashSet<u64> = history
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Read(value) => operation.returned.and(value),
            Action::Swap(expected, _) => expected,
            Action::Write(_) => None,
        })
        .collect();
    let matters = |operation: &&Operation| match operation.action {
        _ if operation.returned.is_some() => true,
        Action::Read(_) => false,
        Action::Write(value) | Action::Swap(_, value) => seen.contains(&value),
    };
    history.iter().filter(matters).copied().collect()
}

const END: usize = usize::MAX;

struct Event {
    operation: usize,
    is_return: bool,
    previous: usize,
    next: usize,
}

struct Search<'a> {
    history: &'a [Operation],
    /// Calls and returns in the order of time, as a linked list; the first is a sentinel.
    events: Vec<Event>,
    calls: Vec<usize>,
    returns: Vec<usize>,
    unplaced: usize,
    placed: Vec<u64>,
}

impl<'a> Search<'a> {
    fn new(history: &'a [Operation]) -> Self {
        let mut order: Vec<(u64, bool, usize)> = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            order.push((operation.called, false, index));
            if let Some(returned) = operation.returned {
                order.push((returned, true, index));
            }
        }
        // At the same time calls come before returns: that only allows more orders.
        order.sort_unstable();
        let mut events = vec![Event {
            operation: 0,
            is_return: true,
            previous: END,
            next: END,
        }];
        let mut calls = vec![END; history.len()];
        let mut returns = vec![END; history.len()];
        for (_, is_return, operation) in order {
            let at = events.len();
            events[at - 1].next = at;
            events.push(Event {
                operation,
                is_return,
                previous: at - 1,
                next: END,
            });
            if is_return {
                returns[operation] = at
            } else {
                calls[operation] = at
            }
        }
        let unplaced = history
            .iter()
            .filter(|operation| operation.returned.is_some())
            .count();
        let placed = vec![0; history.len().div_ceil(64)];
        Self {
            history,
            events,
            calls,
            returns,
            unplaced,
            placed,
        }
    }

    fn run(mut self) -> bool {
        let mut tried: HashSet<(Vec<u64>, Option<u64>)> = HashSet::new();
        let mut path: Vec<(usize, Option<u64>)> = Vec::new();
        let mut value = None;
        let mut at = self.events[0].next;
        while self.unplaced > 0 {
            if at != END && !self.events[at].is_return {
                let operation = self.events[at].operation;
                if let Some(after) = step(value, self.history[operation].action) {
                    self.flip(operation);
                    if tried.insert((self.placed.clone(), after)) {
                        path.push((operation, value));
                        value = after;
                        self.take_out(operation);
                        at = self.events[0].next;
                        continue;
                    }
                    self.flip(operation);
                }
                at = self.events[at].next;
                continue;
            }
            // A return whose call was not placed: go back.
            let Some((operation, before)) = path.pop() else {
                return false;
            };
            value = before;
            self.put_back(operation);
            self.flip(operation);
            at = self.events[self.calls[operation]].next;
        }
        true
    }

    fn flip(&mut self, operation: usize) {
        self.placed[operation / 64] ^= 1 << (operation % 64);
    }

    fn take_out(&mut self, operation: usize) {
        self.unlink(self.calls[operation]);
        if self.returns[operation] != END {
            self.unlink(self.returns[operation]);
            self.unplaced -= 1;
        }
    }

    fn put_back(&mut self, operation: usize) {
        if self.returns[operation] != END {
            self.relink(self.returns[operation]);
            self.unplaced += 1;
        }
        self.relink(self.calls[operation]);
    }

    fn unlink(&mut self, at: usize) {
        let (previous, next) = (self.events[at].previous, self.events[at].next);
        self.events[previous].next = next;
        if next != END {
            self.events[next].previous = previous;
        }
    }

    fn relink(&mut self, at: usize) {
        let (previous, next) = (self.events[at].previous, self.events[at].next);
        self.events[previous].next = at;
        if next != END {
            self.events[next].previous = at;
        }
    }
}

fn step(value: Option<u64>, action: Action) -> Option<Option<u64>> {
    match action {
        Action::Read(seen) => (seen == value).then_some(value),
        Action::Write(new) => Some(Some(new)),
        Action::Swap(expected, new) => (expected == value).then_some(Some(new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn op(action: Action, called: u64, returned: u64) -> Operation {
        Operation {
            action,
            called,
            returned: Some(returned),
        }
    }

    fn lost(action: Action, called: u64) -> Operation {
        Operation {
            action,
            called,
            returned: None,
        }
    }

    #[test]
    fn reads_see_the_last_write() {
        use Action::{Read, Write};
        assert!(linearizable(&[op(Write(1), 0, 1), op(Read(Some(1)), 2, 3)]));
        assert!(!linearizable(&[op(Write(1), 0, 1), op(Read(None), 2, 3)]));
        assert!(linearizable(&[op(Write(1), 0, 4), op(Read(None), 1, 2)]));
        let overlapping = [
            op(Write(1), 0, 10),
            op(Read(Some(1)), 1, 2),
            op(Read(None), 3, 4),
        ];
        assert!(!linearizable(&overlapping), "once seen, a write stays seen");
    }

    #[test]
    fn an_unknown_write_may_take_effect_late_or_never() {
        use Action::{Read, Write};
        let base = [op(Write(1), 0, 1), lost(Write(2), 2)];
        let with = |more: &[Operation]| linearizable(&[&base[..], more].concat());
        assert!(with(&[op(Read(Some(1)), 9, 10)]));
        assert!(with(&[op(Read(Some(2)), 9, 10)]));
        assert!(with(&[op(Read(Some(1)), 9, 10), op(Read(Some(2)), 11, 12)]));
        assert!(!with(&[
            op(Read(Some(2)), 9, 10),
            op(Read(Some(1)), 11, 12)
        ]));
    }

    #[test]
    fn a_swap_needs_its_value() {
        use Action::{Swap, Write};
        assert!(linearizable(&[
            op(Swap(None, 1), 0, 1),
            op(Swap(Some(1), 2), 2, 3)
        ]));
        assert!(!linearizable(&[
            op(Swap(None, 1), 0, 9),
            op(Swap(None, 2), 1, 8)
        ]));
        assert!(!linearizable(&[
            op(Write(1), 0, 1),
            op(Swap(None, 2), 2, 3)
        ]));
    }

    /// Histories made from a true order are accepted; with one read made stale they are not.
    #[test]
    fn random_histories() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut history = Vec::new();
            let mut value = None;
            for n in 1..400_u64 {
                let point = n * 10;
                let action = match random.below(3) {
                    0 => {
                        value = Some(n);
                        Action::Write(n)
                    }
                    1 if random.below(2) == 0 => {
                        let swap = Action::Swap(value, n);
                        value = Some(n);
                        swap
                    }
                    _ => Action::Read(value),
                };
                let called = point - random.below(60).min(point);
                history.push(op(action, called, point + random.below(60)));
            }
            assert!(linearizable(&history), "seed {seed}");
            let last = history
                .iter()
                .map(|operation| operation.returned.unwrap_or(0))
                .max();
            let after = last.unwrap_or(0) + 1;
            history.push(op(Action::Write(9_999), after, after + 1));
            history.push(op(Action::Read(value), after + 2, after + 3));
            assert!(!linearizable(&history), "seed {seed}");
        }
    }
}
