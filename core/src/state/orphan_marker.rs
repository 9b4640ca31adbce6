//! Table `orphan_marker`: a token was revoked, and its children were cut off to live on.
//!
//! Key: the hash of the token. Value: sealed; when. Its `mod_revision` is what counts:
//! descendants that were created at or before it no longer depend on the token or on
//! anything above it. Lifetime: as long as the token has children; the set is kept in
//! memory as that of the tombstones.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::TokenHash, types::UnixMillis};

/// The table.
pub enum OrphanMarkers {}

impl Table for OrphanMarkers {
    const ID: u8 = 20;
    const NAME: &'static str = "orphan_marker";
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
        let plain = proto::OrphanMarker {
            format: FORMAT,
            created_ms: value.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<UnixMillis> {
        let plain = proto::OrphanMarker::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(UnixMillis::new(plain.created_ms))
    }
}
