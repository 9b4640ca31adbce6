//! Moments, durations, expiries. Arithmetic saturates or says that it can't; it never wraps.

use std::{fmt, str::FromStr};

use super::limits::{TTL_SECONDS_MAX, TTL_TEXT_BYTES_MAX};

/// A moment of cluster time: milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// From milliseconds since the epoch.
    pub const fn new(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment moved by `ttl`, or `None` past the end of time.
    pub const fn checked_add(self, ttl: Ttl) -> Option<Self> {
        match self.0.checked_add(ttl.as_millis()) {
            Some(ms) => Some(Self(ms)),
            None => None,
        }
    }

    /// This moment moved by `ttl`, at most to the end of time.
    pub const fn saturating_add(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.as_millis()))
    }

    /// This moment moved by milliseconds, at most to the end of time.
    pub const fn saturating_add_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds from now until this moment; zero when it has passed.
    pub fn remaining(self, now: Self) -> Ttl {
        let seconds = self.0.saturating_sub(now.0) / 1000;
        Ttl(seconds.min(TTL_SECONDS_MAX))
    }
}

/// A duration in whole seconds, from zero to [`TTL_SECONDS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u64);

/// Why a duration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TtlError {
    /// Below zero.
    #[error("a duration can't be negative")]
    Negative,
    /// Above [`TTL_SECONDS_MAX`].
    #[error("a duration is at most {TTL_SECONDS_MAX} seconds")]
    TooLong,
    /// Not a duration.
    #[error("not a duration: use seconds (90) or units in whole numbers (60s, 20m, 1h30m, 10d)")]
    Malformed,
}

impl Ttl {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From whole seconds.
    pub const fn from_seconds(seconds: u64) -> Result<Self, TtlError> {
        if seconds > TTL_SECONDS_MAX {
            Err(TtlError::TooLong)
        } else {
            Ok(Self(seconds))
        }
    }

    /// From a signed number of seconds, as wire formats carry it.
    pub const fn from_signed_seconds(seconds: i64) -> Result<Self, TtlError> {
        if seconds < 0 {
            return Err(TtlError::Negative);
        }
        Self::from_seconds(seconds.unsigned_abs())
    }

    /// Whole seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u64 {
        // TTL_SECONDS_MAX keeps the product in range.
        self.0 * 1000
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Ttl {
    type Err = TtlError;

    /// Plain seconds, or whole numbers with the units d, h, m and s.
    fn from_str(text: &str) -> Result<Self, TtlError> {
        if text.starts_with('-') {
            return Err(TtlError::Negative);
        }
        if text.is_empty() || text.len() > TTL_TEXT_BYTES_MAX {
            return Err(TtlError::Malformed);
        }
        let mut total: u64 = 0;
        let mut number: Option<u64> = None;
        for byte in text.bytes() {
            if byte.is_ascii_digit() {
                let digit = u64::from(byte - b'0');
                let next = number
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|n| n.checked_add(digit));
                number = Some(next.ok_or(TtlError::TooLong)?);
                continue;
            }
            let unit = match byte {
                b'd' => 86_400,
                b'h' => 3600,
                b'm' => 60,
                b's' => 1,
                _ => return Err(TtlError::Malformed),
            };
            let part = number.take().ok_or(TtlError::Malformed)?.checked_mul(unit);
            total = part
                .and_then(|part| total.checked_add(part))
                .ok_or(TtlError::TooLong)?;
        }
        match number {
            None => Self::from_seconds(total),
            // A number without a unit stands alone: "90", never "1h90".
            Some(seconds) if text.bytes().all(|b| b.is_ascii_digit()) => {
                Self::from_seconds(seconds)
            }
            Some(_) => Err(TtlError::Malformed),
        }
    }
}

/// The short form that [`FromStr`] reads: `768h`, `1h30m`, `0s`.
impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds > 0 || self.0 == 0 {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

/// A duration as a caller asks for it. Zero and absence ask for the default; neither ever
/// means "forever".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlRequest {
    /// Nothing asked for.
    #[default]
    Default,
    /// This long; never zero.
    Of(Ttl),
}

impl TtlRequest {
    /// Reads what the wire carried.
    pub const fn new(ttl: Option<Ttl>) -> Self {
        match ttl {
            Some(ttl) if !ttl.is_zero() => Self::Of(ttl),
            _ => Self::Default,
        }
    }

    /// The duration, if one was asked for.
    pub const fn asked(self) -> Option<Ttl> {
        match self {
            Self::Default => None,
            Self::Of(ttl) if ttl.is_zero() => None,
            Self::Of(ttl) => Some(ttl),
        }
    }
}

impl From<Ttl> for TtlRequest {
    fn from(ttl: Ttl) -> Self {
        Self::new(Some(ttl))
    }
}

impl FromStr for TtlRequest {
    type Err = TtlError;

    /// An empty text asks for the default.
    fn from_str(text: &str) -> Result<Self, TtlError> {
        if text.is_empty() {
            Ok(Self::Default)
        } else {
            text.parse::<Ttl>().map(Self::from)
        }
    }
}

/// When something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Only a revocation ends it.
    Never,
    /// It is dead from this moment on.
    At(UnixMillis),
}

impl Expiry {
    /// Whether it has ended.
    pub fn is_past(self, now: UnixMillis) -> bool {
        matches!(self, Self::At(end) if now >= end)
    }

    /// Whole seconds left; `None` means that it doesn't end by itself.
    pub fn remaining(self, now: UnixMillis) -> Option<Ttl> {
        match self {
            Self::Never => None,
            Self::At(end) => Some(end.remaining(now)),
        }
    }

    /// The moment, if there is one.
    pub const fn at(self) -> Option<UnixMillis> {
        match self {
            Self::Never => None,
            Self::At(end) => Some(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Result<u64, TtlError> {
        text.parse::<Ttl>().map(Ttl::as_seconds)
    }

    #[test]
    fn reads_the_forms_of_the_api() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("60s"), Ok(60));
        assert_eq!(seconds("20m"), Ok(1200));
        assert_eq!(seconds("10h"), Ok(36_000));
        assert_eq!(seconds("10d"), Ok(864_000));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("9223372036"), Ok(TTL_SECONDS_MAX));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["-1", "-1h", "-0", "-"] {
            assert_eq!(seconds(text), Err(TtlError::Negative), "{text}");
        }
        for text in [
            "9223372037",
            "18446744073709551616",
            "999999999999d",
            "9223372036s1s",
        ] {
            assert_eq!(seconds(text), Err(TtlError::TooLong), "{text}");
        }
        for text in [
            "", " 1", "1 ", "h", "1x", "1h90", "1.5h", "1H", "+1", "٣", "1hh", "0x10", "1e3",
            "forever",
        ] {
            assert_eq!(seconds(text), Err(TtlError::Malformed), "{text}");
        }
        assert_eq!(seconds(&"0".repeat(65)), Err(TtlError::Malformed));
        assert_eq!(Ttl::from_signed_seconds(-1), Err(TtlError::Negative));
        assert_eq!(Ttl::from_signed_seconds(i64::MIN), Err(TtlError::Negative));
        assert_eq!(Ttl::from_signed_seconds(i64::MAX), Err(TtlError::TooLong));
    }

    #[test]
    fn zero_asks_for_the_default() {
        assert_eq!("0".parse(), Ok(TtlRequest::Default));
        assert_eq!("".parse(), Ok(TtlRequest::Default));
        assert_eq!(TtlRequest::from(Ttl::ZERO), TtlRequest::Default);
        assert_eq!(TtlRequest::Of(Ttl::ZERO).asked(), None);
    }

    #[test]
    fn an_expiry_ends_at_its_moment() {
        let end = Expiry::At(UnixMillis::new(1000));
        assert!(!end.is_past(UnixMillis::new(999)));
        assert!(end.is_past(UnixMillis::new(1000)));
        assert!(!Expiry::Never.is_past(UnixMillis::new(u64::MAX)));
        assert_eq!(end.remaining(UnixMillis::new(1)), Some(Ttl::ZERO));
        assert_eq!(end.remaining(UnixMillis::new(5000)), Some(Ttl::ZERO));
    }

    proptest! {
        #[test]
        fn display_is_read_back(seconds in 0..=TTL_SECONDS_MAX) {
            let ttl = Ttl::from_seconds(seconds)?;
            prop_assert_eq!(ttl.to_string().parse::<Ttl>(), Ok(ttl));
        }

        #[test]
        fn no_text_panics_or_passes_the_maximum(text in ".{0,70}") {
            if let Ok(ttl) = text.parse::<Ttl>() {
                prop_assert!(ttl.as_seconds() <= TTL_SECONDS_MAX);
            }
        }

        #[test]
        fn adding_never_goes_back(now: u64, seconds in 0..=TTL_SECONDS_MAX) {
            let (now, ttl) = (UnixMillis::new(now), Ttl::from_seconds(seconds)?);
            prop_assert!(now.saturating_add(ttl) >= now);
            if let Some(then) = now.checked_add(ttl) {
                prop_assert_eq!(then.remaining(now), ttl);
            }
        }
    }
}
