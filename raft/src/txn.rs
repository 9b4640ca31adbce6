//! Transactions: what a request read, and what it wants written. Pure data.

use bytes::Bytes;

use crate::types::Revision;

/// A transaction over opaque keys. It commits only if nothing in `reads` was changed after
/// `read_revision`.
#[derive(Clone, Default)]
pub struct Txn {
    /// Revision of the state that was read; meaningless while `reads` is empty.
    pub read_revision: Revision,
    /// What was read.
    pub reads: ReadSet,
    /// What is written, in order.
    pub ops: Vec<Op>,
    /// What is written behind it, under keys that hold the transaction's own revision.
    pub at_revision: Vec<AtRevision>,
}

/// A new record whose key ends with the revision of its transaction, big endian. The sequencer,
/// which gives revisions, makes a plain put of it: what is proposed holds whole keys.
#[derive(Clone)]
pub struct AtRevision {
    /// The key without the revision.
    pub prefix: Bytes,
    /// The value.
    pub value: Bytes,
}

impl AtRevision {
    /// The put of the transaction that got `revision`.
    pub fn put(self, revision: Revision) -> Op {
        Op::Put {
            key: [self.prefix.as_ref(), &revision.to_be_bytes()]
                .concat()
                .into(),
            value: self.value,
            create_revision: None,
        }
    }

    fn size_bytes(&self) -> usize {
        self.prefix.len() + size_of::<Revision>() + self.value.len()
    }
}

/// Keys and ranges that a transaction read, absences included.
#[derive(Clone, Default)]
pub struct ReadSet {
    /// Single keys.
    pub keys: Vec<Bytes>,
    /// Ranges, start inclusive, end exclusive.
    pub ranges: Vec<(Bytes, Bytes)>,
}

/// One write.
#[derive(Clone)]
pub enum Op {
    /// Writes a record.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// Revision that created the record, as it was read; `None` when this transaction
        /// creates it. Apply is blind: it can't look it up.
        create_revision: Option<Revision>,
    },
    /// Deletes one key.
    Delete(Bytes),
    /// Deletes a range, start inclusive, end exclusive.
    DeleteRange(Bytes, Bytes),
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value, as it was put.
    pub value: Bytes,
    /// Revision that created it.
    pub create_revision: Revision,
    /// Revision that wrote it last.
    pub mod_revision: Revision,
}

impl Op {
    /// Bytes of keys and values.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete(key) => key.len(),
            Self::DeleteRange(start, end) => start.len() + end.len(),
        }
    }
}

impl Txn {
    /// Bytes of all keys and values written.
    pub fn size_bytes(&self) -> usize {
        let at_revision = self.at_revision.iter().map(AtRevision::size_bytes);
        self.ops.iter().map(Op::size_bytes).chain(at_revision).sum()
    }
}
