//! Table `event_floor`: up to which revision the events are gone. Without a row all are there.
//!
//! Key: none. Value: sealed; the revision. Lifetime: from the first deletion of events on.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};

/// The table.
pub enum EventFloor {}

impl Table for EventFloor {
    const ID: u8 = 62;
    const NAME: &'static str = "event_floor";
    const SEALED: bool = true;
    type Key = ();
    /// The last revision whose events are gone.
    type Value = u64;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &u64) -> Zeroizing<Vec<u8>> {
        let plain = proto::EventFloor {
            format: FORMAT,
            revision: *value,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        let plain = proto::EventFloor::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(plain.revision)
    }
}
