//! Table `dedupe`: the answer to a request id, so that a retried request acts once.
//!
//! Key: the hash of caller and request id. Value: sealed; the answer, what the id was used
//! for, and when the row ends. It is written by the transaction of the request itself.
//! Lifetime: the dedupe window, ended by its row in the time index.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::RequestHash,
    types::{Secret, UnixMillis},
};

/// The table.
pub enum Dedupes {}

/// The answer that a request id got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupeRecord {
    /// Stands for caller, method and body.
    pub fingerprint: [u8; 32],
    /// The answer, as the server encoded it.
    pub answer: Secret<Vec<u8>>,
    /// When the row ends.
    pub expires: UnixMillis,
}

impl Table for Dedupes {
    const ID: u8 = 22;
    const NAME: &'static str = "dedupe";
    const SEALED: bool = true;
    type Key = RequestHash;
    type Value = DedupeRecord;

    fn write_key(key: &RequestHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<RequestHash> {
        RequestHash::from_slice(bytes)
    }

    fn encode(value: &DedupeRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::Dedupe {
            format: FORMAT,
            fingerprint: value.fingerprint.to_vec(),
            answer: value.answer.expose().clone(),
            expires_ms: value.expires.get(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<DedupeRecord> {
        let mut plain = proto::Dedupe::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(DedupeRecord {
            fingerprint: plain.fingerprint.as_slice().try_into().ok()?,
            answer: Secret::new(std::mem::take(&mut plain.answer)),
            expires: UnixMillis::new(plain.expires_ms),
        })
    }
}
