//! Why an operation on leases was refused. No text here holds a path, an id or a payload.

use crate::{
    barrier::BarrierError,
    quota::CountError,
    state::ReadError,
    token::{ErrorKind, Permit, TokenError},
    types::limits::LEASES_REVOKED_AT_ONCE_MAX,
};

/// Why an operation on leases failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Unknown, ended, or another token's: which of them isn't told.
    #[error("no such lease")]
    NotFound,
    /// The same for a caller who may handle its own leases alone.
    #[error("no such lease of this token: those of others need sudo")]
    NotFoundAmongOwn,
    /// The request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The request is right, but not for this lease or token.
    #[error(transparent)]
    FailedPrecondition(#[from] LeasePrecondition),
    /// The caller's token, or its right.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeasePrecondition {
    /// It was granted so.
    #[error("the lease is not renewable")]
    NotRenewable,
    /// Nothing left to give.
    #[error("the lease has reached its longest life")]
    MaxTtlReached,
    /// The token ends with this request, and its leases with it.
    #[error("a token at its last use can't hold a lease")]
    LastUse,
    /// It is the lease of a token.
    #[error("the lease of a token is renewed by renewing the token")]
    OfToken,
    /// More than one commit can end.
    #[error(
        "more than {LEASES_REVOKED_AT_ONCE_MAX} leases lie under the prefix: name a longer one"
    )]
    TooMany,
}

impl LeaseError {
    /// What is told of a lease that isn't there, or isn't the caller's.
    pub(super) fn not_found<A>(permit: &Permit<'_, A>) -> Self {
        match permit.has_sudo() {
            true => Self::NotFound,
            false => Self::NotFoundAmongOwn,
        }
    }

    pub(super) fn argument(field: &'static str, problem: impl ToString) -> Self {
        Self::InvalidArgument {
            field,
            problem: problem.to_string(),
        }
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NotFoundAmongOwn => ErrorKind::NotFound,
            Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::FailedPrecondition(_) => ErrorKind::FailedPrecondition,
            Self::Token(error) => error.kind(),
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound | Self::NotFoundAmongOwn => "LEASE_NOT_FOUND",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::FailedPrecondition(condition) => match condition {
                LeasePrecondition::NotRenewable => "LEASE_NOT_RENEWABLE",
                LeasePrecondition::MaxTtlReached => "LEASE_MAX_TTL_REACHED",
                LeasePrecondition::LastUse => "LAST_USE",
                LeasePrecondition::OfToken => "LEASE_OF_TOKEN",
                LeasePrecondition::TooMany => "TOO_MANY_LEASES",
            },
            Self::Token(error) => error.reason(),
        }
    }
}

impl From<ReadError> for LeaseError {
    fn from(error: ReadError) -> Self {
        Self::Token(error.into())
    }
}

impl From<BarrierError> for LeaseError {
    fn from(error: BarrierError) -> Self {
        Self::Token(error.into())
    }
}

impl From<CountError> for LeaseError {
    fn from(error: CountError) -> Self {
        Self::Token(error.into())
    }
}
