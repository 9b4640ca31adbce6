//! Table `secret_name`: the names in the folders of a mount.
//!
//! Key: the mount's id, the folder's hash, the hash of the name in it: one level lies together
//! and is listed by one scan, whatever lies below. A folder's hash is that of its own name;
//! the mount's id stands for the mount itself, so that equal names in two mounts look
//! different. Value: sealed; the name, which nothing else shows. Lifetime: as long as a secret
//! of this name or below it exists.

use std::fmt;

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::NameHash, types::MountId};

/// The table.
pub enum SecretNames {}

/// Where a name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNameKey {
    /// In which mount.
    pub mount: MountId,
    /// In which folder.
    pub folder: NameHash,
    /// The name.
    pub name: NameHash,
}

/// A name. It is a secret, a folder, or both: never neither. `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretNameRecord {
    /// The name, one segment of a path.
    pub name: String,
    /// There is a secret of this name.
    pub secret: bool,
    /// There are names below it.
    pub folder: bool,
}

impl fmt::Debug for SecretNameRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretNameRecord")
            .field("secret", &self.secret)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Table for SecretNames {
    const ID: u8 = 41;
    const NAME: &'static str = "secret_name";
    const SEALED: bool = true;
    type Key = SecretNameKey;
    type Value = SecretNameRecord;

    fn write_key(key: &SecretNameKey, out: &mut Vec<u8>) {
        out.extend_from_slice(key.mount.as_bytes());
        out.extend_from_slice(key.folder.as_bytes());
        out.extend_from_slice(key.name.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<SecretNameKey> {
        let (mount, rest) = bytes.split_at_checked(MountId::BYTES)?;
        let (folder, name) = rest.split_at_checked(NameHash::BYTES)?;
        Some(SecretNameKey {
            mount: MountId::from_slice(mount)?,
            folder: NameHash::from_slice(folder)?,
            name: NameHash::from_slice(name)?,
        })
    }

    fn encode(value: &SecretNameRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::SecretName {
            format: FORMAT,
            name: value.name.clone(),
            secret: value.secret,
            folder: value.folder,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<SecretNameRecord> {
        let plain = proto::SecretName::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format) && (p.secret || p.folder))?;
        Some(SecretNameRecord {
            name: plain.name,
            secret: plain.secret,
            folder: plain.folder,
        })
    }
}
