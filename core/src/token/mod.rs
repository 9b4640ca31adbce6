//! The rules of tokens, as pure functions: a [`Context`] (what is stored, what is revoked,
//! what time it is) and a [`Permit`] go in, a [`Plan`] comes out. Nothing here commits,
//! waits or keeps anything.
//!
//! A stored token lives if its record exists, its expiry isn't past, no tombstone lies on it or on
//! an ancestor, and all of its ancestors live, and nothing that was made at its path was revoked since. A batch token
//! holds its own record, and lives until its end and while its parent does. [`identify`] decides
//! that, at every use.

mod authorize;
mod batch;
mod cleanup;
mod create;
mod entry;
mod error;
mod expire;
mod list;
mod lookup;
mod path_revocation;
mod renew;
mod revocations;
mod revoke;
mod role;
mod role_policies;
mod spend;
mod tidy;
mod token_lease;
mod ttl;
mod tuning;

pub use authorize::{
    Action, Administer, Ask, Create, CreatePath, ListTokens, Lookup, Permit, Renew, Revoke,
    RevokeOrphan, Shares, Step, Target, allowed, authorize,
};
pub(crate) use batch::{lives as batch_lives, owner_of as batch_owner_of};
pub use cleanup::{Cursor, Progress, clean_up, clean_up_some, sweep_marker};
pub use create::{CreateRequest, CreatedToken, TokenType, create, create_root};
pub(crate) use entry::live;
pub use entry::{Caller, Entry, identify};
pub use error::{Denied, ErrorKind, Precondition, TokenError};
pub use expire::{Expired, due, expire, next_due, trim};
pub use list::{Filter, Listing, list};
pub(crate) use lookup::lookup_target;
pub use lookup::{TokenInfo, lookup};
pub use path_revocation::{PathCursor, PathProgress, clean_up_path};
pub(crate) use path_revocation::{makes_tokens, revoke_path};
pub use renew::{Renewed, renew};
pub use revocations::Revocations;
pub use revoke::{Revoked, revoke, revoke_orphan};
pub use role::{
    ManageRoles, RoleChange, RoleNames, delete_role, list_roles, read_role, role_exists, write_role,
};
pub use spend::spend_use;
pub use tidy::{Tidy, pending};
pub(crate) use token_lease::{end as end_token, key_of_token_lease, lease_id_of};
pub(crate) use ttl::{Terms, extend, grant};
pub use ttl::{TtlConfig, TtlConfigError};
pub use tuning::{TuneTokens, TuningChange, TuningInfo, show_tuning, tune};
pub(crate) use tuning::{bounds, tuning};

use std::net::IpAddr;

use crate::{
    policy::AclMemo,
    state::{Txn, View},
    types::UnixMillis,
};

/// What the rules judge by.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What is stored.
    pub view: &'a View<'a>,
    /// Pending tombstones and orphan markers, at least as new as the view.
    pub revocations: &'a Revocations,
    /// The bounds of lifetimes.
    pub ttl: &'a TtlConfig,
    /// Policies that were compiled before.
    pub acls: &'a AclMemo,
    /// Cluster time.
    pub now: UnixMillis,
    /// Where the caller calls from, if that is known: what its token may be bound to.
    pub remote: Option<IpAddr>,
}

/// What to commit, and what to answer once it is. The reads that it rests on are in the
/// view.
#[derive(Debug)]
pub struct Plan<T> {
    /// The writes; there may be none.
    pub txn: Txn,
    /// The answer.
    pub response: T,
}

#[cfg(test)]
pub(crate) mod tests;
