//! The errors of the edge: a gRPC status with `google.rpc.ErrorInfo`, so that a client knows what
//! happened and whether its write may have been applied. Never quotes what the client sent.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every error of ours.
pub const ERROR_DOMAIN: &str = "tenure";
/// The `ErrorInfo` metadata key that tells whether a write may have been applied.
pub const APPLIED_KEY: &str = "applied";

/// Whether the refused call may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was changed: the call may be repeated anywhere.
    No,
    /// It had begun: only a request id makes a repetition safe.
    Maybe,
}

impl Applied {
    /// The value in `ErrorInfo` metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
        }
    }
}

/// Makes a status with its `ErrorInfo`.
pub fn refusal(code: Code, reason: &'static str, message: &str, applied: Applied) -> Status {
    refusal_until(code, reason, message, applied, None, None)
}

/// The same with one more fact for programs, and with `RetryInfo`, if it is known when the call may
/// be made again.
pub fn refusal_until(
    code: Code,
    reason: &'static str,
    message: &str,
    applied: Applied,
    fact: Option<(&'static str, String)>,
    after: Option<Duration>,
) -> Status {
    let mut metadata = HashMap::from([(APPLIED_KEY.to_owned(), applied.as_str().to_owned())]);
    metadata.extend(fact.map(|(key, value)| (key.to_owned(), value)));
    let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
    if let Some(after) = after {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(code, message, details)
}
