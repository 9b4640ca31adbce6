//! Table `rotation_config`: when the active node adds a barrier key by itself.
//!
//! Key: fixed. Value: sealed [`RotationConfig`]. Lifetime: from the first change on; before that,
//! the default holds.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::{Ttl, limits::ROTATION_OPERATIONS_MAX};

/// The table.
pub enum RotationConfigs {}

/// When the active node adds a barrier key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationConfig {
    /// Whether it does at all.
    pub enabled: bool,
    /// After so many operations with one key.
    pub max_operations: u64,
    /// When the key is so old; `None`: its age doesn't matter.
    pub interval: Option<Ttl>,
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_operations: ROTATION_OPERATIONS_MAX,
            interval: None,
        }
    }
}

impl Table for RotationConfigs {
    const ID: u8 = 5;
    const NAME: &'static str = "rotation_config";
    const SEALED: bool = true;
    type Key = ();
    type Value = RotationConfig;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &RotationConfig) -> Zeroizing<Vec<u8>> {
        let plain = proto::RotationConfig {
            format: FORMAT,
            enabled: value.enabled,
            max_operations: value.max_operations,
            interval_s: value.interval.map(Ttl::as_seconds),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<RotationConfig> {
        let plain = proto::RotationConfig::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(RotationConfig {
            enabled: plain.enabled,
            max_operations: plain.max_operations,
            interval: plain.interval_s.map(Ttl::from_seconds).transpose().ok()?,
        })
    }
}
