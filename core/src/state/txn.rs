//! Writes, collected. Values are sealed as they are put in. It reads nothing and commits
//! nothing.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{About, Event, EventKind, Events, Row, TAG, Table, key_of};
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
    /// Writes a new record whose key is this prefix and the revision of the transaction, big
    /// endian: only the sequencer knows it.
    PutAtRevision {
        /// The key without the revision.
        prefix: Bytes,
        /// The value.
        value: Bytes,
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
    /// Not sealed yet.
    events: Vec<Event>,
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

    /// Tells those who watch what this transaction does.
    pub fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// What is told and not sealed yet.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Makes a write of all that is told: one row, however much it is. Nothing is told after it.
    pub fn seal_events(
        &mut self,
        barrier: &Barrier,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let place = [TAG, Events::ID];
        let mut events = std::mem::take(&mut self.events);
        // A lease may end twice in one transaction, by its time and with its token.
        let mut ended = BTreeSet::new();
        events.retain(|event| match (&event.about, event.kind) {
            (About::Lease(id), EventKind::Expired | EventKind::Revoked) => ended.insert(id.text()),
            _ => true,
        });
        let plain = Events::encode(&events);
        self.ops.push(Op::PutAtRevision {
            prefix: Bytes::copy_from_slice(&place),
            value: barrier.seal(&place, &plain, random)?.into(),
        });
        Ok(())
    }

    /// Bytes of the keys and values of its writes; events aren't counted.
    pub fn size_bytes(&self) -> usize {
        let size = |op: &Op| match op {
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::PutAtRevision { prefix, value } => prefix.len() + value.len(),
            Op::Delete(key) => key.len(),
            Op::DeleteRange(start, end) => start.len() + end.len(),
        };
        self.ops.iter().map(size).sum()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.events.is_empty()
    }

    /// Adds the writes of another transaction behind these.
    pub fn append(&mut self, other: Self) {
        self.ops.extend(other.ops);
        self.events.extend(other.events);
        self.tally.append(other.tally);
    }

    /// The writes. Events are among them once they are [sealed](Self::seal_events).
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}
