//! Why an operation on tokens was refused. No text here holds a token id, an accessor or
//! anything else that a caller didn't know.

use crate::{
    barrier::BarrierError,
    quota::{CountError, Exceeded},
    state::ReadError,
    types::limits::{TOKEN_ANCESTORS_MAX, TOKEN_PATH_TOMBSTONES_MAX, TOKEN_ROLES_MAX},
};

/// Why an operation on tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The caller's token is unknown, expired or revoked: which of them isn't told.
    #[error("the token is not valid")]
    InvalidToken,
    /// The token that the request is about doesn't exist (any more).
    #[error("no such token")]
    NotFound,
    /// The role that the request is about doesn't exist.
    #[error("no such role")]
    RoleNotFound,
    /// The caller may not do that.
    #[error(transparent)]
    PermissionDenied(#[from] Denied),
    /// The request is wrong.
    #[error("{field}: {problem}")]
    InvalidArgument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The request is right, but not for this token.
    #[error(transparent)]
    FailedPrecondition(#[from] Precondition),
    /// A quota has no room for what is asked for.
    #[error(transparent)]
    QuotaExceeded(#[from] Exceeded),
    /// The state can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A value can't be sealed.
    #[error(transparent)]
    Seal(#[from] BarrierError),
}

/// What the caller may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No policy of the caller's grants it.
    #[error("permission denied")]
    NoPolicy,
    /// It needs `sudo` on its path.
    #[error("permission denied: to {0} needs sudo")]
    NoSudo(&'static str),
    /// Only a root token makes root tokens.
    #[error("only a root token may create a root token")]
    RootOnly,
    /// A child can't have more rights than its parent.
    #[error("the policies of a child token must be among those of its parent")]
    PoliciesNotSubset,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Precondition {
    /// The parent's uses are limited.
    #[error("a token with a limited number of uses can't create tokens")]
    UseLimitedParent,
    /// The tree is too deep.
    #[error("a token has at most {TOKEN_ANCESTORS_MAX} ancestors")]
    TooDeep,
    /// A root token that ends would make one that doesn't.
    #[error("a root token that expires can't create a token that never does")]
    ExpiringRootParent,
    /// Root tokens without end, and tokens that were made so.
    #[error("the token is not renewable")]
    NotRenewable,
    /// Nothing left to give.
    #[error("the token has reached its longest life")]
    MaxTtlReached,
    /// The parent is a batch token.
    #[error("a batch token can't create tokens")]
    BatchParent,
    /// It is stored nowhere.
    #[error("a batch token can't be renewed: it ends when it was made to end")]
    BatchRenewal,
    /// It is stored nowhere.
    #[error("a batch token can't be revoked: it ends by itself, or with its parent")]
    BatchRevocation,
    /// The token was to be made with a role that doesn't exist, or was and it doesn't any more.
    #[error("the token's role does not exist")]
    NoRole,
    /// Each is kept in memory for long.
    #[error("more than {TOKEN_PATH_TOMBSTONES_MAX} paths are revoked: revoke a shorter one")]
    TooManyPaths,
    /// The table is full.
    #[error("a cluster has at most {TOKEN_ROLES_MAX} token roles")]
    TooManyRoles,
    /// Its last use is this one.
    #[error("the token is at its last use")]
    LastUse,
}

/// The classes of errors, which adapters turn into status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No valid token.
    Unauthenticated,
    /// Not allowed.
    PermissionDenied,
    /// Not there.
    NotFound,
    /// There already.
    AlreadyExists,
    /// A mistake in the request.
    InvalidArgument,
    /// Not in this state.
    FailedPrecondition,
    /// Nothing left to give.
    ResourceExhausted,
    /// Not built.
    Unimplemented,
    /// Reading or sealing failed.
    Storage,
}

impl TokenError {
    pub(super) fn argument(field: &'static str, problem: impl ToString) -> Self {
        Self::InvalidArgument {
            field,
            problem: problem.to_string(),
        }
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidToken => ErrorKind::Unauthenticated,
            Self::NotFound | Self::RoleNotFound => ErrorKind::NotFound,
            Self::PermissionDenied(_) => ErrorKind::PermissionDenied,
            Self::InvalidArgument { .. } => ErrorKind::InvalidArgument,
            Self::FailedPrecondition(_) => ErrorKind::FailedPrecondition,
            Self::QuotaExceeded(_) => ErrorKind::ResourceExhausted,
            Self::Read(_) | Self::Seal(_) => ErrorKind::Storage,
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidToken => "INVALID_TOKEN",
            Self::NotFound => "TOKEN_NOT_FOUND",
            Self::RoleNotFound => "ROLE_NOT_FOUND",
            Self::PermissionDenied(Denied::NoPolicy) => "PERMISSION_DENIED",
            Self::PermissionDenied(Denied::NoSudo(_)) => "SUDO_REQUIRED",
            Self::PermissionDenied(Denied::RootOnly) => "ROOT_REQUIRED",
            Self::PermissionDenied(Denied::PoliciesNotSubset) => "POLICIES_NOT_SUBSET",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::FailedPrecondition(condition) => match condition {
                Precondition::UseLimitedParent => "USE_LIMITED_PARENT",
                Precondition::TooDeep => "TOKEN_TREE_TOO_DEEP",
                Precondition::ExpiringRootParent => "EXPIRING_ROOT_PARENT",
                Precondition::NotRenewable => "NOT_RENEWABLE",
                Precondition::MaxTtlReached => "MAX_TTL_REACHED",
                Precondition::BatchParent => "BATCH_PARENT",
                Precondition::BatchRenewal | Precondition::BatchRevocation => "BATCH_TOKEN",
                Precondition::NoRole => "NO_SUCH_ROLE",
                Precondition::TooManyPaths => "TOO_MANY_PATHS",
                Precondition::TooManyRoles => "TOO_MANY_ROLES",
                Precondition::LastUse => "LAST_USE",
            },
            Self::QuotaExceeded(_) => "QUOTA_EXCEEDED",
            Self::Read(_) | Self::Seal(_) => "STORAGE",
        }
    }
}

impl From<CountError> for TokenError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Exceeded(exceeded) => exceeded.into(),
            CountError::Read(error) => error.into(),
            CountError::Seal(error) => error.into(),
        }
    }
}
