//! What core needs of the replicated store: a pinned state of opaque records.

use std::error::Error;

use bytes::Bytes;

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value, sealed for most tables.
    pub value: Bytes,
    /// Revision of the transaction that created the record.
    pub create_revision: u64,
    /// Revision of the transaction that wrote it last.
    pub mod_revision: u64,
}

/// Reading failed below the seam.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state that was pinned has been replaced by a snapshot: read again from a new one.
    #[error("the state was replaced while it was read")]
    Ended,
    /// The disk, or what is on it.
    #[error("reading the state failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// A pinned state of the replicated store: all reads see the same revision.
pub trait Store: Send + Sync {
    /// One record.
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError>;

    /// The first `limit` records from `start` (inclusive) to `end` (exclusive), in order.
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError>;

    /// The revision of this state.
    fn revision(&self) -> u64;
}
