//! Table `secret`: the secrets of kv version 1, and after an upgrade to version 2 those that
//! were not touched since.
//!
//! Key: the mount's id, the hash of the whole name, each segment keyed by the one before.
//! Value: sealed [`SecretRecord`]. Lifetime: until it is deleted, or version 2 writes it anew.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::NameHash,
    types::{MountId, Secret, UnixMillis},
};

/// The table.
pub enum Secrets {}

/// A secret: mount and name.
pub type SecretKey = (MountId, NameHash);

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// JSON text of one object, as it was written.
    pub data: Secret<Vec<u8>>,
    /// When it was written.
    pub written: UnixMillis,
}

/// The key of what belongs to one name in one mount.
pub(super) fn write_secret_key((mount, name): &SecretKey, out: &mut Vec<u8>) {
    out.extend_from_slice(mount.as_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Reads it back.
pub(super) fn read_secret_key(bytes: &[u8]) -> Option<SecretKey> {
    let (mount, name) = bytes.split_at_checked(MountId::BYTES)?;
    Some((MountId::from_slice(mount)?, NameHash::from_slice(name)?))
}

impl Table for Secrets {
    const ID: u8 = 42;
    const NAME: &'static str = "secret";
    const SEALED: bool = true;
    type Key = SecretKey;
    type Value = SecretRecord;

    fn write_key(key: &SecretKey, out: &mut Vec<u8>) {
        write_secret_key(key, out);
    }

    fn read_key(bytes: &[u8]) -> Option<SecretKey> {
        read_secret_key(bytes)
    }

    fn encode(value: &SecretRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::Secret {
            format: FORMAT,
            data: value.data.expose().clone(),
            written_ms: value.written.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<SecretRecord> {
        let mut plain = proto::Secret::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(SecretRecord {
            data: Secret::new(std::mem::take(&mut plain.data)),
            written: UnixMillis::new(plain.written_ms),
        })
    }
}
