//! When a call is sent again, and after which wait. It must never let a change be sent twice
//! that may have been carried out, unless it carries a request id.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use tonic::Code;

use crate::{
    error::{Applied, Error, ErrorKind},
    limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS},
};

/// What sending a call twice would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The same as once: it changes nothing, or carries a request id.
    Repeatable,
    /// Perhaps not the same as once.
    Once,
}

/// Whether the same call may be sent again, to another node or later.
pub(crate) fn may_repeat(effect: Effect, error: &Error) -> bool {
    let safe = effect == Effect::Repeatable || error.applied() == Applied::No;
    match error.kind() {
        ErrorKind::Connect => true,
        ErrorKind::Transport | ErrorKind::Deadline => effect == Effect::Repeatable,
        // More calls don't make room.
        ErrorKind::Server if matches!(error.reason(), Some("QUOTA_EXCEEDED" | "RATE_LIMITED")) => {
            false
        }
        ErrorKind::Server => match error.code() {
            // Aborted: other changes kept coming in between.
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted => safe,
            // The node ran out of the time that this attempt gave it.
            Code::DeadlineExceeded => effect == Effect::Repeatable,
            _ => false,
        },
        ErrorKind::Config | ErrorKind::Protocol => false,
    }
}

/// The wait after the `round`th pass (from 0) over all addresses: doubling, with a random
/// half, so that clients that failed together don't come back together.
pub(crate) fn backoff(round: u32) -> Duration {
    let full = BACKOFF_FIRST_MS
        .saturating_mul(1 << round.min(16))
        .min(BACKOFF_MAX_MS);
    Duration::from_millis(full / 2 + chance() % (full / 2 + 1))
}

/// A fresh `RandomState` is seeded at random: enough for jitter.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn only_repeatable_calls_are_sent_again_when_the_effect_is_unknown() {
        let maybe = Error::from_status(&Status::unavailable("gone"), "a");
        assert!(may_repeat(Effect::Repeatable, &maybe));
        assert!(!may_repeat(Effect::Once, &maybe));
        let refused = Error::from_status(&Status::permission_denied("no"), "a");
        assert!(!may_repeat(Effect::Repeatable, &refused));
        let late = Error::deadline(Duration::from_secs(1), "a");
        assert!(may_repeat(Effect::Repeatable, &late));
        assert!(!may_repeat(Effect::Once, &late));
    }

    #[test]
    fn what_a_quota_refuses_is_not_asked_again() {
        let refused = |reason: &str| {
            let details = ErrorDetails::with_error_info(reason, "tenure", HashMap::new());
            let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
            Error::from_status(&status, "a")
        };
        for reason in ["QUOTA_EXCEEDED", "RATE_LIMITED"] {
            assert!(
                !may_repeat(Effect::Repeatable, &refused(reason)),
                "{reason}"
            );
        }
        assert!(may_repeat(Effect::Repeatable, &refused("OVERLOADED")));
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        for round in 0..80 {
            let wait = backoff(round).as_millis() as u64;
            let full = (BACKOFF_FIRST_MS << round.min(16)).min(BACKOFF_MAX_MS);
            assert!(wait >= full / 2 && wait <= full, "round {round}: {wait} ms");
        }
    }
}
