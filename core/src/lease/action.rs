//! What a caller may ask to do with leases. Until policies arrive every token may grant
//! leases and handle its own; root may handle all. Whose a lease is, the rules check
//! themselves, where a foreign one and none at all look the same.

use crate::{
    token::{Action, Caller},
    types::{LeaseId, Path, TtlRequest},
};

/// Put something on lease.
pub struct GrantLease;
/// Look up a lease.
pub struct LookupLease(pub LeaseId);
/// Renew a lease, by this increment.
pub struct RenewLease(pub LeaseId, pub TtlRequest);
/// Revoke a lease.
pub struct RevokeLease(pub LeaseId);
/// Revoke all leases under a prefix.
pub struct RevokePrefix(pub Path);
/// List or count the leases under a prefix; `None`: all.
pub struct ListLeases(pub Option<Path>);

macro_rules! every_token_may {
    ($($action:ty),*) => {$(
        impl Action for $action {
            fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
                None
            }
        }
    )*};
}

every_token_may!(
    GrantLease,
    LookupLease,
    RenewLease,
    RevokeLease,
    RevokePrefix,
    ListLeases
);
