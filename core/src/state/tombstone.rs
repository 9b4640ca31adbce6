//! Table `token_tombstone`: a token is revoked, with all that descends from it.
//!
//! Key: the hash of the token. Value: sealed; when. Its `mod_revision` is what counts: a
//! record dies if it was created at or before it. Lifetime: until a full scan finds nothing
//! left under it. The set of pending ones is kept in memory, from keys and revisions
//! alone: see [`crate::token::Revocations`].

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::TokenHash, types::UnixMillis};

/// The table.
pub enum Tombstones {}

impl Table for Tombstones {
    const ID: u8 = 19;
    const NAME: &'static str = "token_tombstone";
    const SEALED: bool = true;
    type Key = TokenHash;
    /// When it was written.
    type Value = UnixMillis;

    fn write_key(key: &TokenHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<TokenHash> {
        TokenHash::from_slice(bytes)
    }

    fn encode(value: &UnixMillis) -> Zeroizing<Vec<u8>> {
        let plain = proto::Tombstone {
            format: FORMAT,
            created_ms: value.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<UnixMillis> {
        let plain = proto::Tombstone::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(UnixMillis::new(plain.created_ms))
    }
}
