//! Table `time_index`: what ends when, in order of time.
//!
//! Key: the expiry (ms, big endian), the kind, the hash of the record. Value: none: the
//! time in the key is the version of the expiry that the row was written for. Whoever
//! acts on a row reads the record first and does nothing if the record ends at another
//! time, so that an old row never ends a renewed record. Lifetime: as that expiry.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::table::{Table, key_of, range_of};
use crate::{
    barrier::{RequestHash, TokenHash},
    types::UnixMillis,
};

/// The table.
pub enum TimeIndex {}

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueKind {
    /// A token.
    Token(TokenHash),
    /// The answer that is kept for a request id.
    Dedupe(RequestHash),
}

/// A row: what ends, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: UnixMillis,
    /// What.
    pub kind: DueKind,
}

const TOKEN: u8 = 1;
const DEDUPE: u8 = 2;

impl TimeIndex {
    /// The rows that are due at `now`, from `cursor` on (`None`: from the beginning).
    pub fn due_range(cursor: Option<&Due>, now: UnixMillis) -> (Bytes, Bytes) {
        let start = match cursor {
            Some(cursor) => key_of::<Self>(cursor),
            None => range_of::<Self>(&[]).0,
        };
        // What ends at `now` is due: an expiry is past from its moment on.
        let end = match now.get().checked_add(1) {
            Some(after) => range_of::<Self>(&after.to_be_bytes()).0,
            None => range_of::<Self>(&[]).1,
        };
        (start.min(end.clone()), end)
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
        let (kind, hash) = match &key.kind {
            DueKind::Token(hash) => (TOKEN, hash.as_bytes()),
            DueKind::Dedupe(hash) => (DEDUPE, hash.as_bytes()),
        };
        out.push(kind);
        out.extend_from_slice(hash);
    }

    fn read_key(bytes: &[u8]) -> Option<Due> {
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let (&kind, hash) = rest.split_first()?;
        let kind = match kind {
            TOKEN => DueKind::Token(TokenHash::from_slice(hash)?),
            DEDUPE => DueKind::Dedupe(RequestHash::from_slice(hash)?),
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
