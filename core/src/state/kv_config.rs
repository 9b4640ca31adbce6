//! Table `kv_config`: what a mount of kv version 2 is configured to.
//!
//! Key: the mount's id. Value: sealed [`KvConfigRecord`]. Lifetime: from the first write of it
//! until the unmount; without one the defaults hold.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::{MountId, Ttl};

/// The table.
pub enum KvConfigs {}

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvConfigRecord {
    /// How many versions are kept; `None`: the default.
    pub max_versions: Option<u32>,
    /// Whether every write must name the version that it follows.
    pub cas_required: bool,
    /// After which time versions are deleted; `None`: never.
    pub delete_after: Option<Ttl>,
}

impl Table for KvConfigs {
    const ID: u8 = 45;
    const NAME: &'static str = "kv_config";
    const SEALED: bool = true;
    type Key = MountId;
    type Value = KvConfigRecord;

    fn write_key(key: &MountId, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<MountId> {
        MountId::from_slice(bytes)
    }

    fn encode(value: &KvConfigRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::KvConfig {
            format: FORMAT,
            max_versions: value.max_versions,
            cas_required: value.cas_required,
            delete_version_after_s: value.delete_after.map(Ttl::as_seconds),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<KvConfigRecord> {
        let plain = proto::KvConfig::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(KvConfigRecord {
            max_versions: plain.max_versions,
            cas_required: plain.cas_required,
            delete_after: plain
                .delete_version_after_s
                .map(Ttl::from_seconds)
                .transpose()
                .ok()?,
        })
    }
}
