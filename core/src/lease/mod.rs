//! The rules of leases, as pure functions, like those of [`token`](crate::token): a permit
//! goes in, a plan comes out. Nothing here commits, waits or keeps anything.
//!
//! A lease lives if its record exists, its expiry isn't past, no tombstone on a prefix kills
//! it, and the token that it was granted to lives. That is decided at every use.

mod action;
mod cleanup;
mod entry;
mod error;
mod grant;
mod list;
mod lookup;
mod renew;
mod revoke;
mod token_lease;

pub use action::{
    GrantLease, ListLeases, LookupLease, RenewLease, RenewNothing, RevokeForce, RevokeLease,
    RevokePrefix, ShowIrrevocable,
};
pub(crate) use cleanup::{Ended, clear_of_batch, clear_owned, remove};
pub use cleanup::{PrefixCursor, PrefixProgress, clean_up_prefix};
pub use error::{LeaseError, LeasePrecondition};
pub use grant::{GrantRequest, Granted, grant};
pub use list::{Count, CountBy, Group, Listing, count, list};
pub use lookup::{LeaseInfo, lookup};
pub use renew::{Renewed, renew};
pub use revoke::{revoke, revoke_force, revoke_prefix};

#[cfg(test)]
mod tests;
