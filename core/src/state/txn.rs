//! Writes, collected. Values are sealed as they are put in. It reads nothing and commits
//! nothing.

use bytes::Bytes;

use super::{Row, Table, key_of};
use crate::{
    barrier::{Barrier, BarrierError},
    quota::Tally,
    random::Random,
};

/// One write to an opaque key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a record.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The revision that created the record, as it was read; `None` creates it.
        create_revision: Option<u64>,
    },
    /// Deletes one key.
    Delete(Bytes),
    /// Deletes from start (inclusive) to end (exclusive).
    DeleteRange(Bytes, Bytes),
}

/// The writes of one transaction, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    ops: Vec<Op>,
    /// What it makes and removes, for quotas to count: see [`quota::settle`](crate::quota::settle).
    pub(crate) tally: Tally,
}

impl Txn {
    /// Creates a row, or replaces it as a new one.
    pub fn insert<T: Table>(
        &mut self,
        barrier: &Barrier,
        key: &T::Key,
        value: &T::Value,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        self.put::<T>(barrier, key, value, None, random)
    }

    /// Replaces a row that was read; it stays as old as it was.
    pub fn update<T: Table>(
        &mut self,
        barrier: &Barrier,
        row: &Row<T>,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        self.put::<T>(
            barrier,
            &row.key,
            &row.value,
            Some(row.create_revision),
            random,
        )
    }

    fn put<T: Table>(
        &mut self,
        barrier: &Barrier,
        key: &T::Key,
        value: &T::Value,
        create_revision: Option<u64>,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        let key = key_of::<T>(key);
        let plain = T::encode(value);
        let value = if T::SEALED {
            barrier.seal(&key, &plain, random)?.into()
        } else {
            Bytes::copy_from_slice(&plain)
        };
        self.ops.push(Op::Put {
            key,
            value,
            create_revision,
        });
        Ok(())
    }

    /// Creates or replaces a row of a table that isn't sealed, where there is no barrier
    /// yet. Rows of sealed tables are refused.
    pub fn insert_plain<T: Table>(
        &mut self,
        key: &T::Key,
        value: &T::Value,
    ) -> Result<(), BarrierError> {
        if T::SEALED {
            return Err(BarrierError::Key);
        }
        let value = Bytes::copy_from_slice(&T::encode(value));
        self.ops.push(Op::Put {
            key: key_of::<T>(key),
            value,
            create_revision: None,
        });
        Ok(())
    }

    /// Deletes a row, if it is there.
    pub fn delete<T: Table>(&mut self, key: &T::Key) {
        self.ops.push(Op::Delete(key_of::<T>(key)));
    }

    /// Deletes all rows of the range.
    pub fn delete_range(&mut self, (start, end): (Bytes, Bytes)) {
        self.ops.push(Op::DeleteRange(start, end));
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds the writes of another transaction behind these.
    pub fn append(&mut self, other: Self) {
        self.ops.extend(other.ops);
        self.tally.append(other.tally);
    }

    /// The writes.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}
