//! Table `token_path_tombstone`: the tokens that were made under a path are revoked.
//!
//! Key: the hashes of the path's segments. Value: sealed; when. Its `mod_revision` is what counts:
//! a token that was made under the path dies if it was made at or before it. Lifetime: until no
//! such token is left, and as long as a batch token lives at most, since those are stored nowhere.
//! The set is kept in memory as that of the token tombstones.
//!
//! The row of no segments is no tombstone. It is written with each of them: whatever rests on a
//! token's not being revoked so notes this one row.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::NameChain, types::UnixMillis};

/// The table.
pub enum TokenPathTombstones {}

impl Table for TokenPathTombstones {
    const ID: u8 = 51;
    const NAME: &'static str = "token_path_tombstone";
    const SEALED: bool = true;
    type Key = NameChain;
    /// When it was written.
    type Value = UnixMillis;

    fn write_key(key: &NameChain, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NameChain> {
        NameChain::from_slice(bytes)
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
