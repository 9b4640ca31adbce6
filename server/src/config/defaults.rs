//! The values of what is not configured, each with its reason. Bounds of the edge are in
//! `crate::limits`.

use std::time::Duration;

/// Port of the first listener, as in Vault.
pub const API_PORT: u16 = 8200;
/// Port of the peers: one above the client port, as in Vault.
pub const CLUSTER_PORT: u16 = 8201;
/// Lease and token TTL when nobody asks for one: Vault's 768 hours, so that moving here changes
/// no lifetime.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(768 * 3600);
/// Longest lease and token TTL: Vault's.
pub const MAX_LEASE_TTL: Duration = Duration::from_secs(768 * 3600);
/// Leader to follower: often enough that four are lost before anyone stands for election.
pub const HEARTBEAT_MS: u64 = 50;
/// Shortest wait before an election. With the maximum it puts the gap after a killed leader below
/// one second, and lets a disk stall for a quarter of one.
pub const ELECTION_MIN_MS: u64 = 250;
/// Longest wait before an election, and the leader's lease.
pub const ELECTION_MAX_MS: u64 = 500;
/// Bounds of what the configuration accepts for these three.
pub const TIMING_MS: std::ops::RangeInclusive<u64> = 10..=60_000;
/// Heartbeats that fit into the shortest election timeout, at least: fewer, and one lost packet
/// costs a leader.
pub const HEARTBEATS_PER_ELECTION_MIN: u64 = 3;
/// Bounds of what the configuration accepts for the log bytes between snapshots.
pub const SNAPSHOT_THRESHOLD_BYTES_RANGE: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 30);
/// Bounds of what the configuration accepts for the log entries kept behind one. Entries are small or a few MiB, and lie on
/// disk.
pub const TRAILING_LOGS_RANGE: std::ops::RangeInclusive<u64> = 100..=1_000_000;
/// Most nodes that a configuration may name to join.
pub const RETRY_JOIN_MAX: usize = 64;
/// Most listeners.
pub const LISTENERS_MAX: usize = 16;
/// Longest cluster name.
pub const CLUSTER_NAME_CHARS_MAX: usize = 128;
