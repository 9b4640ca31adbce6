//! Why an operation on mounts was refused. No text here holds a path.

use crate::{
    barrier::BarrierError,
    state::ReadError,
    token::{ErrorKind, TokenError},
    types::limits::MOUNTS_MAX,
};

/// Why an operation on mounts failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Nothing is mounted there.
    #[error("nothing is mounted there")]
    NotFound,
    /// The path is in use.
    #[error("the path is in use, or lies under or above a mount that is")]
    InUse,
    /// The request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The request is right, but not for this mount.
    #[error(transparent)]
    FailedPrecondition(#[from] MountPrecondition),
    /// The caller's token, or its right.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountPrecondition {
    /// It is always there.
    #[error("a built-in mount can't be mounted, tuned, moved or unmounted")]
    BuiltIn,
    /// Versions would be lost.
    #[error("kv can't go back from version 2 to version 1")]
    Downgrade,
    /// The table is full.
    #[error("a cluster has at most {MOUNTS_MAX} mounts")]
    TooMany,
}

impl MountError {
    pub(super) fn argument(field: &'static str, problem: impl ToString) -> Self {
        Self::InvalidArgument {
            field,
            problem: problem.to_string(),
        }
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::InUse => ErrorKind::AlreadyExists,
            Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::FailedPrecondition(_) => ErrorKind::FailedPrecondition,
            Self::Token(error) => error.kind(),
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "MOUNT_NOT_FOUND",
            Self::InUse => "MOUNT_PATH_IN_USE",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::FailedPrecondition(condition) => match condition {
                MountPrecondition::BuiltIn => "BUILT_IN_MOUNT",
                MountPrecondition::Downgrade => "KV_DOWNGRADE",
                MountPrecondition::TooMany => "TOO_MANY_MOUNTS",
            },
            Self::Token(error) => error.reason(),
        }
    }
}

impl From<ReadError> for MountError {
    fn from(error: ReadError) -> Self {
        Self::Token(error.into())
    }
}

impl From<BarrierError> for MountError {
    fn from(error: BarrierError) -> Self {
        Self::Token(error.into())
    }
}
