//! The rules of tokens, as pure functions: a [`Context`] (what is stored, what is revoked,
//! what time it is) and a [`Permit`] go in, a [`Plan`] comes out. Nothing here commits,
//! waits or keeps anything.
//!
//! A token lives if its record exists, its expiry isn't past, no tombstone lies on it or on
//! an ancestor, and all of its ancestors live. [`identify`] decides that, at every use.

mod authorize;
mod cleanup;
mod create;
mod entry;
mod error;
mod expire;
mod lookup;
mod renew;
mod revocations;
mod revoke;
mod spend;
mod ttl;

pub use authorize::{
    Action, Administer, Ask, Create, ListTokens, Lookup, Permit, Renew, Revoke, RevokeOrphan,
    Shares, Step, Target, allowed, authorize,
};
pub use cleanup::{Cursor, Progress, clean_up, sweep_marker};
pub use create::{CreateRequest, CreatedToken, TokenType, create, create_root};
pub(crate) use entry::live;
pub use entry::{Caller, Entry, identify};
pub use error::{Denied, ErrorKind, Precondition, TokenError};
pub use expire::{Expired, due, expire, next_due, trim};
pub(crate) use lookup::lookup_target;
pub use lookup::{Listing, TokenInfo, list, lookup};
pub use renew::{Renewed, renew};
pub use revocations::Revocations;
pub use revoke::{Revoked, revoke, revoke_orphan};
pub use spend::spend_use;
pub(crate) use ttl::{Terms, extend, grant};
pub use ttl::{TtlConfig, TtlConfigError};

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
