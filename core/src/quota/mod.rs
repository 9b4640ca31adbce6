//! Quotas, as pure functions. Rate limits say how often a client may call a node: here is the
//! arithmetic, the server keeps what each client has used. Lease-count quotas say how many leases
//! and tokens there may be: exact, since the count is changed in the transaction that makes or
//! ends them. Nothing here commits, waits or keeps anything.

mod action;
mod count;
mod error;
mod lease_count;
mod path;
mod rate;
mod rate_limit;
mod search;

pub use action::{
    DeleteLeaseCount, DeleteRateLimit, ListLeaseCounts, ListRateLimits, ReadLeaseCount,
    ReadQuotaConfig, ReadRateLimit, WriteLeaseCount, WriteQuotaConfig, WriteRateLimit,
};
pub use count::{CountError, Exceeded, settle};
pub(crate) use count::{Tally, admit_lease, admit_token, tally_token};
pub use error::QuotaError;
pub use lease_count::{
    LeaseCount, LeaseCountPage, delete_lease_count, list_lease_counts, read_lease_count,
    write_lease_count,
};
pub use path::QuotaPath;
pub use rate::{RateRules, Rule, Verdict, Window};
pub use rate_limit::{
    RateLimitPage, delete_rate_limit, list_rate_limits, read_config, read_rate_limit, write_config,
    write_rate_limit,
};
pub use search::search;

#[cfg(test)]
mod tests;
