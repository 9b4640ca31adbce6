//! Every bound of the edge, with its unit in its name. Holds no logic beyond the defaults.

use std::time::Duration;

/// Most client connections at once. One costs about 20 KiB when idle, so the cap is worth some
/// 80 MiB; what comes above it is closed before its handshake.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Upper end of what the configuration accepts for the connection cap.
pub const CONNECTIONS_CEILING: usize = 100_000;
/// Most streams of one connection. A client multiplexes calls; one client alone must not be able
/// to fill the request cap.
pub const CONCURRENT_STREAMS_MAX: u32 = 256;
/// Upper end of what the configuration accepts for streams of one connection.
pub const CONCURRENT_STREAMS_CEILING: u32 = 10_000;
/// Most requests being worked on at once, over all connections. More are refused at once:
/// a queue would only turn overload into timeouts.
pub const INFLIGHT_REQUESTS_MAX: usize = 1_024;
/// Upper end of what the configuration accepts for requests in flight.
pub const INFLIGHT_REQUESTS_CEILING: usize = 100_000;
/// Most calls whose answer is not wholly sent yet, streams such as Watch included. Together with
/// the send buffer of a stream this bounds what slow readers can hold.
pub const OPEN_CALLS_MAX: usize = 16_384;
/// Most bytes of one request message. Above what one transaction can hold, so that the caller of
/// a too large write learns it from the write path and not from the transport.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Upper end of what the configuration accepts for one request message: a standby must be
/// able to pass it on, and a transaction is smaller still.
pub const REQUEST_BYTES_CEILING: usize = 8 << 20;
/// Most bytes of request messages held at once, over all listeners. They are read before anyone
/// knows whose call it is; what comes above it is refused. A decoded message may be a second copy
/// of its bytes: the memory of a machine has to have room for both.
pub const REQUEST_BODIES_BYTES_MAX: usize = 128 << 20;
/// So much of each message doesn't count: calls as people make them go on while large ones are
/// refused. The cap of requests in flight bounds these bytes.
pub const REQUEST_BYTES_FREE: usize = 4 << 10;
/// Most questions about health at once, beside all other requests.
pub const HEALTH_CALLS_MAX: usize = 1_024;
/// Most bytes of the header list of one request: a 4,000-character token and its company fit.
pub const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Upper end of what the configuration accepts for headers.
pub const HEADER_BYTES_CEILING: u32 = 1 << 20;
/// Longest time a request may take, unless the client asks for less. Vault's default.
pub const REQUEST_DURATION_MAX_MS: u64 = 90_000;
/// Upper end of what the configuration accepts for the time of a request.
pub const REQUEST_DURATION_CEILING_MS: u64 = 3_600_000;
/// Longest time from accept to a finished TLS handshake, and again to the HTTP/2 preface.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// A connection without a call is closed (politely) after so long; good clients reconnect.
pub const CONNECTION_IDLE_MS_MAX: u64 = 300_000;
/// A connection is asked to end after so long, so that load spreads again after a restart and a
/// rotated certificate reaches everyone.
pub const CONNECTION_AGE_MS_MAX: u64 = 3_600_000;
/// Calls of an aged connection get so long to end before it is cut.
pub const CONNECTION_AGE_GRACE_MS: u64 = 60_000;
/// On shutdown, calls in flight get so long to end before their connections are cut.
pub const DRAIN_MS_MAX: u64 = 10_000;
/// On shutdown, the hand-over of leadership may take so long; it comes before the drain.
pub const HAND_OVER_MS_MAX: u64 = 5_000;
/// At the very end, tasks that are still busy get so long. Whoever stops the process (an
/// orchestrator's grace) waits for hand-over, drain, this and the log's flush at least, and for
/// the store to close, which has no bound of its own.
pub const RUNTIME_END_MS_MAX: u64 = 1_000;
/// A silent connection is pinged after so long.
pub const HTTP2_PING_INTERVAL_MS: u64 = 30_000;
/// A ping must be answered within so long.
pub const HTTP2_PING_TIMEOUT_MS: u64 = 10_000;
/// The head of an HTTP/1.1 request must be complete within so long. It counts from the end of the
/// request before it, so that an idle connection that is kept alive ends after so long, too.
pub const HTTP1_HEAD_MS_MAX: u64 = 60_000;
/// Most headers of one HTTP/1.1 request. Vault's clients send a dozen.
pub const HTTP1_HEADERS_MAX: usize = 100;
/// Smallest buffer for the head of an HTTP/1.1 request: the HTTP library takes no less.
pub const HTTP1_BUFFER_BYTES_MIN: usize = 8 << 10;
/// What a stream may send before we read it.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a connection may send before we read it: this, not streams times their window, is what a
/// client can make one connection hold in memory.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest frame we accept: HTTP/2's own default; larger ones only help the sender of floods.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16 << 10;
/// Answer bytes that wait for one slow stream before its writer has to wait.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that a client opened and reset before we looked at them (rapid reset): above this the
/// connection is ended.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Streams that *we* had to reset because of the client's errors: above this it is ended.
pub const HTTP2_ERROR_RESETS_MAX: usize = 256;

/// Most bytes of the path of an HTTP request, still encoded. The longest lease id, every byte of it
/// percent-encoded, fits.
pub const HTTP_PATH_BYTES_MAX: usize = 4 << 10;
/// Most bytes of the query of an HTTP request: a token of the longest kind fits.
pub const HTTP_QUERY_BYTES_MAX: usize = 8 << 10;
/// Most parameters in a query: every route knows a handful.
pub const HTTP_QUERY_PAIRS_MAX: usize = 64;
/// Most bytes of a too large HTTP body that are read and thrown away, so that a client that sends all
/// before it reads learns why it was refused. Vault's limit of a body.
pub const HTTP_DRAIN_BYTES_MAX: usize = 32 << 20;
/// Deepest nesting of a JSON body. Each level costs stack while it is read; no field of ours nests
/// deeper than three, and secrets that people keep rarely deeper than ten.
pub const HTTP_JSON_DEPTH_MAX: usize = 64;
/// Most values (of objects and arrays together) in a JSON body. `[[],[],…]` costs three bytes a
/// value on the wire and some thirty in memory: this bounds what one body can grow to.
pub const HTTP_JSON_VALUES_MAX: usize = 20_000;
/// Most strings in a JSON body, keys included: each is an allocation. Well above the 1,000 that
/// users of OpenBao run into.
pub const HTTP_JSON_STRINGS_MAX: usize = 10_000;
/// Most bytes of one number in a JSON body: numbers keep their digits, so digits are bounded.
pub const HTTP_JSON_NUMBER_BYTES_MAX: usize = 256;
/// Most rows of a list that is asked for as a whole, as over HTTP, where it can't be paged.
pub const LIST_ROWS_MAX: usize = 10_000;
/// Most bytes of such a list while it is put together: rows can be large.
pub const LIST_BYTES_MAX: usize = 16 << 20;

/// Most streams (Watch and KeepAlive) of one node. Each looks at its token four times a second.
pub const STREAMS_MAX: usize = 1_024;
/// Most streams of one token on one node.
pub const STREAMS_PER_TOKEN_MAX: usize = 64;
/// Messages that wait for a slow reader of a stream.
pub const STREAM_QUEUE_MESSAGES: usize = 8;
/// A reader that takes nothing for so long has its stream ended.
pub const STREAM_SEND_MS_MAX: u64 = 10_000;
/// How often an idle stream looks whether its token still lives: it ends within so long.
pub const STREAM_CHECK_MS: u64 = 250;
/// A stream on a node that has heard of no leader for so long ends, so that its client goes to
/// another node.
pub const STREAM_LEADERLESS_MS_MAX: u64 = 5_000;
/// Longest time that one message of a keep-alive stream may take.
pub const KEEP_ALIVE_MESSAGE_MS_MAX: u64 = 10_000;
/// A watch says how far it is after so long without an event.
pub const WATCH_PROGRESS_MS: u64 = 5_000;
/// A watch waits so long after a look, so that it looks once for many commits.
pub const WATCH_PACE_MS: u64 = 10;
/// Bytes of events after which a message of a watch is full. The events of one revision stay
/// together: some hundred KiB at most.
pub const WATCH_MESSAGE_BYTES: usize = 64 << 10;
/// Events that all watches of a node share in memory, so that each is opened once.
pub const WATCH_EVENTS_SHARED_MAX: usize = 32_768;

/// Snapshots that a node streams at a time: each pins old versions of the state.
pub const SAVES_MAX: usize = 2;
/// Longest time that a snapshot is streamed.
pub const SAVE_MS_MAX: u64 = 6 * 3_600_000;
/// Longest time that a restore takes in a snapshot, whatever the time of other requests.
pub const RESTORE_MS_MAX: u64 = 6 * 3_600_000;
/// A snapshot that comes in and stands still for so long is given up.
pub const RESTORE_IDLE_MS: u64 = 30_000;
/// Longest wait for the last entry of a restore, which writes the whole state.
pub const RESTORE_SWAP_MS_MAX: u64 = 3_600_000;

/// Clients that a node keeps the rate of, each apart; 48 bytes each, all of them allocated when
/// there is a rate limit.
pub const RATE_CLIENTS_SLOTS: usize = 65_536;
/// Locks over them.
pub const RATE_CLIENTS_SHARDS: usize = 64;
/// Windows that further clients share, for each rate limit and lock.
pub const RATE_SHARED_WINDOWS: usize = 16;

/// Most connections of the health-only listener: an orchestrator needs a handful.
pub const HEALTH_CONNECTIONS_MAX: usize = 64;
/// Most streams of one connection of the health-only listener.
pub const HEALTH_CONCURRENT_STREAMS_MAX: u32 = 8;
/// Most bytes of a health request: the name of a service.
pub const HEALTH_REQUEST_BYTES_MAX: usize = 1 << 10;
/// Most bytes of headers of a health request.
pub const HEALTH_HEADER_BYTES_MAX: u32 = 4 << 10;
/// Longest time of a health check.
pub const HEALTH_REQUEST_DURATION_MS_MAX: u64 = 5_000;
/// Most Watch streams of the health service, over all listeners.
pub const HEALTH_WATCHES_MAX: usize = 256;
/// The disk must answer the health probe within so long.
pub const DISK_PROBE_MS_MAX: u64 = 2_000;
/// The answer of a disk probe is used for so long, so that health checks can't load the disk.
pub const DISK_PROBE_CACHE_MS: u64 = 1_000;

/// Key shares that one address may give at once (to unseal, to rekey, to make a root token): all
/// that a key can have. An attempt that is begun counts as one, and so does each PGP key of it. Those
/// whose token may are counted apart.
pub const SHARES_AT_ONCE_PER_ADDRESS: u32 = 256;
/// Key shares that one address may give each second, beyond that.
pub const SHARES_PER_SECOND_PER_ADDRESS: u32 = 4;
/// Key shares that a node takes at once from all addresses together. What a share costs is small;
/// this bounds what many addresses can make of it.
pub const SHARES_AT_ONCE_PER_NODE: u32 = 1_024;
/// Key shares that a node takes each second, beyond that.
pub const SHARES_PER_SECOND_PER_NODE: u32 = 64;
/// Most addresses whose shares are counted; beyond it, new ones share one count.
pub const SHARE_ADDRESSES_MAX: usize = 4_096;
/// Most bytes of an OpenPGP public key: enough for one of 16,384 bits with some signatures.
pub const PGP_KEY_BYTES_MAX: usize = 32 * 1_024;
/// Most signatures of one: each of its own is checked.
pub const PGP_SIGNATURES_MAX: usize = 32;
/// Requests whose PGP keys are checked at a time.
pub const PGP_CHECKS_MAX: usize = 2;
/// An attempt to rekey or to make a root token that nobody advances ends after so long: key holders
/// have to be called together, and what is abandoned must not stand in the way.
pub const ATTEMPT_IDLE_MS_MAX: u64 = 3_600_000;
/// How long an attempt may take that somebody without a token began.
pub const STRANGERS_ATTEMPT_MS_MAX: u64 = 900_000;
/// Longest request to the server that keeps the root key, from the first byte to the last.
pub const SEAL_REQUEST_MS_MAX: u64 = 10_000;
/// Most bytes of its answer: a key and what is said around it.
pub const SEAL_ANSWER_BYTES_MAX: usize = 1 << 20;
/// First wait before a provider that didn't open the node is asked again.
pub const SEAL_RETRY_MS_MIN: u64 = 250;
/// Longest wait before it is asked again.
pub const SEAL_RETRY_MS_MAX: u64 = 15_000;
/// A node that an operator sealed opens itself again after so long, as the peers' do.
pub const SEAL_REOPEN_AFTER_MS: u64 = 3_000;
/// Longest wait for a commit that puts new shares in force, whatever the caller's own deadline.
pub const REKEY_COMMIT_MS_MAX: u64 = 30_000;
/// How long the new shares are kept, in milliseconds, for a caller who lost the answer and repeats
/// the call.
pub const REKEY_ANSWER_KEPT_MS: u64 = 5 * 60 * 1_000;
/// How often the active node looks whether a barrier key is due.
pub const ROTATION_LOOK_MS: u64 = 5_000;

/// Most connections of the metrics listener.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// A request to the metrics listener must be complete within so long.
pub const METRICS_REQUEST_MS_MAX: u64 = 10_000;

/// Log lines that wait for a slow output; above this, lines are dropped and counted.
pub const LOG_QUEUE_LINES_MAX: usize = 16_384;
/// Longest wait at the end of the process for log lines to be written.
pub const LOG_FLUSH_MS_MAX: u64 = 2_000;

/// How often certificate files are looked at for a change.
pub const TLS_RELOAD_POLL_MS: u64 = 10_000;
/// After the system refused an accept (no file descriptors left), wait so long.
pub const ACCEPT_BACKOFF_MS: u64 = 100;
/// Largest configuration, certificate or key file that is read.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// The bounds of one listener, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Most connections at once.
    pub connections_max: usize,
    /// Most streams of one connection.
    pub concurrent_streams_max: u32,
    /// Most requests being worked on at once.
    pub inflight_requests_max: usize,
    /// Most calls not wholly answered yet.
    pub open_calls_max: usize,
    /// Most bytes of one request message.
    pub request_bytes_max: usize,
    /// Most bytes of the headers of one request.
    pub header_bytes_max: u32,
    /// Longest time of a request.
    pub request_duration_max: Duration,
    /// Longest time to a finished handshake.
    pub handshake_max: Duration,
    /// A connection without calls ends after so long.
    pub connection_idle_max: Duration,
    /// A connection is asked to end after so long.
    pub connection_age_max: Duration,
    /// And is cut so long after that.
    pub connection_age_grace: Duration,
    /// Time for calls in flight on shutdown.
    pub drain_max: Duration,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            concurrent_streams_max: CONCURRENT_STREAMS_MAX,
            inflight_requests_max: INFLIGHT_REQUESTS_MAX,
            open_calls_max: OPEN_CALLS_MAX,
            request_bytes_max: REQUEST_BYTES_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            request_duration_max: Duration::from_millis(REQUEST_DURATION_MAX_MS),
            handshake_max: Duration::from_millis(HANDSHAKE_MS_MAX),
            connection_idle_max: Duration::from_millis(CONNECTION_IDLE_MS_MAX),
            connection_age_max: Duration::from_millis(CONNECTION_AGE_MS_MAX),
            connection_age_grace: Duration::from_millis(CONNECTION_AGE_GRACE_MS),
            drain_max: Duration::from_millis(DRAIN_MS_MAX),
        }
    }
}

impl EdgeLimits {
    /// The bounds of the health-only listener.
    pub fn health_only() -> Self {
        Self {
            connections_max: HEALTH_CONNECTIONS_MAX,
            concurrent_streams_max: HEALTH_CONCURRENT_STREAMS_MAX,
            inflight_requests_max: HEALTH_CONNECTIONS_MAX,
            open_calls_max: HEALTH_CONNECTIONS_MAX * HEALTH_CONCURRENT_STREAMS_MAX as usize,
            request_bytes_max: HEALTH_REQUEST_BYTES_MAX,
            header_bytes_max: HEALTH_HEADER_BYTES_MAX,
            request_duration_max: Duration::from_millis(HEALTH_REQUEST_DURATION_MS_MAX),
            ..Self::default()
        }
    }
}
