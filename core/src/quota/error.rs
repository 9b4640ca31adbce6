//! Why an operation on quotas was refused. No text here holds a path or a name.

use crate::{
    barrier::BarrierError,
    state::ReadError,
    token::{ErrorKind, TokenError},
};

/// Why an operation on quotas failed.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// There is no quota of this name.
    #[error("no such quota")]
    NotFound,
    /// The request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller's token, or its right.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl QuotaError {
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
            Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::Token(error) => error.kind(),
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "QUOTA_NOT_FOUND",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::Token(error) => error.reason(),
        }
    }
}

impl From<ReadError> for QuotaError {
    fn from(error: ReadError) -> Self {
        Self::Token(error.into())
    }
}

impl From<BarrierError> for QuotaError {
    fn from(error: BarrierError) -> Self {
        Self::Token(error.into())
    }
}
