//! What a caller may ask to do with quotas, and the paths by which policies grant it.

use super::QuotaPath;
use crate::{
    policy::{Number, Operation, Value},
    token::{Action, Ask},
    types::{Path, TtlRequest},
};

/// Set a rate limit.
pub struct WriteRateLimit {
    /// Its name: one segment.
    pub name: Path,
    /// What it covers.
    pub path: String,
    /// Most requests of one client in an interval.
    pub rate: u64,
    /// Length of an interval.
    pub interval: TtlRequest,
    /// How long a client is refused that exceeds it.
    pub block: TtlRequest,
}
/// Show a rate limit.
pub struct ReadRateLimit(pub Path);
/// List the rate limits.
pub struct ListRateLimits;
/// Remove a rate limit.
pub struct DeleteRateLimit(pub Path);
/// Set what holds for all rate limits; `None`: as before.
pub struct WriteQuotaConfig {
    /// What is never limited.
    pub exempt: Option<Vec<QuotaPath>>,
    /// Whether answers tell the limit.
    pub headers: Option<bool>,
}
/// Show what holds for all rate limits.
pub struct ReadQuotaConfig;
/// Set a lease-count quota.
pub struct WriteLeaseCount {
    /// Its name: one segment.
    pub name: Path,
    /// What it covers.
    pub path: String,
    /// Most leases and tokens.
    pub max: u64,
}
/// Show a lease-count quota.
pub struct ReadLeaseCount(pub Path);
/// List the lease-count quotas.
pub struct ListLeaseCounts;
/// Remove a lease-count quota.
pub struct DeleteLeaseCount(pub Path);

const RATE: &str = "sys/quotas/rate-limit";
const COUNT: &str = "sys/quotas/lease-count";
const CONFIG: &str = "sys/quotas/config";

fn below(folder: &str, name: &Path) -> String {
    format!("{folder}/{}", name.as_str())
}

impl Action for WriteRateLimit {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, below(RATE, &self.name))
            .with("path", self.path.as_str().into())
            .with("rate", Value::Number(Number::whole(self.rate.into())))
            .with_time("interval", self.interval)
            .with_time("block_interval", self.block)
    }
}

impl Action for ReadRateLimit {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Read, below(RATE, &self.0))
    }
}

impl Action for ListRateLimits {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::List, RATE)
    }
}

impl Action for DeleteRateLimit {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Delete, below(RATE, &self.0))
    }
}

impl Action for WriteQuotaConfig {
    fn ask(&self) -> Ask<'_> {
        let mut ask = Ask::new(Operation::Update, CONFIG);
        if let Some(paths) = &self.exempt {
            let paths = paths.iter().map(|path| path.as_str().into()).collect();
            ask = ask.with("rate_limit_exempt_paths", Value::List(paths));
        }
        if let Some(headers) = self.headers {
            ask = ask.with("enable_rate_limit_response_headers", Value::Bool(headers));
        }
        ask
    }
}

impl Action for ReadQuotaConfig {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Read, CONFIG)
    }
}

impl Action for WriteLeaseCount {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, below(COUNT, &self.name))
            .with("path", self.path.as_str().into())
            .with("max_leases", Value::Number(Number::whole(self.max.into())))
    }
}

impl Action for ReadLeaseCount {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Read, below(COUNT, &self.0))
    }
}

impl Action for ListLeaseCounts {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::List, COUNT)
    }
}

impl Action for DeleteLeaseCount {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Delete, below(COUNT, &self.0))
    }
}
