//! Table `expiration_hold`: the expiration manager is held after a restore, so that nobody's
//! live credentials are taken away by what an old state thinks of them.
//!
//! Key: fixed. Value: in clear, since it is written before anyone can open the restored
//! keyring, and a sealed node shows it. Lifetime: from a restore until expiration is resumed.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::UnixMillis;

/// The table.
pub enum ExpirationHolds {}

impl Table for ExpirationHolds {
    const ID: u8 = 4;
    const NAME: &'static str = "expiration_hold";
    const SEALED: bool = false;
    type Key = ();
    /// Since when.
    type Value = UnixMillis;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &UnixMillis) -> Zeroizing<Vec<u8>> {
        let plain = proto::ExpirationHold {
            format: FORMAT,
            since_ms: value.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<UnixMillis> {
        let plain = proto::ExpirationHold::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(UnixMillis::new(plain.since_ms))
    }
}
