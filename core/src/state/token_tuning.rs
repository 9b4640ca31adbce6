//! Table `token_tuning`: the bounds of tokens' lifetimes, where they aren't the system's.
//!
//! Key: fixed. Value: sealed [`TokenTuning`]. Lifetime: from the first tuning on.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::Ttl;

/// The table.
pub enum TokenTunings {}

/// Lifetimes of tokens; `None`: the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenTuning {
    /// Life when none is asked for.
    pub default_ttl: Option<Ttl>,
    /// Longest life.
    pub max_ttl: Option<Ttl>,
}

impl Table for TokenTunings {
    const ID: u8 = 52;
    const NAME: &'static str = "token_tuning";
    const SEALED: bool = true;
    type Key = ();
    type Value = TokenTuning;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &TokenTuning) -> Zeroizing<Vec<u8>> {
        let plain = proto::TokenTuning {
            format: FORMAT,
            default_ttl_s: value.default_ttl.map(Ttl::as_seconds),
            max_ttl_s: value.max_ttl.map(Ttl::as_seconds),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<TokenTuning> {
        let plain = proto::TokenTuning::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let ttl = |seconds: Option<u64>| seconds.map(Ttl::from_seconds).transpose().ok();
        Some(TokenTuning {
            default_ttl: ttl(plain.default_ttl_s)?,
            max_ttl: ttl(plain.max_ttl_s)?,
        })
    }
}
