//! Between the wire's types and the domain's. Checks what the types can't hold.

use prost_types::{Duration, Timestamp};
use tenure_core::types::{
    Ttl, TtlRequest, UnixMillis,
    limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX},
};

use crate::error::Error;

/// A duration of a request: absent and zero mean the default; a part of a second is lost.
pub fn ttl(field: &str, duration: Option<&Duration>) -> Result<TtlRequest, Error> {
    let Some(duration) = duration else {
        return Ok(TtlRequest::Default);
    };
    if duration.nanos < 0 || duration.nanos > 999_999_999 {
        return Err(Error::invalid_argument(format!("{field}: not a duration")));
    }
    // Less than a second is not nothing: it becomes one second.
    let seconds = match (duration.seconds, duration.nanos) {
        (0, nanos) if nanos > 0 => 1,
        (seconds, _) => seconds,
    };
    let ttl = Ttl::from_signed_seconds(seconds)
        .map_err(|error| Error::invalid_argument(format!("{field}: {error}")))?;
    Ok(TtlRequest::from(ttl))
}

/// Rows of a page: 0 leaves it to us.
pub fn page_rows(asked: u32) -> usize {
    match asked {
        0 => PAGE_ROWS_DEFAULT,
        rows => usize::try_from(rows).map_or(PAGE_ROWS_MAX, |rows| rows.min(PAGE_ROWS_MAX)),
    }
}

/// Where a page begins: after the key that a token of ours names; empty for the first one.
pub fn page_start<K>(token: &str, key: fn(&[u8]) -> Option<K>) -> Result<Option<K>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = hex::decode(token).ok();
    bytes
        .and_then(|bytes| key(&bytes))
        .map(Some)
        .ok_or_else(|| Error::invalid_argument("page_token: not one of ours"))
}

/// The token of the page after this key; empty after the last one.
pub fn page_token(after: Option<&[u8]>) -> String {
    after.map_or_else(String::new, hex::encode)
}

/// A lifetime on the wire.
pub fn duration(ttl: Ttl) -> Duration {
    Duration {
        seconds: i64::try_from(ttl.as_seconds()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

/// A point in time on the wire.
pub fn timestamp(at: UnixMillis) -> Timestamp {
    let ms = at.get();
    Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        // Below a thousand million by construction.
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
    }
}
