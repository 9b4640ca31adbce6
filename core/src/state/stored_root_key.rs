//! Table `stored_root_key`: the root key as the provider of auto-unseal sealed it.
//!
//! Key: fixed. Value: not sealed by the barrier: a sealed node reads it, has the provider open
//! it, and opens itself. Lifetime: from an init with auto-unseal on; replaced when the
//! provider's key changes.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};

/// The table.
pub enum StoredRootKeys {}

/// A root key that a provider sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRootKey {
    /// Kind of the provider.
    pub provider: String,
    /// The provider's key; empty where the ciphertext names it itself.
    pub key_id: String,
    /// The ciphertext.
    pub sealed: Vec<u8>,
}

impl StoredRootKey {
    /// The record as it is stored, and as it is sent to a node that wants to join.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plain = proto::StoredRootKey {
            format: FORMAT,
            provider: self.provider.clone(),
            key_id: self.key_id.clone(),
            sealed: self.sealed.clone(),
        };
        plain.encode_to_vec()
    }

    /// Reads it back; `None` for bytes that this build doesn't understand.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let plain = proto::StoredRootKey::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(Self {
            provider: plain.provider,
            key_id: plain.key_id,
            sealed: plain.sealed,
        })
    }
}

impl Table for StoredRootKeys {
    const ID: u8 = 57;
    const NAME: &'static str = "stored_root_key";
    const SEALED: bool = false;
    type Key = ();
    type Value = StoredRootKey;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &StoredRootKey) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(value.to_bytes())
    }

    fn decode(bytes: &[u8]) -> Option<StoredRootKey> {
        StoredRootKey::from_bytes(bytes)
    }
}
