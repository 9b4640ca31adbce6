//! Every bound of the domain, with its unit in its name.

/// Longest duration: what a Go `time.Duration` holds, so that any client can compute with
/// any TTL. In milliseconds it is far below the range of `u64`.
pub const TTL_SECONDS_MAX: u64 = 9_223_372_036;
/// Longest text of a duration.
pub const TTL_TEXT_BYTES_MAX: usize = 64;
/// TTL of a token when none is asked for, and the longest one, unless configured: 32 days.
pub const TTL_SYSTEM_SECONDS_DEFAULT: u64 = 768 * 3600;

/// Random characters of an issued token id (log2(62^28) is 166 bits).
pub const TOKEN_ID_RANDOM_CHARS: usize = 28;
/// Longest token id that is looked at.
pub const TOKEN_ID_BYTES_MAX: usize = 4096;
/// Shortest token id that a caller may choose.
pub const TOKEN_ID_CUSTOM_BYTES_MIN: usize = 4;
/// Longest token id that a caller may choose.
pub const TOKEN_ID_CUSTOM_BYTES_MAX: usize = 256;
/// Characters of an accessor.
pub const ACCESSOR_CHARS: usize = 24;
/// Most ancestors of a token.
pub const TOKEN_ANCESTORS_MAX: usize = 64;
/// Most uses that a use-limited token can be given.
pub const TOKEN_USES_MAX: u32 = i32::MAX as u32;

/// Most networks that a token or a role is bound to.
pub const BOUND_CIDRS_MAX: usize = 64;
/// Longest text of a network.
pub const CIDR_TEXT_BYTES_MAX: usize = 64;
/// Most token roles of a cluster.
pub const TOKEN_ROLES_MAX: u64 = 10_000;
/// Most policies of a cluster.
pub const POLICIES_STORED_MAX: u64 = 10_000;
/// Longest name of a token role, and longest suffix of the paths of its tokens.
pub const ROLE_NAME_BYTES_MAX: usize = 128;
/// Longest life of a batch token: what revokes them by their path is kept as long, since nothing
/// is stored of them that could be cleared away.
pub const BATCH_TTL_SECONDS_MAX: u64 = TTL_SYSTEM_SECONDS_DEFAULT;
/// For so much longer than a batch token lives at most, the revocation of its path is kept: nodes
/// don't judge the two ends at the same instant.
pub const TOKEN_PATH_TOMBSTONE_MARGIN_MS: u64 = 3_600_000;
/// Most source paths whose tokens are revoked: each is in the memory of every node for as long as
/// a batch token lives at most.
pub const TOKEN_PATH_TOMBSTONES_MAX: usize = 1_024;
/// Most rows that one page of a filtered listing of tokens looks at.
pub const TOKENS_LOOKED_AT_MAX: usize = 1_000;

/// Longest policy name.
pub const POLICY_NAME_BYTES_MAX: usize = 256;
/// Most policies of a token.
pub const POLICIES_MAX: usize = 256;
/// Longest text of a policy, in HCL or JSON.
pub const POLICY_TEXT_BYTES_MAX: usize = 256 << 10;
/// Most paths in a policy.
pub const POLICY_PATHS_MAX: usize = 4096;
/// Longest path in a policy, with its wildcards and templates.
pub const POLICY_PATH_BYTES_MAX: usize = 1024;
/// Most parameters that one rule allows, denies or requires, and most values in each.
pub const POLICY_PARAMETERS_MAX: usize = 256;
/// Deepest nesting of blocks, objects and lists in a text of a policy.
pub const POLICY_NESTING_MAX: usize = 16;
/// Longest display name that is asked for.
pub const DISPLAY_NAME_BYTES_MAX: usize = 256;
/// Most metadata entries of a token.
pub const META_ENTRIES_MAX: usize = 64;
/// Longest metadata key.
pub const META_KEY_BYTES_MAX: usize = 128;
/// Longest metadata value.
pub const META_VALUE_BYTES_MAX: usize = 512;

/// Characters of the hash in the lease id of a token, after its "h".
pub const TOKEN_LEASE_HASH_CHARS: usize = 32;

/// Most segments of a path.
pub const PATH_SEGMENTS_MAX: usize = 16;
/// Longest segment of a path.
pub const PATH_SEGMENT_BYTES_MAX: usize = 128;
/// Longest path.
pub const PATH_BYTES_MAX: usize = 512;
/// Most segments of a logical path: those of a mount, what the engine is to do, those of a name.
/// Each of them is bounded by itself: a mount that is moved or upgraded hides no name.
pub const LOGICAL_PATH_SEGMENTS_MAX: usize = PATH_SEGMENTS_MAX + 1 + PATH_SEGMENTS_MAX;
/// Longest logical path.
pub const LOGICAL_PATH_BYTES_MAX: usize = PATH_BYTES_MAX + "/undelete/".len() + PATH_BYTES_MAX;
/// Random characters of a lease id (log2(62^24) is 142 bits).
pub const LEASE_ID_RANDOM_CHARS: usize = 24;
/// Most bytes that a client puts on lease.
pub const LEASE_PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Paths that one call asks the capabilities of.
pub const CAPABILITY_PATHS_MAX: usize = 256;
/// Rules of which it is found out exactly whether they grant something in a folder, before it is
/// taken for granted of the others: each may take a look at all rules.
pub const ACL_RULES_LOOKED_INTO_MAX: usize = 32;
/// Sets of policies whose compiled form is kept.
pub const ACLS_KEPT_MAX: usize = 1_024;
/// Texts of the policies whose compiled form is kept, over all sets: what is compiled takes several
/// times as much.
pub const ACLS_KEPT_TEXT_BYTES_MAX: usize = 16 << 20;
/// Most leases that a token without `sudo` ends by one prefix.
pub const LEASES_REVOKED_AT_ONCE_MAX: usize = 256;
/// Most leases that one message of a keep-alive stream renews.
pub const LEASES_RENEWED_AT_ONCE_MAX: usize = 256;
/// After so many bytes of leases, payloads included, such a message renews no more of them: all
/// of it is one transaction, and their events are a part of it, too.
pub const LEASES_RENEWED_BYTES_MAX: usize = 1 << 20;
/// Most leases that one call looks at to count them.
pub const COUNT_ROWS_MAX: usize = 1_000;

/// Most mounts of a cluster: all of them are one record, which every call on a logical path
/// reads.
pub const MOUNTS_MAX: usize = 512;
/// Longest description of a mount.
pub const MOUNT_DESCRIPTION_BYTES_MAX: usize = 512;

/// Most bytes of one secret, as JSON text: below half of what a transaction holds, so that a
/// new version fits into one beside an older one that is taken over from kv version 1.
pub const SECRET_DATA_BYTES_MAX: usize = (1 << 20) - (16 << 10);
/// Most values (of objects and arrays together) in the JSON text of a secret: a few bytes each
/// there, hundreds once they are taken apart.
pub const JSON_VALUES_MAX: usize = 20_000;
/// Deepest nesting of JSON that is looked at.
pub const JSON_DEPTH_MAX: usize = 64;
/// Versions of a secret that are kept, unless configured.
pub const KV_VERSIONS_DEFAULT: u32 = 10;
/// Most versions of a secret that can be kept: their times are one record.
pub const KV_VERSIONS_MAX: u32 = 1_000;
/// Most secrets in the cubbyhole of a token: all of them are one record.
pub const CUBBYHOLE_SECRETS_MAX: usize = 256;
/// Most bytes in the cubbyhole of a token, paths included.
pub const CUBBYHOLE_BYTES_MAX: usize = SECRET_DATA_BYTES_MAX;

/// Most rate limits: all of them are one record, which every node keeps in memory.
pub const RATE_LIMITS_MAX: usize = 256;
/// Longest interval of a rate limit, and longest block of a client that exceeds it: state of a
/// client is kept for so long.
pub const RATE_INTERVAL_SECONDS_MAX: u64 = 24 * 3600;
/// Most paths that are exempt from rate limits.
pub const RATE_EXEMPT_PATHS_MAX: usize = 64;
/// Most lease-count quotas: all of them are one record, which every grant reads.
pub const LEASE_QUOTAS_MAX: usize = 64;

/// Most rows on one page of a listing.
pub const PAGE_ROWS_MAX: usize = 500;
/// Rows on a page when the caller names no number.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Most rows that one clean-up transaction looks at.
pub const CLEANUP_ROWS_MAX: usize = 256;

/// Bytes of events after which their oldest are deleted, however young they are.
pub const EVENT_BYTES_MAX: u64 = 256 << 20;
/// Age after which events are deleted, however few there are.
pub const EVENT_AGE_MS_MAX: u64 = 3_600_000;
/// Events are deleted in stretches. A new one begins after so many bytes…
pub const EVENT_STRETCH_BYTES: u64 = 4 << 20;
/// …or after so long.
pub const EVENT_STRETCH_MS: u64 = 60_000;
/// Rows of events that one look at the end of the table counts.
pub const EVENT_ROWS_COUNTED_MAX: usize = 4_096;
/// Rows of events that are read at once.
pub const EVENT_ROWS_READ_MAX: usize = 256;

/// Longest request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// How long the answer to a request id is kept.
pub const DEDUPE_WINDOW_MS: u64 = 10 * 60 * 1000;

/// How long a join challenge may be answered.
pub const CHALLENGE_WINDOW_MS: u64 = 60_000;
/// Longest value that the barrier seals.
pub const SEALED_VALUE_BYTES_MAX: usize = 64 << 20;

/// Barrier keys of before under which the root key is kept for nodes that follow: an unsealed node
/// that has missed more rotations than these seals itself.
pub const TERMS_FOLLOWED: u32 = 32;
/// Fewest operations with one barrier key after which it may be told to be rotated by itself.
pub const ROTATION_OPERATIONS_MIN: u64 = 1_000_000;
/// Most of them, and the default: nine tenths of 2^32, as the peers have it.
pub const ROTATION_OPERATIONS_MAX: u64 = 3_865_470_566;
/// Shortest age of a barrier key at which it may be told to be rotated by itself.
pub const ROTATION_INTERVAL_SECONDS_MIN: u64 = 24 * 60 * 60;
