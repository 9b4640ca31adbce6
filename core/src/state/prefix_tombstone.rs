//! Table `lease_prefix_tombstone`: all leases under a prefix are revoked.
//!
//! Key: the hashes of the prefix's segments: what the keys of those leases begin with.
//! Value: sealed; when. Its `mod_revision` is what counts: a lease under the prefix dies if
//! it was created at or before it. Lifetime: until a full scan finds no such lease. The set
//! is kept in memory as that of the token tombstones.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::NameChain, types::UnixMillis};

/// The table.
pub enum PrefixTombstones {}

impl Table for PrefixTombstones {
    const ID: u8 = 25;
    const NAME: &'static str = "lease_prefix_tombstone";
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
