//! Every bound of the replicated store, with its unit in its name.

/// Version of the log entry, command, state and snapshot formats that this build writes.
/// It reads every version up to this one, and stops at a newer one.
pub const FORMAT: u32 = 1;
/// Most transactions in one log entry.
pub const ENTRY_TRANSACTIONS_MAX: usize = 256;
/// Most bytes of transactions in one log entry.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Most bytes of one transaction (keys and values).
pub const TRANSACTION_BYTES_MAX: usize = 2 << 20;
/// Most bytes of entries in one append message.
pub const APPEND_BYTES_MAX: usize = 8 << 20;
/// Most bytes of a message on the peer port.
pub const PEER_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one snapshot chunk.
pub const SNAPSHOT_CHUNK_BYTES: usize = 512 << 10;
/// A snapshot stream that moves nothing for so long is given up.
pub const SNAPSHOT_IDLE_MS: u64 = 15_000;
/// Most bytes of recent log entries kept in memory.
pub const LOG_CACHE_BYTES_MAX: usize = 16 << 20;
/// Most appends and votes that share one fsync.
pub const LOG_SYNC_JOBS_MAX: usize = 1024;
/// Most entries in one write to the state.
pub const APPLY_ENTRIES_MAX: usize = 256;
/// A write to the state takes no further entry from so many bytes on.
pub const APPLY_BYTES_MAX: usize = 8 << 20;
/// Chunks of a snapshot that are read ahead of the stream.
pub const SNAPSHOT_CHUNKS_QUEUED: usize = 2;
/// Most files in a snapshot that is received.
pub const SNAPSHOT_FILES_MAX: u64 = 1 << 20;
