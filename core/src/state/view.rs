//! Reads at one revision, and a note of everything that was read, absences included: the
//! resolver sends a transaction back when any of it changed meanwhile. It writes nothing.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::{
    Row, Store, StoreError, Stored, Table, key_of,
    table::{place_of, strip},
};
use crate::barrier::{Barrier, BarrierError};

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value that the barrier doesn't open: changed, moved, or of a newer key term.
    #[error("a record of table {table} can't be opened")]
    Barrier {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        source: BarrierError,
    },
    /// A key or value that this build doesn't understand.
    #[error("a record of table {table} is malformed or of a newer format")]
    Malformed {
        /// The table.
        table: &'static str,
    },
}

/// What was read: keys, and ranges from start (inclusive) to end (exclusive).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The revision at which it was read.
    pub revision: u64,
    /// Single keys.
    pub keys: BTreeSet<Bytes>,
    /// Ranges.
    pub ranges: Vec<(Bytes, Bytes)>,
}

/// Tells one view from every other one.
#[derive(Clone, Debug)]
pub struct ViewMark(Arc<()>);

impl PartialEq for ViewMark {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A pinned state, read through the barrier.
pub struct View<'a> {
    store: &'a dyn Store,
    barrier: &'a Barrier,
    reads: RefCell<Reads>,
    mark: ViewMark,
}

impl<'a> View<'a> {
    /// A view of this state.
    pub fn new(store: &'a dyn Store, barrier: &'a Barrier) -> Self {
        let reads = Reads {
            revision: store.revision(),
            ..Reads::default()
        };
        Self {
            store,
            barrier,
            reads: RefCell::new(reads),
            mark: ViewMark(Arc::new(())),
        }
    }

    /// The same state, of which nothing is noted as read yet: for what no write rests on.
    pub fn again(&self) -> View<'a> {
        View::new(self.store, self.barrier)
    }

    /// What tells it from every other view, one of the same state included.
    pub fn mark(&self) -> &ViewMark {
        &self.mark
    }

    /// The barrier that reads go through, and that writes must.
    pub fn barrier(&self) -> &'a Barrier {
        self.barrier
    }

    /// The revision of the state.
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Everything that was read.
    pub fn into_reads(self) -> Reads {
        self.reads.into_inner()
    }

    /// One row.
    pub fn get<T: Table>(&self, key: &T::Key) -> Result<Option<Row<T>>, ReadError> {
        let raw = key_of::<T>(key);
        let stored = self.store.get(&raw)?;
        let row = stored
            .map(|stored| self.row(key.clone(), &raw, &stored))
            .transpose();
        self.reads.borrow_mut().keys.insert(raw);
        row
    }

    /// One row, which doesn't count as read: for what may be old without harm.
    pub fn glance<T: Table>(&self, key: &T::Key) -> Result<Option<Row<T>>, ReadError> {
        let raw = key_of::<T>(key);
        let stored = self.store.get(&raw)?;
        stored
            .map(|stored| self.row(key.clone(), &raw, &stored))
            .transpose()
    }

    /// Revision that wrote a row last; `None` if there is none. Reads no value: for what is
    /// known from memory by its revision.
    pub fn mod_revision<T: Table>(&self, key: &T::Key) -> Result<Option<u64>, ReadError> {
        let raw = key_of::<T>(key);
        let stored = self.store.get(&raw)?;
        self.reads.borrow_mut().keys.insert(raw);
        Ok(stored.map(|stored| stored.mod_revision))
    }

    /// Notes a row as read without reading it: for what is known from memory.
    pub fn note<T: Table>(&self, key: &T::Key) {
        self.reads.borrow_mut().keys.insert(key_of::<T>(key));
    }

    /// The same for a storage key.
    pub(crate) fn note_key(&self, key: Bytes) {
        self.reads.borrow_mut().keys.insert(key);
    }

    /// The first `limit` rows from `start` (inclusive) to `end` (exclusive). If there are
    /// more, only what was looked at counts as read.
    pub fn scan<T: Table>(
        &self,
        (start, end): (Bytes, Bytes),
        limit: usize,
    ) -> Result<Vec<Row<T>>, ReadError> {
        let found = self.store.scan(&start, &end, limit)?;
        let read_to = match found.last() {
            Some((last, _)) if found.len() >= limit => successor(last),
            _ => end,
        };
        self.reads.borrow_mut().ranges.push((start, read_to));
        self.rows(found)
    }

    /// Like [`Self::scan`], but doesn't count as read: for finding rows of which the plan
    /// rests on each alone, and not on there being no others.
    pub fn peek<T: Table>(
        &self,
        (start, end): (Bytes, Bytes),
        limit: usize,
    ) -> Result<Vec<Row<T>>, ReadError> {
        self.rows(self.store.scan(&start, &end, limit)?)
    }

    /// The keys of the first `limit` rows from `start` (inclusive) to `end` (exclusive), each with
    /// the bytes that it takes with its value. Doesn't count as read, and opens nothing.
    pub fn peek_sizes<T: Table>(
        &self,
        (start, end): (Bytes, Bytes),
        limit: usize,
    ) -> Result<Vec<(T::Key, usize)>, ReadError> {
        let found = self.store.scan(&start, &end, limit)?;
        let size = |(raw, stored): (Bytes, Stored)| {
            let key = strip::<T>(&raw).and_then(T::read_key)?;
            Some((key, raw.len() + stored.value.len()))
        };
        found
            .into_iter()
            .map(|row| size(row).ok_or(ReadError::Malformed { table: T::NAME }))
            .collect()
    }

    fn rows<T: Table>(&self, found: Vec<(Bytes, Stored)>) -> Result<Vec<Row<T>>, ReadError> {
        let malformed = || ReadError::Malformed { table: T::NAME };
        let row = |(raw, stored): (Bytes, Stored)| {
            let key = strip::<T>(&raw)
                .and_then(T::read_key)
                .ok_or_else(malformed)?;
            self.row(key, &raw, &stored)
        };
        found.into_iter().map(row).collect()
    }

    fn row<T: Table>(&self, key: T::Key, raw: &[u8], stored: &Stored) -> Result<Row<T>, ReadError> {
        let value = if T::SEALED {
            let opened = self.barrier.open(place_of::<T>(raw), &stored.value);
            let opened = opened.map_err(|source| ReadError::Barrier {
                table: T::NAME,
                source,
            })?;
            T::decode(&opened)
        } else {
            T::decode(&stored.value)
        };
        let malformed = ReadError::Malformed { table: T::NAME };
        let (_, revision) = raw.split_at(raw.len().min(2));
        if T::AT_REVISION && revision != stored.mod_revision.to_be_bytes() {
            return Err(malformed);
        }
        Ok(Row {
            key,
            value: value.ok_or(malformed)?,
            create_revision: stored.create_revision,
            mod_revision: stored.mod_revision,
        })
    }
}

/// Reads a row of a table that isn't sealed: all that a sealed node can read.
pub fn read_plain<T: Table>(
    store: &dyn Store,
    key: &T::Key,
) -> Result<Option<T::Value>, ReadError> {
    let malformed = ReadError::Malformed { table: T::NAME };
    if T::SEALED {
        return Err(malformed);
    }
    match store.get(&key_of::<T>(key))? {
        None => Ok(None),
        Some(stored) => T::decode(&stored.value).map(Some).ok_or(malformed),
    }
}

/// The smallest key above `key`.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}
