//! The figures of the load, each with its unit.

use std::time::Duration;

/// Connections that clients share, at most: calls of one connection go side by side.
pub const CHANNELS_MAX: usize = 8;
/// Tokens that are looked up and renewed.
pub const POOL: usize = 1_000;
/// Clients that fill.
pub const FILL_CLIENTS: usize = 64;
/// Bytes of a lease's payload.
pub const PAYLOAD_BYTES: usize = 64;
/// Life of what is made.
pub const HOUR: Duration = Duration::from_secs(3600);
