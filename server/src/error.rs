//! The one place that turns what went wrong into what a client sees: a gRPC code, a reason
//! that programs can match on (`google.rpc.ErrorInfo`, domain `tenure`), and whether the
//! call may have been applied. Messages never hold a secret.

use std::collections::HashMap;

use tenure_raft::{batch::SubmitError, reads::ReadError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of every `ErrorInfo`.
pub const DOMAIN: &str = "tenure";

/// Whether the call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was applied: the call may be sent again.
    No,
    /// It may have been applied.
    Maybe,
}

/// A refusal, ready for the wire.
#[derive(Clone, Debug)]
pub struct Error {
    /// gRPC code.
    pub code: Code,
    /// UPPER_SNAKE reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Whether the call changed anything.
    pub applied: Applied,
}

impl Error {
    /// A refusal that changed nothing.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            applied: Applied::No,
        }
    }

    /// This node is sealed.
    pub fn sealed() -> Self {
        Self::new(Code::Unavailable, "SEALED", "this node is sealed")
    }

    /// The node belongs to no cluster yet.
    pub fn not_initialized() -> Self {
        let message = "this node is not initialized";
        Self::new(Code::Unavailable, "NOT_INITIALIZED", message)
    }

    /// One answer for absent, unknown, expired and revoked tokens.
    pub fn invalid_token() -> Self {
        let message = "permission denied: the token is missing or not valid";
        Self::new(Code::Unauthenticated, "INVALID_TOKEN", message)
    }

    /// The token is good and may not do this.
    pub fn permission_denied() -> Self {
        Self::new(Code::PermissionDenied, "PERMISSION_DENIED", "permission denied")
    }

    /// Bad input.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, "INVALID_ARGUMENT", message)
    }

    /// No node is active now.
    pub fn no_active_node() -> Self {
        let message = "no node is active at the moment";
        Self::new(Code::Unavailable, "NO_ACTIVE_NODE", message)
    }

    /// The active node was lost during the call.
    pub fn active_node_lost(applied: Applied) -> Self {
        let message = match applied {
            Applied::No => "the active node was lost; nothing was applied",
            Applied::Maybe => "the active node was lost: the call may have been applied",
        };
        Self {
            applied,
            ..Self::new(Code::Unavailable, "ACTIVE_NODE_LOST", message)
        }
    }

    /// The caller's deadline passed.
    pub fn deadline(applied: Applied) -> Self {
        let message = match applied {
            Applied::No => "the deadline passed; nothing was applied",
            Applied::Maybe => "the deadline passed: the call may have been applied",
        };
        Self {
            applied,
            ..Self::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
        }
    }

    /// A fault of ours. The message says what failed, never with which data.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "INTERNAL", message)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let applied = match error.applied {
            Applied::No => "no",
            Applied::Maybe => "maybe",
        };
        let metadata = HashMap::from([("applied".to_owned(), applied.to_owned())]);
        let details = ErrorDetails::with_error_info(error.reason, DOMAIN, metadata);
        Self::with_error_details(error.code, error.message, details)
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Conflict => Self::new(
                Code::Aborted,
                "CONFLICT",
                "other requests kept changing the same records; nothing was applied",
            ),
            SubmitError::NotActive => Self::no_active_node(),
            SubmitError::Expired => Self::deadline(Applied::No),
            SubmitError::MaybeApplied => Self::active_node_lost(Applied::Maybe),
            SubmitError::TooLarge { .. } => {
                Self::new(Code::InvalidArgument, "TOO_LARGE", error.to_string())
            }
            SubmitError::Overloaded => {
                Self::new(Code::ResourceExhausted, "OVERLOADED", error.to_string())
            }
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader => Self::no_active_node(),
            ReadError::Expired => Self::deadline(Applied::No),
            ReadError::State(message) => {
                tracing::error!(%message, "the state can't be read");
                Self::internal("the state can't be read")
            }
        }
    }
}
