//! Table `recovery_key`: what the recovery shares give, where a provider keeps the root key.
//!
//! Key: fixed. Value: sealed; it opens nothing, and is only compared with what shares give.
//! Lifetime: from an init with auto-unseal on; a `rekey` of the recovery shares replaces it.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::barrier::RootKey;

/// The table.
pub enum RecoveryKeys {}

impl Table for RecoveryKeys {
    const ID: u8 = 58;
    const NAME: &'static str = "recovery_key";
    const SEALED: bool = true;
    type Key = ();
    type Value = RootKey;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &RootKey) -> Zeroizing<Vec<u8>> {
        let plain = proto::RecoveryKey {
            format: FORMAT,
            key: value.expose().to_vec(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<RootKey> {
        let plain = proto::RecoveryKey::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        RootKey::from_slice(&plain.key)
    }
}
