//! Table `lease_quotas`: how many leases and tokens there may be.
//!
//! Key: fixed. Value: sealed; all lease-count quotas, sorted by name, so that every grant rests
//! on all of them: one that is set meanwhile sends the grant back. Lifetime: from the first one
//! on. The counters are in tables of their own: [`LeaseQuotasMade`](super::LeaseQuotasMade),
//! [`LeaseQuotasEnded`](super::LeaseQuotasEnded).

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::NameChain, quota::QuotaPath, types::Path};

/// The table.
pub enum LeaseQuotas {}

/// All lease-count quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseQuotasRecord {
    /// Sorted by name.
    pub quotas: Vec<LeaseQuotaRecord>,
    /// The number that the next quota gets.
    pub next_id: u64,
}

/// A lease-count quota.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseQuotaRecord {
    /// Its name: one segment.
    pub name: Path,
    /// What it covers.
    pub path: QuotaPath,
    /// Hashes of the path's segments: what the keys of those leases begin with.
    pub chain: NameChain,
    /// Most leases and tokens.
    pub max: u64,
    /// Names its counters; never used again.
    pub id: u64,
    /// What was there before it is still being counted.
    pub counting: bool,
}

impl std::fmt::Debug for LeaseQuotaRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeaseQuotaRecord({})", self.id)
    }
}

impl Table for LeaseQuotas {
    const ID: u8 = 67;
    const NAME: &'static str = "lease_quotas";
    const SEALED: bool = true;
    type Key = ();
    type Value = LeaseQuotasRecord;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &LeaseQuotasRecord) -> Zeroizing<Vec<u8>> {
        let quotas = value.quotas.iter().map(|quota| proto::LeaseQuota {
            name: quota.name.as_str().into(),
            path: quota.path.as_str().into(),
            max_leases: quota.max,
            id: quota.id,
            counting: quota.counting,
            chain: quota.chain.as_bytes().to_vec(),
        });
        let plain = proto::LeaseQuotas {
            format: FORMAT,
            quotas: quotas.collect(),
            next_id: value.next_id,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<LeaseQuotasRecord> {
        let plain = proto::LeaseQuotas::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let quota = |quota: proto::LeaseQuota| {
            Some(LeaseQuotaRecord {
                name: Path::parse(&quota.name).ok()?,
                path: QuotaPath::parse(&quota.path).ok()?,
                chain: NameChain::from_slice(&quota.chain)?,
                max: quota.max_leases,
                id: quota.id,
                counting: quota.counting,
            })
        };
        Some(LeaseQuotasRecord {
            quotas: plain.quotas.into_iter().map(quota).collect::<Option<_>>()?,
            next_id: plain.next_id,
        })
    }
}
