//! The figures of the load, each with its unit.

use std::time::Duration;

/// The load comes from one thread. Above this share of a core it is what limits the rate.
pub const GENERATOR_SHARE_MAX: f64 = 0.85;
/// Longest latency that is told apart, microseconds.
pub const LATENCY_US_MAX: u64 = 60_000_000;
/// Clients that look up beside what is measured.
pub const FOREGROUND_CLIENTS: usize = 24;
/// Connections that clients share, at most: calls of one connection go side by side.
pub const CHANNELS_MAX: usize = 8;
/// How many tokens are looked up and renewed.
pub const POOL_TOKENS: usize = 1_000;
/// How many clients fill.
pub const FILL_CLIENTS: usize = 64;
/// Bytes of a lease's payload.
pub const PAYLOAD_BYTES: usize = 64;
/// How long lookups are measured before something happens beside them.
pub const CALM: Duration = Duration::from_secs(3);
/// How long lives what is made.
pub const HOUR: Duration = Duration::from_secs(3600);
