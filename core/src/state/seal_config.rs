//! Table `seal_config`: how the root key is split.
//!
//! Key: fixed. Value: in clear, since a sealed node shows it. Lifetime: from init on;
//! `rekey` replaces it.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::UnixMillis;

/// The table.
pub enum SealConfigs {}

/// How the root key is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealConfig {
    /// Number of shares.
    pub shares: u8,
    /// How many of them open the seal.
    pub threshold: u8,
    /// When they were made.
    pub created: UnixMillis,
}

impl Table for SealConfigs {
    const ID: u8 = 1;
    const NAME: &'static str = "seal_config";
    const SEALED: bool = false;
    type Key = ();
    type Value = SealConfig;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &SealConfig) -> Zeroizing<Vec<u8>> {
        let plain = proto::SealConfig {
            format: FORMAT,
            shares: value.shares.into(),
            threshold: value.threshold.into(),
            created_ms: value.created.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<SealConfig> {
        let plain = proto::SealConfig::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(SealConfig {
            shares: plain.shares.try_into().ok()?,
            threshold: plain.threshold.try_into().ok()?,
            created: UnixMillis::new(plain.created_ms),
        })
    }
}
