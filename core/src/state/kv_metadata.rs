//! Table `kv_metadata`: what kv version 2 knows of a secret beside the versions' data.
//!
//! Key: as that of table `secret`. Value: sealed [`KvMetadataRecord`]. Lifetime: until the
//! metadata is deleted, and all versions with it.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::{
    SecretKey,
    secret::{read_secret_key, write_secret_key},
    table::{FORMAT, Table, known_format},
};
use crate::types::{Meta, Ttl, UnixMillis};

/// The table.
pub enum KvMetadatas {}

/// The metadata of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvMetadataRecord {
    /// When it was made.
    pub created: UnixMillis,
    /// When it was changed last.
    pub updated: UnixMillis,
    /// The latest version; before the first one 0, as clients know it.
    pub current: u64,
    /// The first version that is kept; 0 until one was pruned.
    pub oldest: u64,
    /// The versions that are known, in order.
    pub versions: Vec<KvVersionInfo>,
    /// How many are kept; `None`: as the mount has it.
    pub max_versions: Option<u32>,
    /// Whether a write must name the version that it follows.
    pub cas_required: bool,
    /// After which time a version is deleted; `None`: as the mount has it.
    pub delete_after: Option<Ttl>,
    /// The caller's own.
    pub custom: Meta,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvVersionInfo {
    /// Its number, from 1 on.
    pub version: u64,
    /// When it was written.
    pub created: UnixMillis,
    /// From when on it counts as deleted; `None`: it doesn't.
    pub deletion: Option<UnixMillis>,
    /// Its data is gone for good.
    pub destroyed: bool,
}

impl KvVersionInfo {
    /// Whether its data is shown at this time.
    pub fn is_readable(&self, now: UnixMillis) -> bool {
        !self.destroyed && self.deletion.is_none_or(|at| at > now)
    }
}

impl Table for KvMetadatas {
    const ID: u8 = 43;
    const NAME: &'static str = "kv_metadata";
    const SEALED: bool = true;
    type Key = SecretKey;
    type Value = KvMetadataRecord;

    fn write_key(key: &SecretKey, out: &mut Vec<u8>) {
        write_secret_key(key, out);
    }

    fn read_key(bytes: &[u8]) -> Option<SecretKey> {
        read_secret_key(bytes)
    }

    fn encode(value: &KvMetadataRecord) -> Zeroizing<Vec<u8>> {
        let version = |info: &KvVersionInfo| proto::KvVersionInfo {
            version: info.version,
            created_ms: info.created.get(),
            deletion_ms: info.deletion.map(UnixMillis::get),
            destroyed: info.destroyed,
        };
        let custom = value.custom.iter().map(|(key, value)| proto::MetaEntry {
            key: key.into(),
            value: value.into(),
        });
        let plain = proto::KvMetadata {
            format: FORMAT,
            created_ms: value.created.get(),
            updated_ms: value.updated.get(),
            current_version: value.current,
            oldest_version: value.oldest,
            versions: value.versions.iter().map(version).collect(),
            max_versions: value.max_versions,
            cas_required: value.cas_required,
            delete_version_after_s: value.delete_after.map(Ttl::as_seconds),
            custom: custom.collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<KvMetadataRecord> {
        let plain = proto::KvMetadata::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let version = |info: proto::KvVersionInfo| KvVersionInfo {
            version: info.version,
            created: UnixMillis::new(info.created_ms),
            deletion: info.deletion_ms.map(UnixMillis::new),
            destroyed: info.destroyed,
        };
        let custom = plain.custom.into_iter().map(|meta| (meta.key, meta.value));
        Some(KvMetadataRecord {
            created: UnixMillis::new(plain.created_ms),
            updated: UnixMillis::new(plain.updated_ms),
            current: plain.current_version,
            oldest: plain.oldest_version,
            versions: plain.versions.into_iter().map(version).collect(),
            max_versions: plain.max_versions,
            cas_required: plain.cas_required,
            delete_after: plain
                .delete_version_after_s
                .map(Ttl::from_seconds)
                .transpose()
                .ok()?,
            custom: Meta::new(custom).ok()?,
        })
    }
}
