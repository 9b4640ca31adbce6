//! Stand-ins for tests and simulations: repeatable randomness and a store in memory.
//! Never part of a production build.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    random::Random,
    state::{Op, Store, StoreError, Stored},
};

/// Repeatable bytes (SplitMix64). Not secure: for tests alone.
pub struct TestRandom(u64);

impl TestRandom {
    /// A stream that depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the stream.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for TestRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// How often a property is tried: `usual` times, or as `PROPTEST_CASES` says, for the full
/// figures.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests alone take their size from outside"
)]
pub(crate) fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let cases = asked.and_then(|text| text.parse().ok()).unwrap_or(usual);
    proptest::test_runner::Config {
        cases,
        ..Default::default()
    }
}

/// What one committed operation changed, as apply reports it: enough to maintain what is
/// kept in memory from keys alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A record was written.
    Put(Bytes, u64),
    /// A record was deleted.
    Delete(Bytes),
    /// A range was deleted.
    DeleteRange(Bytes, Bytes),
}

/// A replicated store in miniature: ordered keys, a revision for each transaction.
#[derive(Clone, Default)]
pub struct MemoryStore {
    records: BTreeMap<Bytes, Stored>,
    revision: u64,
}

impl MemoryStore {
    /// Applies a transaction as apply does: blind, under the next revision.
    pub fn commit(&mut self, ops: Vec<Op>) -> Vec<Change> {
        self.revision += 1;
        let revision = self.revision;
        let mut changes = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Put {
                    key,
                    value,
                    create_revision,
                } => {
                    let stored = Stored {
                        value,
                        create_revision: create_revision.unwrap_or(revision),
                        mod_revision: revision,
                    };
                    self.records.insert(key.clone(), stored);
                    changes.push(Change::Put(key, revision));
                }
                Op::PutAtRevision { prefix, value } => {
                    let key = Bytes::from([prefix.as_ref(), &revision.to_be_bytes()].concat());
                    let stored = Stored {
                        value,
                        create_revision: revision,
                        mod_revision: revision,
                    };
                    self.records.insert(key.clone(), stored);
                    changes.push(Change::Put(key, revision));
                }
                Op::Delete(key) => {
                    self.records.remove(&key);
                    changes.push(Change::Delete(key));
                }
                Op::DeleteRange(start, end) => {
                    self.records.retain(|key, _| *key < start || *key >= end);
                    changes.push(Change::DeleteRange(start, end));
                }
            }
        }
        changes
    }

    /// All records, in order.
    pub fn records(&self) -> &BTreeMap<Bytes, Stored> {
        &self.records
    }

    /// Goes on as if so many transactions had been committed.
    pub fn skip_revisions(&mut self, count: u64) {
        self.revision += count;
    }

    /// Puts raw bytes in place, to play an attacker who writes to the disk.
    pub fn tamper(&mut self, key: Bytes, stored: Stored) {
        self.records.insert(key, stored);
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        Ok(self.records.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        let from = Bytes::copy_from_slice(start);
        let rows = self
            .records
            .range(from..)
            .take_while(|(key, _)| key.as_ref() < end);
        Ok(rows
            .take(limit)
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect())
    }

    fn revision(&self) -> u64 {
        self.revision
    }
}
