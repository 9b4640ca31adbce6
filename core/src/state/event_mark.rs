//! Table `event_mark`: where a stretch of the events ends, how much it holds and how old it is,
//! so that whoever becomes active knows what there is without reading it.
//!
//! Key: the last revision of the stretch, big endian. Value: sealed [`EventMark`]. Lifetime: as
//! the events of the stretch, which are deleted together.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::UnixMillis;

/// The table.
pub enum EventMarks {}

/// A stretch of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// When it was closed: all of it is at least as old.
    pub closed: UnixMillis,
}

impl Table for EventMarks {
    const ID: u8 = 61;
    const NAME: &'static str = "event_mark";
    const SEALED: bool = true;
    type Key = u64;
    type Value = EventMark;

    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    fn encode(value: &EventMark) -> Zeroizing<Vec<u8>> {
        let plain = proto::EventMark {
            format: FORMAT,
            bytes: value.bytes,
            closed_ms: value.closed.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<EventMark> {
        let plain = proto::EventMark::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(EventMark {
            bytes: plain.bytes,
            closed: UnixMillis::new(plain.closed_ms),
        })
    }
}
