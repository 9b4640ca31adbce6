//! The one place that turns what went wrong into what a client sees: a gRPC code, a reason
//! that programs can match on (`google.rpc.ErrorInfo`, domain `tenure`), and whether the
//! call may have been applied. Messages never hold a secret.

use std::time::Duration;

use tenure_core::{
    barrier::BarrierError,
    dedupe::DedupeError,
    lease::LeaseError,
    mount::MountError,
    policy::ManageError,
    quota::{CountError, QuotaError},
    seal::SealError,
    state,
    token::{ErrorKind, TokenError},
};
use tenure_raft::{backup::FormatError, batch::SubmitError, node::RestoreError, reads::ReadError};
use tonic::{Code, Status};

use crate::{
    engines::EngineError,
    listen::{Applied, refusal_until},
};

/// The fact that a lease was looked for among the caller's own alone.
pub const AMONG_OWN: &str = "among_own";

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
    /// One more fact for programs.
    pub fact: Option<(&'static str, String)>,
    /// When it may be made again, if that is known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// A refusal that changed nothing.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            applied: Applied::No,
            fact: None,
            retry_after: None,
        }
    }

    /// Too many key shares in a short time.
    pub fn too_many_shares(retry_after: Duration) -> Self {
        let message = "too many key shares were given: try again a little later";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::ResourceExhausted, "TOO_MANY_SHARES", message)
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
        Self::new(
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            "permission denied",
        )
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

    /// The caller asked that its call isn't passed on, and this node doesn't carry it out.
    pub fn not_passed_on() -> Self {
        let message = "this node is not the active one, and was asked not to pass the call on";
        Self::new(Code::FailedPrecondition, "NOT_PASSED_ON", message)
    }

    /// The call is about this node, but its token's use count is kept by the active one.
    pub fn needs_active_node() -> Self {
        let message = "a token with limited uses can make this call on the active node only: it is about \
             the node that it is sent to";
        Self::new(Code::FailedPrecondition, "USE_LIMITED_TOKEN", message)
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

    /// Events that a watch asks for are gone.
    pub fn compacted(oldest: u64) -> Self {
        let message = "events of this revision are gone: list the leases, and watch from behind the \
             revision of the list";
        Self {
            fact: Some(("oldest_revision", oldest.to_string())),
            ..Self::new(Code::OutOfRange, "COMPACTED", message)
        }
    }

    /// A stream too many.
    pub fn too_many_streams() -> Self {
        let message = "too many streams are open, of this token or on this node";
        Self::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", message)
    }

    /// What a stream shows isn't read.
    pub fn slow_consumer() -> Self {
        let message = "the stream is not read fast enough: resume it behind the last message";
        Self::new(Code::ResourceExhausted, "SLOW_CONSUMER", message)
    }

    /// The node stops.
    pub fn stopping() -> Self {
        Self::new(Code::Unavailable, "STOPPING", "this node stops")
    }

    /// The client has made too many calls.
    pub fn rate_limited(after: Duration) -> Self {
        let message = "too many requests: a rate limit is exceeded";
        Self {
            retry_after: Some(after),
            ..Self::new(Code::ResourceExhausted, "RATE_LIMITED", message)
        }
    }

    /// A fault of ours. The message says what failed, never with which data.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "INTERNAL", message)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let Error {
            code,
            reason,
            message,
            applied,
            fact,
            retry_after,
        } = error;
        refusal_until(code, reason, &message, applied, fact, retry_after)
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        refused(error.kind(), error.reason(), &error)
    }
}

impl From<ManageError> for Error {
    fn from(error: ManageError) -> Self {
        refused(error.kind(), error.reason(), &error)
    }
}

impl From<MountError> for Error {
    fn from(error: MountError) -> Self {
        refused(error.kind(), error.reason(), &error)
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        refused(error.kind(), error.reason(), &error)
    }
}

impl From<QuotaError> for Error {
    fn from(error: QuotaError) -> Self {
        refused(error.kind(), error.reason(), &error)
    }
}

impl From<CountError> for Error {
    fn from(error: CountError) -> Self {
        TokenError::from(error).into()
    }
}

impl From<LeaseError> for Error {
    fn from(error: LeaseError) -> Self {
        Self {
            // The HTTP door calls a lease that isn't there revoked, but not one that may be another's.
            fact: matches!(error, LeaseError::NotFoundAmongOwn)
                .then(|| (AMONG_OWN, true.to_string())),
            ..refused(error.kind(), error.reason(), &error)
        }
    }
}

/// What a rule refused.
fn refused(kind: ErrorKind, reason: &'static str, error: &dyn std::error::Error) -> Error {
    let code = match kind {
        ErrorKind::Unauthenticated => return Error::invalid_token(),
        ErrorKind::Storage => return storage(error),
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unimplemented => Code::Unimplemented,
    };
    Error::new(code, reason, error.to_string())
}

impl From<DedupeError> for Error {
    fn from(error: DedupeError) -> Self {
        let code = match error {
            DedupeError::Malformed => Code::InvalidArgument,
            DedupeError::Reused => Code::AlreadyExists,
            DedupeError::Read(_) => return storage(&error),
        };
        Self::new(code, error.reason(), error.to_string())
    }
}

impl From<state::ReadError> for Error {
    fn from(error: state::ReadError) -> Self {
        storage(&error)
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        let (code, reason) = match &error {
            SealError::WrongShares => (Code::InvalidArgument, "WRONG_SHARES"),
            SealError::Stale => (Code::Aborted, "SHARES_CHANGED"),
            SealError::NoSuchShares(_) => (Code::FailedPrecondition, "NO_SUCH_SHARES"),
            SealError::NoBackup => (Code::NotFound, "NO_BACKUP"),
            SealError::Rotation(_) => return Self::invalid_argument(error.to_string()),
            SealError::Missing(_)
            | SealError::Read(_)
            | SealError::Barrier(_)
            | SealError::Keyring(_) => return storage(&error),
        };
        Self::new(code, reason, error.to_string())
    }
}

impl From<BarrierError> for Error {
    fn from(error: BarrierError) -> Self {
        storage(&error)
    }
}

/// The log says what failed; the client only that something of ours did.
fn storage(error: &dyn std::error::Error) -> Error {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    tracing::error!(error = chain, "a record can't be read or sealed");
    Error::new(
        Code::Unavailable,
        "STORAGE",
        "the state can't be read at the moment",
    )
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Conflict => Self::new(
                Code::Aborted,
                "CONFLICT",
                "a record that the request read was changed meanwhile; nothing was applied",
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

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        let (code, reason) = match error {
            FormatError::Newer { .. } => (Code::FailedPrecondition, "NEWER_SNAPSHOT"),
            FormatError::NotOne => (Code::InvalidArgument, "NOT_A_SNAPSHOT"),
            FormatError::CutOff | FormatError::Checksum | FormatError::Malformed(_) => {
                (Code::InvalidArgument, "DAMAGED_SNAPSHOT")
            }
        };
        Self::new(code, reason, error.to_string())
    }
}

impl From<RestoreError> for Error {
    fn from(error: RestoreError) -> Self {
        let (code, reason) = match error {
            RestoreError::NotActive => return Self::no_active_node(),
            RestoreError::Format(error) => return error.into(),
            RestoreError::Submit(error) => return error.into(),
            RestoreError::Busy => (Code::Aborted, "RESTORE_UNDER_WAY"),
            RestoreError::TooLarge => (Code::InvalidArgument, "TOO_LARGE"),
            RestoreError::DiskFull { .. } => (Code::FailedPrecondition, "DISK_FULL"),
            RestoreError::Lost(_) | RestoreError::Changed => (Code::Unavailable, "RESTORE_LOST"),
            RestoreError::Failed(_) => return storage(&error),
        };
        Self::new(code, reason, error.to_string())
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader => Self::no_active_node(),
            ReadError::Expired => Self::deadline(Applied::No),
            ReadError::Replacing => Self::new(
                Code::Unavailable,
                "STATE_REPLACED",
                "this node is taking in a snapshot; try again",
            ),
            ReadError::State(message) => {
                tracing::error!(%message, "the state can't be read");
                Self::internal("the state can't be read")
            }
        }
    }
}
