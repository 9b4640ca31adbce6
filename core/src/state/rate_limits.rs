//! Table `rate_limits`: how often a client may call.
//!
//! Key: fixed. Value: sealed; all rate limits, sorted by name, and what holds for all of them: a
//! node keeps them ready in memory, and reads them anew when apply has changed the record.
//! Lifetime: from the first one on.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    quota::QuotaPath,
    types::{Path, Ttl},
};

/// The table.
pub enum RateLimits {}

/// All rate limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitsRecord {
    /// Sorted by name.
    pub limits: Vec<RateLimitRecord>,
    /// What is never limited.
    pub exempt: Vec<QuotaPath>,
    /// Whether answers tell the limit.
    pub headers: bool,
    /// The number that the next limit gets.
    pub next_id: u64,
}

/// A rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitRecord {
    /// Its name: one segment.
    pub name: Path,
    /// What it covers.
    pub path: QuotaPath,
    /// Most requests of one client in an interval.
    pub rate: u32,
    /// Length of an interval.
    pub interval: Ttl,
    /// How long a client is refused that exceeds it; `None`: until its interval ends.
    pub block: Option<Ttl>,
    /// New with each change.
    pub id: u64,
}

impl Table for RateLimits {
    const ID: u8 = 66;
    const NAME: &'static str = "rate_limits";
    const SEALED: bool = true;
    type Key = ();
    type Value = RateLimitsRecord;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &RateLimitsRecord) -> Zeroizing<Vec<u8>> {
        let limits = value.limits.iter().map(|limit| proto::RateLimit {
            name: limit.name.as_str().into(),
            path: limit.path.as_str().into(),
            rate: limit.rate.into(),
            interval_s: limit.interval.as_seconds(),
            block_interval_s: limit.block.map(Ttl::as_seconds),
            id: limit.id,
        });
        let exempt = value.exempt.iter().map(|path| path.as_str().into());
        let plain = proto::RateLimits {
            format: FORMAT,
            limits: limits.collect(),
            exempt_paths: exempt.collect(),
            headers: value.headers,
            next_id: value.next_id,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<RateLimitsRecord> {
        let plain = proto::RateLimits::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let limit = |limit: proto::RateLimit| {
            let block = limit.block_interval_s.map(Ttl::from_seconds).transpose();
            Some(RateLimitRecord {
                name: Path::parse(&limit.name).ok()?,
                path: QuotaPath::parse(&limit.path).ok()?,
                // A record that says 0 is corrupt: it must not refuse everything.
                rate: u32::try_from(limit.rate).ok().filter(|rate| *rate > 0)?,
                interval: Ttl::from_seconds(limit.interval_s).ok()?,
                block: block.ok()?,
                id: limit.id,
            })
        };
        let exempt = plain.exempt_paths.iter();
        Some(RateLimitsRecord {
            limits: plain.limits.into_iter().map(limit).collect::<Option<_>>()?,
            exempt: exempt
                .map(|path| QuotaPath::parse(path).ok())
                .collect::<Option<_>>()?,
            headers: plain.headers,
            next_id: plain.next_id,
        })
    }
}
