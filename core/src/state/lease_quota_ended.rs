//! Table `lease_quota_ended`: what a lease-count quota found when it was set, and what of all
//! that it counts has been cleaned up.
//!
//! Key: the quota's number. Value: sealed; two counts that only grow, and how far the search has
//! come. It is created with the quota, and so tells which records are older than it. Lifetime: as
//! the quota.

use bytes::Bytes;
use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};

/// The table.
pub enum LeaseQuotasEnded {}

/// What was found and what has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseQuotaEndedRecord {
    /// Of those that were there before the quota.
    pub found: u64,
    /// Of all that were counted.
    pub ended: u64,
    /// How far the search has come.
    pub search: Search,
}

/// The search for what was there before the quota. Everything before the storage key was looked
/// at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// It is at the leases.
    Leases(Bytes),
    /// It has seen them, and is at the tokens.
    Tokens(Bytes),
    /// It is over.
    Done,
}

impl Table for LeaseQuotasEnded {
    const ID: u8 = 69;
    const NAME: &'static str = "lease_quota_ended";
    const SEALED: bool = true;
    /// The quota's number.
    type Key = u64;
    type Value = LeaseQuotaEndedRecord;

    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    fn encode(value: &LeaseQuotaEndedRecord) -> Zeroizing<Vec<u8>> {
        let (stage, cursor) = match &value.search {
            Search::Leases(at) => (1, at.to_vec()),
            Search::Tokens(at) => (2, at.to_vec()),
            Search::Done => (3, Vec::new()),
        };
        let plain = proto::LeaseQuotaEnded {
            format: FORMAT,
            found: value.found,
            ended: value.ended,
            stage,
            cursor,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<LeaseQuotaEndedRecord> {
        let plain = proto::LeaseQuotaEnded::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(LeaseQuotaEndedRecord {
            found: plain.found,
            ended: plain.ended,
            search: match plain.stage {
                1 => Search::Leases(plain.cursor.into()),
                2 => Search::Tokens(plain.cursor.into()),
                3 => Search::Done,
                _ => return None,
            },
        })
    }
}
