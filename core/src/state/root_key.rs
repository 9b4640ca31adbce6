//! Table `root_key`: the root key, sealed under the barrier.
//!
//! Key: fixed. Value: sealed, so that only an unsealed node can read it: a standby follows
//! a `rekey` by it. Lifetime: from init on; `rekey` replaces it.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::barrier::RootKey;

/// The table.
pub enum RootKeys {}

impl Table for RootKeys {
    const ID: u8 = 3;
    const NAME: &'static str = "root_key";
    const SEALED: bool = true;
    type Key = ();
    type Value = RootKey;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &RootKey) -> Zeroizing<Vec<u8>> {
        let plain = proto::RootKey {
            format: FORMAT,
            key: value.expose().to_vec(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<RootKey> {
        let plain = proto::RootKey::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        RootKey::from_slice(&plain.key)
    }
}
