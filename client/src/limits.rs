//! Every bound of the client, with its unit in its name.

/// A call is given up after so long, retries included, unless the caller says otherwise.
pub const DEADLINE_MS: u64 = 10_000;
/// A connection that isn't there (TLS included) after so long counts as failed.
pub const CONNECT_TIMEOUT_MS: u64 = 2_000;
/// A read that one node hasn't answered after so long is tried at another one.
pub const READ_ATTEMPT_MS: u64 = 3_000;
/// A connection with a call under way is checked with a ping every so often.
pub const KEEP_ALIVE_INTERVAL_MS: u64 = 5_000;
/// A ping that isn't answered after so long closes the connection.
pub const KEEP_ALIVE_TIMEOUT_MS: u64 = 3_000;
/// The first wait, after every address has failed once.
pub const BACKOFF_FIRST_MS: u64 = 25;
/// The longest wait between two rounds over the addresses.
pub const BACKOFF_MAX_MS: u64 = 1_000;
/// A watch that says nothing for so long (the server says how far it is every 5 s) is resumed.
pub const WATCH_SILENT_MS: u64 = 20_000;
/// A message of a keep-alive that isn't answered within so long is sent again.
pub const KEEP_ALIVE_ANSWER_MS: u64 = 12_000;
/// Most leases that one message of a keep-alive names: the server's bound.
pub const KEEP_ALIVE_LEASES_MAX: usize = 256;
/// The longest duration of the contract (google.protobuf.Duration's bound).
pub const DURATION_SECONDS_MAX: u64 = 315_576_000_000;
/// Most leases that one renewer keeps, and most news that wait to be read before it takes no more.
pub const RENEWER_LEASES_MAX: usize = 100_000;
/// What a renewal leaves of a life, if that is long enough: a failover fits in.
pub const RENEWAL_ROOM_MS: u64 = 5_000;
/// The shortest time that one try of a renewal gets.
pub const RENEWAL_TRY_MS_MIN: u64 = 1_000;
/// The longest.
pub const RENEWAL_TRY_MS_MAX: u64 = 10_000;
/// The wait after the first failed renewal.
pub const RENEWAL_RETRY_FIRST_MS: u64 = 100;
/// The longest wait after a failed renewal, of what lives long.
pub const RENEWAL_RETRY_MS_MAX: u64 = 30_000;
/// The longest wait after a failed renewal, of what ends soon.
pub const RENEWAL_RETRY_SOON_MS: u64 = 250;
/// What its maximum has left no more than this isn't renewed again.
pub const RENEWAL_END_MS: u64 = 2_000;
/// A snapshot that is saved or restored is given up after so long.
pub const SNAPSHOT_DEADLINE_MS: u64 = 6 * 3_600_000;
/// Bytes of a snapshot that are sent at a time.
pub const RESTORE_PIECE_BYTES: usize = 256 << 10;
/// Pieces of a snapshot that are read ahead.
pub const RESTORE_PIECES_QUEUED: usize = 2;
/// Most bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
