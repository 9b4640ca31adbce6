//! Why a secrets engine refused a call. No text here holds a path or a part of a secret.

use tenure_core::{
    barrier::BarrierError,
    mount::MountError,
    names::NameError,
    state::ReadError,
    token::{ErrorKind, TokenError},
    types::limits::{CUBBYHOLE_BYTES_MAX, CUBBYHOLE_SECRETS_MAX, SECRET_DATA_BYTES_MAX},
};

/// Why a call on a logical path failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is nothing.
    #[error("there is nothing at this path")]
    NotFound,
    /// The engine has no such path.
    #[error(
        "kv version 2 has no such path: it begins with data/, metadata/, subkeys/, delete/, undelete/, destroy/ or config"
    )]
    NotVersioned,
    /// The engine has the path and doesn't do that there.
    #[error("this path doesn't support the operation")]
    Unsupported,
    /// Typed services are there for it.
    #[error("sys/ and auth/ are served by services of their own")]
    Reserved,
    /// The request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// More than can be kept.
    #[error("a secret has at most {SECRET_DATA_BYTES_MAX} bytes")]
    TooLarge,
    /// The cubbyhole is full.
    #[error(
        "a cubbyhole holds at most {CUBBYHOLE_SECRETS_MAX} secrets and {CUBBYHOLE_BYTES_MAX} bytes"
    )]
    CubbyholeFull,
    /// Another version is current.
    #[error("check-and-set parameter did not match the current version")]
    CasMismatch,
    /// The write names no version.
    #[error("this secret is written with the check-and-set parameter only")]
    CasRequired,
    /// The token ends with this call, and its cubbyhole with it.
    #[error("a token at its last use can't write to its cubbyhole")]
    LastUse,
    /// The mount.
    #[error(transparent)]
    Mount(#[from] MountError),
}

impl EngineError {
    pub(super) fn argument(field: &'static str, problem: impl ToString) -> Self {
        Self::InvalidArgument {
            field,
            problem: problem.to_string(),
        }
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NotVersioned => ErrorKind::NotFound,
            Self::Unsupported | Self::Reserved => ErrorKind::Unimplemented,
            Self::InvalidArgument { .. } | Self::TooLarge => ErrorKind::InvalidArgument,
            Self::CubbyholeFull | Self::CasMismatch | Self::CasRequired | Self::LastUse => {
                ErrorKind::FailedPrecondition
            }
            Self::Mount(error) => error.kind(),
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "SECRET_NOT_FOUND",
            Self::NotVersioned => "NOT_A_VERSIONED_PATH",
            Self::Unsupported => "UNSUPPORTED_OPERATION",
            Self::Reserved => "RESERVED_PATH",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::TooLarge => "TOO_LARGE",
            Self::CubbyholeFull => "CUBBYHOLE_FULL",
            Self::CasMismatch => "CAS_MISMATCH",
            Self::CasRequired => "CAS_REQUIRED",
            Self::LastUse => "LAST_USE",
            Self::Mount(error) => error.reason(),
        }
    }
}

impl From<TokenError> for EngineError {
    fn from(error: TokenError) -> Self {
        Self::Mount(error.into())
    }
}

impl From<ReadError> for EngineError {
    fn from(error: ReadError) -> Self {
        Self::Mount(error.into())
    }
}

impl From<BarrierError> for EngineError {
    fn from(error: BarrierError) -> Self {
        Self::Mount(error.into())
    }
}

impl From<NameError> for EngineError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Read(error) => error.into(),
            NameError::Seal(error) => error.into(),
        }
    }
}
