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

// ------------------------------------------------------------------- the peer port

/// A connection to a peer (TCP and TLS) is made within this time or given up.
pub const PEER_CONNECT_TIMEOUT_MS: u64 = 1_000;
/// A caller of the peer port finishes its TLS handshake within this time.
pub const PEER_HANDSHAKE_TIMEOUT_MS: u64 = 3_000;
/// Handshakes in progress at a time; further callers wait in the listen queue.
pub const PEER_HANDSHAKES_MAX: usize = 64;
/// Connections of keys outside the membership at a time.
pub const PEER_STRANGER_CONNECTIONS_MAX: usize = 32;
/// A connection whose key is not in the membership by then is closed.
pub const PEER_STRANGER_AGE_MS: u64 = 60_000;
/// Connections of one member at a time. A member uses three, and a few more while it
/// reconnects.
pub const PEER_MEMBER_CONNECTIONS_MAX: usize = 32;
/// Streams on one peer connection at a time.
pub const PEER_STREAMS_MAX: u32 = 4_096;
/// Bytes of one request's headers on the peer port.
pub const PEER_HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Flow-control window of one stream. Smaller than the connection's, so that a stream whose
/// reader is slow can't block the others.
pub const PEER_STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Flow-control window of one connection.
pub const PEER_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A peer connection that was silent for so long is probed.
pub const PEER_KEEPALIVE_INTERVAL_MS: u64 = 2_000;
/// A probe without an answer for so long ends the connection; so does sent data that TCP
/// doesn't see acknowledged.
pub const PEER_KEEPALIVE_TIMEOUT_MS: u64 = 2_000;
/// At shutdown, calls in progress on the peer port have this time to end.
pub const PEER_DRAIN_MS: u64 = 1_000;
/// Join calls in progress at a time.
pub const JOIN_CALLS_MAX: usize = 8;
/// Most bytes of a join request.
pub const JOIN_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// After a call of an unknown key, known members are asked for the membership at most once
/// in so long.
pub const MEMBERSHIP_ASK_INTERVAL_MS: u64 = 1_000;
/// Least time that an append stream waits for the next answer before it is given up. A
/// heartbeat interval would be too short for it: an answer may stand for megabytes that
/// have to travel and reach the disk, and to send them again makes a slow peer slower.
/// Heartbeats go by another connection and keep their own, short deadline.
pub const APPEND_STALL_MS: u64 = 2_000;
/// The receiver of a whole snapshot installs it within this time.
pub const SNAPSHOT_INSTALL_MS: u64 = 120_000;
/// Most entries in one write to the state.
pub const APPLY_ENTRIES_MAX: usize = 256;
/// A write to the state takes no further entry from so many bytes on.
pub const APPLY_BYTES_MAX: usize = 8 << 20;
/// Chunks of a snapshot that are read ahead of the stream.
pub const SNAPSHOT_CHUNKS_QUEUED: usize = 2;
/// Most files in a snapshot that is received.
pub const SNAPSHOT_FILES_MAX: u64 = 1 << 20;

// ------------------------------------------------------------------------- backups

/// Version of the file of a backup that this build writes, and the newest that it reads.
pub const BACKUP_FORMAT: u32 = 1;
/// A frame of a backup takes no further record from so many bytes on.
pub const BACKUP_FRAME_BYTES: usize = 64 << 10;
/// Most bytes of the payload of one frame: the largest record fits, with its overhead.
pub const BACKUP_FRAME_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + BACKUP_FRAME_BYTES + (64 << 10);
/// How far above all revisions, those of the cluster and those of the file, a restore goes on at
/// least, and less than twice as far: so many changes can be made where a snapshot was saved, after it,
/// before a revision of there is mistaken for one of the restored state. Years of them, and room for
/// millions of restores. How far exactly is random, so that what one restore of a file told isn't
/// mistaken for what another one did.
pub const RESTORE_REVISION_GAP: u64 = 1 << 40;
/// Frames of a backup that are read ahead of the stream.
pub const BACKUP_FRAMES_QUEUED: usize = 2;
/// A backup whose receiver takes nothing for so long is given up: it pins old versions.
pub const BACKUP_IDLE_MS: u64 = 60_000;
/// Bytes of each table file that are read ahead for a backup.
pub const BACKUP_READ_AHEAD_BYTES: usize = 32 << 10;
/// Bytes of one staged piece of a backup: each is a transaction of its own.
pub const RESTORE_PIECE_BYTES: usize = 1 << 20;
/// Most bytes of a backup that is restored.
pub const RESTORE_BYTES_MAX: u64 = 256 << 30;
/// A restore leaves so much of the disk free, beside what it needs itself.
pub const RESTORE_DISK_FREE_BYTES: u64 = 64 << 20;
/// Bytes of one table file that a restore writes.
pub const RESTORE_TABLE_BYTES: u64 = 64 << 20;
