//! Where the expiration manager stands, and whose turn it is: expiry takes every other step
//! while there is clean-up to do, so that neither holds up the other. Only a shortcut: an
//! empty one is always right.

use std::collections::BTreeMap;

use tenure_core::{
    barrier::{NameChain, TokenHash},
    event::{Tidied, Tidy},
    lease::{PrefixCursor, PrefixProgress},
    state::{Due, DueCursor},
    token::{Cursor, PathCursor, PathProgress, Progress, Revocations},
    types::UnixMillis,
};

/// After so many rows that were deleted one by one, what they left is deleted as a range.
pub(super) const TRIM_AFTER_ROWS: usize = 4_096;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is due.
    Expiry,
    /// The trees of revoked tokens.
    Tokens,
    /// The leases under revoked prefixes.
    Prefixes,
    /// The tokens that were made under revoked paths.
    Paths,
    /// What revoked tokens left whose children live on.
    Markers,
    /// The head of the time index.
    Trim,
    /// The oldest events.
    Events,
    /// What was there before a lease-count quota.
    Quotas,
    /// Of what is due the kept answers alone.
    Answers,
}

impl Kind {
    /// Whether it has its turns while the manager is held, or isn't: after a restore all is held
    /// that clears away tokens, leases or what is to be known of their end.
    pub(super) fn has_turns(self, held: bool) -> bool {
        match self {
            Self::Events | Self::Quotas => true,
            // Else they go with all that is due.
            Self::Answers => held,
            _ => !held,
        }
    }
}

/// One round.
const ROUND: [Kind; 15] = [
    Kind::Expiry,
    Kind::Tokens,
    Kind::Expiry,
    Kind::Prefixes,
    Kind::Expiry,
    Kind::Paths,
    Kind::Expiry,
    Kind::Markers,
    Kind::Expiry,
    Kind::Trim,
    Kind::Expiry,
    Kind::Events,
    Kind::Expiry,
    Kind::Quotas,
    // Expiry has no turns while this has.
    Kind::Answers,
];

/// A step that was committed.
pub(super) enum Done {
    /// The rows that were due.
    Expired(Vec<Due>),
    /// The rows that were due: the answers among them are gone, the others stay.
    Answered(Vec<Due>),
    Cleaned(Vec<(TokenHash, Progress)>),
    CleanedPrefix(NameChain, PrefixProgress),
    CleanedPath(NameChain, PathProgress),
    Swept,
    Counted,
    /// Up to here.
    Trimmed(UnixMillis),
    Tidied(Tidied),
}

/// Where everything stands.
#[derive(Default)]
pub(super) struct Rounds {
    turn: usize,
    /// Behind the last row of the time index that was dealt with.
    pub(super) due: DueCursor,
    /// Behind the last one that was looked at for answers. Its own: what is held is still to be
    /// dealt with.
    pub(super) answers: DueCursor,
    /// Where the last trim ended, what was deleted since, and up to where.
    pub(super) trimmed: DueCursor,
    deleted: usize,
    deleted_to: Option<UnixMillis>,
    tokens: BTreeMap<TokenHash, Cursor>,
    /// The tombstone that had the last turn.
    token: Option<TokenHash>,
    prefixes: BTreeMap<NameChain, PrefixCursor>,
    pub(super) prefix: Option<NameChain>,
    paths: BTreeMap<NameChain, PathCursor>,
    /// Paths under which nothing is left, by the revision of their tombstone, and when that goes.
    kept: BTreeMap<NameChain, (u64, UnixMillis)>,
    /// What is known of the events.
    pub(super) events: Tidy,
    /// The orphan marker that was looked at last.
    pub(super) marker: Option<TokenHash>,
    /// The revision of the lease-count quotas at which none was counting.
    pub(super) counted: Option<u64>,
}

impl Rounds {
    /// The kinds in the order in which they are asked now.
    pub(super) fn order(&self) -> impl Iterator<Item = Kind> + use<> {
        let turn = self.turn;
        (0..ROUND.len()).filter_map(move |step| ROUND.get((turn + step) % ROUND.len()).copied())
    }

    /// The same kind had its turn: the next one begins.
    pub(super) fn pass(&mut self, kind: Kind) {
        let skipped = self.order().position(|next| next == kind).unwrap_or(0);
        self.turn = (self.turn + skipped + 1) % ROUND.len();
    }

    /// The pending tombstones of tokens, each once, from the one after the last turn on, and where
    /// the clean-up of each stands.
    pub(super) fn trees<'a>(
        &'a self,
        set: &'a Revocations,
    ) -> impl Iterator<Item = (TokenHash, Cursor)> + 'a {
        let mut last = self.token;
        (0..set.tombstones().len()).map_while(move |_| {
            last = set.next_tombstone(last.as_ref()).copied();
            let cursor = |top| (top, self.tokens.get(&top).cloned().unwrap_or_default());
            last.map(cursor)
        })
    }

    pub(super) fn prefix_cursor(&self, prefix: &NameChain) -> PrefixCursor {
        self.prefixes.get(prefix).cloned().unwrap_or_default()
    }

    pub(super) fn path_cursor(&self, path: &NameChain) -> PathCursor {
        self.paths.get(path).cloned().unwrap_or_default()
    }

    /// Whether nothing is to be done about the tombstone of a path for now.
    pub(super) fn is_kept(
        &self,
        path: &NameChain,
        tombstone: Option<u64>,
        now: UnixMillis,
    ) -> bool {
        let kept = self.kept.get(path);
        kept.is_some_and(|(revision, until)| Some(*revision) == tombstone && now < *until)
    }

    /// Up to where the head of the index is to be trimmed, if it is time.
    pub(super) fn trim_to(&self) -> Option<UnixMillis> {
        self.deleted_to.filter(|_| self.deleted >= TRIM_AFTER_ROWS)
    }

    /// Takes note of a step that was committed.
    pub(super) fn settle(&mut self, done: Done) {
        match done {
            Done::Expired(rows) => {
                if let Some(last) = rows.last() {
                    self.due = DueCursor::after(last);
                    self.deleted_to = self.deleted_to.max(Some(last.at));
                }
                self.deleted += rows.len();
            }
            Done::Answered(rows) => {
                if let Some(last) = rows.last() {
                    self.answers = DueCursor::after(last);
                }
            }
            Done::Cleaned(trees) => {
                for (top, progress) in trees {
                    match progress {
                        Progress::More(cursor) => self.tokens.insert(top, cursor),
                        Progress::Done => self.tokens.remove(&top),
                    };
                    self.token = Some(top);
                }
            }
            Done::CleanedPrefix(prefix, progress) => {
                match progress {
                    PrefixProgress::More(cursor) => self.prefixes.insert(prefix.clone(), cursor),
                    PrefixProgress::Done => self.prefixes.remove(&prefix),
                };
                self.prefix = Some(prefix);
            }
            Done::CleanedPath(path, progress) => {
                self.paths.remove(&path);
                self.kept.remove(&path);
                match progress {
                    PathProgress::More(cursor) => drop(self.paths.insert(path, cursor)),
                    PathProgress::Kept(revision, until) => {
                        self.kept.insert(path, (revision, until));
                    }
                    PathProgress::Done => {}
                }
            }
            Done::Swept | Done::Counted => {}
            Done::Tidied(done) => self.events.settle(done),
            Done::Trimmed(end) => {
                self.trimmed = DueCursor::at(end);
                self.deleted = 0;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tenure_core::state::{DueKind, Tombstones, key_of};

    use super::*;

    fn due(at: u64) -> Due {
        Due {
            at: UnixMillis::new(at),
            kind: DueKind::Token(TokenHash::from_slice(&[1; 32]).unwrap()),
        }
    }

    /// Who gets the next turns while these have work.
    fn turns(rounds: &mut Rounds, busy: &[Kind], count: usize) -> Vec<Kind> {
        let mut had = Vec::new();
        for _ in 0..count {
            let kind = rounds.order().find(|kind| busy.contains(kind)).unwrap();
            rounds.pass(kind);
            had.push(kind);
        }
        had
    }

    #[test]
    fn expiry_takes_every_other_step_and_nobody_starves() {
        use Kind::{Expiry, Markers, Prefixes, Tokens};
        let mut rounds = Rounds::default();
        let had = turns(&mut rounds, &[Expiry, Tokens, Prefixes, Markers], 80);
        let count = |kind| had.iter().filter(|had| **had == kind).count();
        assert!(count(Expiry) >= 40, "{had:?}");
        assert!(
            [Tokens, Prefixes, Markers]
                .into_iter()
                .all(|kind| count(kind) >= 8)
        );
        let had = turns(&mut rounds, &[Expiry, Tokens], 40);
        let tokens = had.iter().filter(|had| **had == Tokens).count();
        assert!((5..=20).contains(&tokens), "{had:?}");
        assert_eq!(turns(&mut rounds, &[Tokens], 3), [Tokens; 3]);
        assert_eq!(turns(&mut rounds, &[Expiry], 3), [Expiry; 3]);
    }

    /// Planted bug: a held manager that does nothing at all. Caught in `tests/e2e/backup`.
    #[test]
    fn what_grows_or_counts_is_not_held() {
        let rounds = Rounds::default();
        let goes_on: Vec<_> = (rounds.order())
            .filter(|kind| kind.has_turns(true))
            .collect();
        assert_eq!(goes_on, [Kind::Events, Kind::Quotas, Kind::Answers]);
        let mut idle = rounds.order().filter(|kind| !kind.has_turns(false));
        assert_eq!((idle.next(), idle.next()), (Some(Kind::Answers), None));
    }

    #[test]
    fn looking_for_answers_passes_over_nothing_that_is_held() {
        let mut rounds = Rounds::default();
        rounds.settle(Done::Answered(vec![due(50)]));
        assert_eq!(rounds.answers, DueCursor::after(&due(50)));
        assert_eq!(rounds.due, DueCursor::default());
    }

    #[test]
    fn the_cursor_moves_behind_what_was_done_and_back_for_what_comes_earlier() {
        let mut rounds = Rounds::default();
        rounds.settle(Done::Expired(vec![due(50)]));
        assert_eq!(rounds.due, DueCursor::after(&due(50)));
        rounds.due.rewind(UnixMillis::new(60));
        assert_eq!(rounds.due, DueCursor::after(&due(50)));
        rounds.due.rewind(UnixMillis::new(50));
        assert_eq!(rounds.due, DueCursor::at(UnixMillis::new(50)));
    }

    #[test]
    fn every_tree_has_its_turn_and_goes_on_where_it_was() {
        let hash = |n| TokenHash::from_slice(&[n; 32]).unwrap();
        let (mut rounds, mut set) = (Rounds::default(), Revocations::default());
        assert_eq!(rounds.trees(&set).count(), 0);
        for n in 1..=4 {
            set.put(&key_of::<Tombstones>(&hash(n)), 1);
        }
        let order = |rounds: &Rounds| -> Vec<_> {
            let trees = rounds.trees(&set);
            trees.map(|(top, _)| top).collect()
        };
        assert_eq!(order(&rounds), [1, 2, 3, 4].map(hash));
        // There was time for two of them.
        let more = |n| (hash(n), Progress::More(Cursor::default()));
        rounds.settle(Done::Cleaned(vec![more(1), more(2)]));
        assert_eq!(order(&rounds), [3, 4, 1, 2].map(hash));
        assert_eq!(rounds.tokens.len(), 2);
        rounds.settle(Done::Cleaned(vec![(hash(1), Progress::Done)]));
        assert_eq!(rounds.tokens.len(), 1);
    }

    #[test]
    fn the_head_is_trimmed_now_and_then() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.trim_to(), None);
        rounds.settle(Done::Expired(vec![due(50); TRIM_AFTER_ROWS - 1]));
        assert_eq!(rounds.trim_to(), None);
        // A row in front of the cursor doesn't take the end back.
        rounds.settle(Done::Expired(vec![due(40)]));
        let end = rounds.trim_to().unwrap();
        assert_eq!(end, UnixMillis::new(50));
        rounds.settle(Done::Trimmed(end));
        assert_eq!(rounds.trim_to(), None);
        assert_eq!(rounds.trimmed, DueCursor::at(end));
    }
}
