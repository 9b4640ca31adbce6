//! Table `root_key_before`: the root key of today under the barrier keys of before.
//!
//! Key: the term (big endian). Value: not sealed by the barrier as other values are, with its
//! newest key, but with the key of that term: so an unsealed node that has missed rotations
//! and rekeys finds the root key by the newest key that it has. `rotate` adds a row for the
//! term that ends and drops the oldest ones; `rekey` writes all of them anew.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::table::Table;

/// The table.
pub enum RootKeysBefore {}

impl Table for RootKeysBefore {
    const ID: u8 = 56;
    const NAME: &'static str = "root_key_before";
    const SEALED: bool = false;
    type Key = u32;
    type Value = Bytes;

    fn write_key(term: &u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&term.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u32> {
        bytes.try_into().ok().map(u32::from_be_bytes)
    }

    fn encode(value: &Bytes) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(value.to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(bytes))
    }
}
