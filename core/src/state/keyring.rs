//! Table `keyring`: the keyring, sealed by the root key.
//!
//! Key: fixed. Value: not sealed by the barrier (the keyring is the barrier), but by the
//! root key: see [`crate::barrier::Keyring`]. Lifetime: from init on; `rotate` and `rekey`
//! replace it.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::table::Table;

/// The table.
pub enum Keyrings {}

impl Table for Keyrings {
    const ID: u8 = 2;
    const NAME: &'static str = "keyring";
    const SEALED: bool = false;
    type Key = ();
    type Value = Bytes;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &Bytes) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(value.to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(bytes))
    }
}
