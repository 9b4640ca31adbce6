//! Pending tombstones and orphan markers, in memory. The set is maintained from applied
//! keys and revisions alone, so that it needs no barrier key, and it must be at least as
//! new as any view that is judged by it: newer refuses more, older would let the dead live.

use std::collections::BTreeMap;

use crate::{
    barrier::TokenHash,
    state::{OrphanMarkers, Store, StoreError, Table, Tombstones, range_of},
};

/// Rows read at once while loading.
const LOAD_ROWS: usize = 1024;

/// Which tokens are revoked with their trees, and which were cut out of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    tombstones: BTreeMap<TokenHash, u64>,
    markers: BTreeMap<TokenHash, u64>,
}

impl Revocations {
    /// Reads the whole set, as when a state was opened or replaced.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut set = Self::default();
        for (mut start, end) in [range_of::<Tombstones>(&[]), range_of::<OrphanMarkers>(&[])] {
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
        table_and_hash(key).is_some()
    }

    /// A record was written at `revision`.
    pub fn put(&mut self, key: &[u8], revision: u64) {
        if let Some((table, hash)) = table_and_hash(key) {
            self.of(table).insert(hash, revision);
        }
    }

    /// A record was deleted.
    pub fn delete(&mut self, key: &[u8]) {
        if let Some((table, hash)) = table_and_hash(key) {
            self.of(table).remove(&hash);
        }
    }

    /// All records from `start` (inclusive) to `end` (exclusive) were deleted.
    pub fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        let outside = |table: u8, hash: &TokenHash| {
            let key = [&[crate::state::TAG, table], hash.as_bytes().as_slice()].concat();
            key.as_slice() < start || key.as_slice() >= end
        };
        self.tombstones
            .retain(|hash, _| outside(Tombstones::ID, hash));
        self.markers
            .retain(|hash, _| outside(OrphanMarkers::ID, hash));
    }

    /// The pending tombstones: what clean-up has to do.
    pub fn tombstones(&self) -> impl Iterator<Item = &TokenHash> {
        self.tombstones.keys()
    }

    /// The orphan markers: what [`super::sweep_marker`] may remove.
    pub fn markers(&self) -> impl Iterator<Item = &TokenHash> {
        self.markers.keys()
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

    fn of(&mut self, table: u8) -> &mut BTreeMap<TokenHash, u64> {
        if table == Tombstones::ID {
            &mut self.tombstones
        } else {
            &mut self.markers
        }
    }
}

/// Table and hash of a key, if it belongs to one of the two tables.
fn table_and_hash(key: &[u8]) -> Option<(u8, TokenHash)> {
    let (&[tag, table], hash) = key.split_first_chunk::<2>()?;
    let ours = tag == crate::state::TAG && [Tombstones::ID, OrphanMarkers::ID].contains(&table);
    Some((table, TokenHash::from_slice(hash)?)).filter(|_| ours)
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
        assert!(!Revocations::concerns(b""));
    }
}
