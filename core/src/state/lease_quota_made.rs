//! Table `lease_quota_made`: what was made under a lease-count quota since it is there.
//!
//! Key: the quota's number. Value: sealed; a count that only grows. It is apart from what has
//! ended, so that ends and grants don't send each other back. Lifetime: as the quota.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};

/// The table.
pub enum LeaseQuotasMade {}

impl Table for LeaseQuotasMade {
    const ID: u8 = 68;
    const NAME: &'static str = "lease_quota_made";
    const SEALED: bool = true;
    /// The quota's number.
    type Key = u64;
    /// How many.
    type Value = u64;

    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    fn encode(made: &u64) -> Zeroizing<Vec<u8>> {
        let plain = proto::LeaseQuotaMade {
            format: FORMAT,
            made: *made,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        let plain = proto::LeaseQuotaMade::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(plain.made)
    }
}
