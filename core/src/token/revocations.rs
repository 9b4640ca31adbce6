//! Pending tombstones, of tokens, of prefixes and of source paths, and orphan markers, in memory. The set is maintained from applied
//! keys and revisions alone, so that it needs no barrier key, and it must be at least as
//! new as any view that is judged by it: newer refuses more, older would let the dead live.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use crate::{
    barrier::{NameChain, TokenHash},
    state::{
        OrphanMarkers, PrefixTombstones, Store, StoreError, TAG, Table, TokenPathTombstones,
        Tombstones, range_of,
    },
};

/// Rows read at once while loading.
const LOAD_ROWS: usize = 1024;

/// Which tokens are revoked with their trees, which were cut out of theirs, and under which
/// prefixes leases, under which paths tokens are revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    tombstones: BTreeMap<TokenHash, u64>,
    markers: BTreeMap<TokenHash, u64>,
    prefixes: BTreeMap<NameChain, u64>,
    paths: BTreeMap<NameChain, u64>,
}

/// A key of one of the tables.
enum Entry {
    Tombstone(TokenHash),
    Marker(TokenHash),
    Prefix(NameChain),
    Path(NameChain),
}

impl Revocations {
    /// Reads the whole set, as when a state was opened or replaced.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut set = Self::default();
        for (mut start, end) in tables() {
            loop {
                let rows = store.scan(&start, &end, LOAD_ROWS)?;
                for (key, stored) in &rows {
                    set.put(key, stored.mod_revision);
                }
                match rows.last() {
                    Some((last, _)) if rows.len() == LOAD_ROWS => {
                        start = [last, [0].as_slice()].concat().into()
                    }
                    _ => break,
                }
            }
        }
        Ok(set)
    }

    /// Whether a change of this key concerns the set.
    pub fn concerns(key: &[u8]) -> bool {
        entry(key).is_some()
    }

    /// Whether the deletion of this range concerns the set.
    pub fn concerns_range(start: &[u8], end: &[u8]) -> bool {
        tables()
            .iter()
            .any(|(first, last)| start < last && first < end)
    }

    /// A record was written at `revision`.
    pub fn put(&mut self, key: &[u8], revision: u64) {
        match entry(key) {
            Some(Entry::Tombstone(hash)) => self.tombstones.insert(hash, revision),
            Some(Entry::Marker(hash)) => self.markers.insert(hash, revision),
            Some(Entry::Prefix(chain)) => self.prefixes.insert(chain, revision),
            Some(Entry::Path(chain)) => self.paths.insert(chain, revision),
            None => None,
        };
    }

    /// A record was deleted.
    pub fn delete(&mut self, key: &[u8]) {
        match entry(key) {
            Some(Entry::Tombstone(hash)) => self.tombstones.remove(&hash),
            Some(Entry::Marker(hash)) => self.markers.remove(&hash),
            Some(Entry::Prefix(chain)) => self.prefixes.remove(&chain),
            Some(Entry::Path(chain)) => self.paths.remove(&chain),
            None => None,
        };
    }

    /// All records from `start` (inclusive) to `end` (exclusive) were deleted.
    pub fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        let outside = |table: u8, rest: &[u8]| {
            let key = [&[TAG, table], rest].concat();
            key.as_slice() < start || key.as_slice() >= end
        };
        self.tombstones
            .retain(|hash, _| outside(Tombstones::ID, hash.as_bytes()));
        self.markers
            .retain(|hash, _| outside(OrphanMarkers::ID, hash.as_bytes()));
        self.prefixes
            .retain(|chain, _| outside(PrefixTombstones::ID, chain.as_bytes()));
        self.paths
            .retain(|chain, _| outside(TokenPathTombstones::ID, chain.as_bytes()));
    }

    /// The pending tombstones: what clean-up has to do.
    pub fn tombstones(&self) -> impl ExactSizeIterator<Item = &TokenHash> {
        self.tombstones.keys()
    }

    /// The orphan markers: what [`super::sweep_marker`] may remove.
    pub fn markers(&self) -> impl Iterator<Item = &TokenHash> {
        self.markers.keys()
    }

    /// The prefixes under which leases are revoked: what
    /// [`clean_up_prefix`](crate::lease::clean_up_prefix) has to do.
    pub fn prefixes(&self) -> impl ExactSizeIterator<Item = &NameChain> {
        self.prefixes.keys()
    }

    /// The paths whose tokens are revoked: what [`super::clean_up_path`] has to do.
    pub fn paths(&self) -> impl Iterator<Item = &NameChain> {
        self.paths.keys()
    }

    /// The revision of a path's tombstone.
    pub fn path(&self, chain: &NameChain) -> Option<u64> {
        self.paths.get(chain).copied()
    }

    /// Whether a tombstone on its path or above it kills a token of this age.
    pub(super) fn kill_path(&self, made_at: &NameChain, created: u64) -> bool {
        let hit = |chain: NameChain| self.path(&chain).is_some_and(|at| created <= at);
        made_at.prefixes().any(hit)
    }

    /// The first of the pending tombstones after `after`, or else the first of all.
    pub fn next_tombstone(&self, after: Option<&TokenHash>) -> Option<&TokenHash> {
        next(&self.tombstones, after)
    }

    /// The same of the orphan markers.
    pub fn next_marker(&self, after: Option<&TokenHash>) -> Option<&TokenHash> {
        next(&self.markers, after)
    }

    /// The same of the prefixes.
    pub fn next_prefix(&self, after: Option<&NameChain>) -> Option<&NameChain> {
        next(&self.prefixes, after)
    }

    /// The revision of a token's orphan marker.
    pub(super) fn marker(&self, hash: &TokenHash) -> Option<u64> {
        self.markers.get(hash).copied()
    }

    /// The revision of a prefix's tombstone.
    pub(crate) fn prefix(&self, chain: &NameChain) -> Option<u64> {
        self.prefixes.get(chain).copied()
    }

    /// Whether a tombstone on a prefix kills a lease of this age. (Its token's end does, too:
    /// that is judged by the token.)
    pub(crate) fn kill_lease(&self, lease: &NameChain, created: u64) -> bool {
        let hit = |chain: NameChain| self.prefix(&chain).is_some_and(|at| created <= at);
        !self.prefixes.is_empty() && lease.prefixes().any(hit)
    }

    /// The revision of a token's tombstone.
    pub(super) fn tombstone(&self, hash: &TokenHash) -> Option<u64> {
        self.tombstones.get(hash).copied()
    }

    /// Whether a tombstone kills a token of this age: on itself or on what it depends on.
    pub(super) fn kill(&self, hash: &TokenHash, ancestors: &[TokenHash], created: u64) -> bool {
        let hit = |hash: &TokenHash| self.tombstones.get(hash).is_some_and(|&at| created <= at);
        hit(hash) || ancestors.iter().any(hit)
    }

    /// The part of a record's ancestors that a token of this age still depends on: what
    /// lies below the last cut.
    pub(super) fn uncut<'a>(&self, ancestors: &'a [TokenHash], created: u64) -> &'a [TokenHash] {
        let cut = |hash: &TokenHash| self.markers.get(hash).is_some_and(|&at| created <= at);
        let from = ancestors.iter().rposition(cut).map_or(0, |last| last + 1);
        ancestors.get(from..).unwrap_or_default()
    }
}

/// Where the tables lie.
fn tables() -> [(Bytes, Bytes); 4] {
    [
        range_of::<Tombstones>(&[]),
        range_of::<OrphanMarkers>(&[]),
        range_of::<PrefixTombstones>(&[]),
        range_of::<TokenPathTombstones>(&[]),
    ]
}

/// What a key stands for, if it belongs to one of the tables.
fn entry(key: &[u8]) -> Option<Entry> {
    let (&[tag, table], rest) = key.split_first_chunk::<2>()?;
    match table {
        _ if tag != TAG => None,
        Tombstones::ID => TokenHash::from_slice(rest).map(Entry::Tombstone),
        OrphanMarkers::ID => TokenHash::from_slice(rest).map(Entry::Marker),
        PrefixTombstones::ID => NameChain::from_slice(rest).map(Entry::Prefix),
        TokenPathTombstones::ID => NameChain::from_slice(rest)
            .filter(|chain| !chain.is_empty())
            .map(Entry::Path),
        _ => None,
    }
}

/// In rounds, so that a long one doesn't hold up the others.
fn next<'a, K: Ord>(set: &'a BTreeMap<K, u64>, after: Option<&K>) -> Option<&'a K> {
    let later = after.and_then(|after| {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        set.range::<K, _>(range).next()
    });
    later.or_else(|| set.first_key_value()).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Tokens, key_of};

    fn hash(n: u8) -> TokenHash {
        TokenHash::from_slice(&[n; 32]).unwrap()
    }

    #[test]
    fn age_decides() {
        let mut set = Revocations::default();
        set.put(&key_of::<Tombstones>(&hash(1)), 10);
        set.put(&key_of::<Tokens>(&hash(2)), 10);
        assert!(set.kill(&hash(1), &[], 10));
        assert!(!set.kill(&hash(1), &[], 11));
        assert!(set.kill(&hash(3), &[hash(5), hash(1)], 9));
        assert!(!set.kill(&hash(2), &[], 1));
        set.delete(&key_of::<Tombstones>(&hash(1)));
        assert_eq!(set, Revocations::default());
    }

    #[test]
    fn a_cut_frees_from_what_lies_above() {
        let mut set = Revocations::default();
        set.put(&key_of::<OrphanMarkers>(&hash(2)), 10);
        let chain = [hash(1), hash(2), hash(3)];
        assert_eq!(set.uncut(&chain, 10), [hash(3)]);
        assert_eq!(set.uncut(&chain, 11), chain);
        assert_eq!(set.uncut(&chain[..2], 5), []);
        set.put(&key_of::<OrphanMarkers>(&hash(3)), 12);
        assert_eq!(set.uncut(&chain, 10), []);
    }

    #[test]
    fn ranges_are_exact() {
        let mut set = Revocations::default();
        for n in 1..=4 {
            set.put(&key_of::<Tombstones>(&hash(n)), 1);
            set.put(&key_of::<OrphanMarkers>(&hash(n)), 1);
        }
        set.delete_range(
            &key_of::<Tombstones>(&hash(2)),
            &key_of::<Tombstones>(&hash(4)),
        );
        assert_eq!(set.tombstones().collect::<Vec<_>>(), [&hash(1), &hash(4)]);
        assert_eq!(set.markers().count(), 4);
        assert!(!Revocations::concerns(&key_of::<Tokens>(&hash(1))));
        let (start, end) = range_of::<Tombstones>(&[]);
        assert!(Revocations::concerns_range(&start, &end));
        let (start, end) = range_of::<Tokens>(&[]);
        assert!(!Revocations::concerns_range(&start, &end));
        assert!(!Revocations::concerns(b""));
    }
    #[test]
    fn a_prefix_kills_what_lies_under_it_and_is_no_younger() {
        let chain = |names: &[u8]| {
            let hashes: Vec<u8> = names.iter().flat_map(|n| [*n; 16]).collect();
            NameChain::from_slice(&hashes).unwrap()
        };
        let mut set = Revocations::default();
        set.put(&key_of::<PrefixTombstones>(&chain(&[1, 2])), 10);
        assert!(set.kill_lease(&chain(&[1, 2, 3]), 10));
        assert!(set.kill_lease(&chain(&[1, 2]), 1));
        assert!(!set.kill_lease(&chain(&[1, 2, 3]), 11));
        assert!(!set.kill_lease(&chain(&[1, 3, 2]), 1));
        assert!(!set.kill_lease(&chain(&[1]), 1));
        let (start, end) = range_of::<PrefixTombstones>(&[]);
        set.delete_range(&start, &end);
        assert_eq!(set, Revocations::default());
    }

    #[test]
    fn the_next_one_comes_round() {
        let mut set = Revocations::default();
        assert_eq!(set.next_tombstone(None), None);
        for n in 1..=3 {
            set.put(&key_of::<Tombstones>(&hash(n)), 1);
        }
        assert_eq!(set.next_tombstone(None), Some(&hash(1)));
        assert_eq!(set.next_tombstone(Some(&hash(1))), Some(&hash(2)));
        assert_eq!(set.next_tombstone(Some(&hash(3))), Some(&hash(1)));
    }
}
