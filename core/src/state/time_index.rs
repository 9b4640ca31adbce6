//! Table `time_index`: what ends when, in order of time.
//!
//! Key: the expiry (ms, big endian), the kind, the key of the record. Value: none: the
//! time in the key is the version of the expiry that the row was written for. Whoever
//! acts on a row reads the record first and does nothing if the record ends at another
//! time, so that an old row never ends a renewed record. Lifetime: as that expiry.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::table::{Table, key_of, range_of, strip};
use crate::{
    barrier::{NameChain, RequestHash, TokenHash},
    types::UnixMillis,
};

/// The table.
pub enum TimeIndex {}

/// What ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueKind {
    /// A token.
    Token(TokenHash),
    /// The answer that is kept for a request id.
    Dedupe(RequestHash),
    /// A lease.
    Lease(NameChain),
}

/// A row: what ends, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: UnixMillis,
    /// What.
    pub kind: DueKind,
}

const TOKEN: u8 = 1;
const DEDUPE: u8 = 2;
const LEASE: u8 = 3;

/// A place in the index: everything before it has been dealt with, unless it was written
/// since; whoever holds a cursor is told of that and [rewinds](Self::rewind) it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCursor(Bytes);

impl Default for DueCursor {
    /// The beginning.
    fn default() -> Self {
        Self(range_of::<TimeIndex>(&[]).0)
    }
}

impl DueCursor {
    /// Before everything that ends at `at`.
    pub fn at(at: UnixMillis) -> Self {
        Self(range_of::<TimeIndex>(&at.get().to_be_bytes()).0)
    }

    /// Behind a row.
    pub fn after(due: &Due) -> Self {
        Self(super::successor(&key_of::<TimeIndex>(due)))
    }

    /// Goes back, if need be, before everything that ends at `at`.
    pub fn rewind(&mut self, at: UnixMillis) {
        let place = Self::at(at);
        if place.0 < self.0 {
            *self = place;
        }
    }
}

impl TimeIndex {
    /// The rows from `from` on that are due at `now`.
    pub fn due_range(from: &DueCursor, now: UnixMillis) -> (Bytes, Bytes) {
        // What ends at `now` is due: an expiry is past from its moment on.
        let end = match now.get().checked_add(1) {
            Some(after) => range_of::<Self>(&after.to_be_bytes()).0,
            None => range_of::<Self>(&[]).1,
        };
        (from.0.clone().min(end.clone()), end)
    }

    /// The rows from `from` on.
    pub fn range_from(from: &DueCursor) -> (Bytes, Bytes) {
        (from.0.clone(), range_of::<Self>(&[]).1)
    }

    /// The rows from `from` on that end before `end`.
    pub fn range_before(from: &DueCursor, end: UnixMillis) -> (Bytes, Bytes) {
        let end = DueCursor::at(end).0;
        (from.0.clone().min(end.clone()), end)
    }

    /// When a row ends, by its storage key; `None` for a key of another table.
    pub fn time_of(key: &[u8]) -> Option<UnixMillis> {
        let (at, _) = strip::<Self>(key)?.split_first_chunk::<8>()?;
        Some(UnixMillis::new(u64::from_be_bytes(*at)))
    }
}

impl Table for TimeIndex {
    const ID: u8 = 21;
    const NAME: &'static str = "time_index";
    const SEALED: bool = false;
    type Key = Due;
    type Value = ();

    fn write_key(key: &Due, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.at.get().to_be_bytes());
        let (kind, record) = match &key.kind {
            DueKind::Token(hash) => (TOKEN, hash.as_bytes().as_slice()),
            DueKind::Dedupe(hash) => (DEDUPE, hash.as_bytes().as_slice()),
            DueKind::Lease(key) => (LEASE, key.as_bytes()),
        };
        out.push(kind);
        out.extend_from_slice(record);
    }

    fn read_key(bytes: &[u8]) -> Option<Due> {
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let (&kind, record) = rest.split_first()?;
        let kind = match kind {
            TOKEN => DueKind::Token(TokenHash::from_slice(record)?),
            DEDUPE => DueKind::Dedupe(RequestHash::from_slice(record)?),
            LEASE => DueKind::Lease(NameChain::from_slice(record)?),
            _ => return None,
        };
        Some(Due {
            at: UnixMillis::new(u64::from_be_bytes(*at)),
            kind,
        })
    }

    fn encode((): &()) -> Zeroizing<Vec<u8>> {
        Zeroizing::default()
    }

    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
