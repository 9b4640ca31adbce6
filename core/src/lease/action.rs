//! What a caller may ask to do with leases, and the paths by which policies grant it. Who may
//! act on a lease by its id is whoever knows the id and is granted the operation; whole
//! prefixes need `sudo`.

use crate::{
    policy::Operation,
    token::{Action, Ask},
    types::{LeaseId, Path, TtlRequest},
};

/// Put something on lease, at this path.
pub struct GrantLease(pub Path);
/// Look up a lease.
pub struct LookupLease(pub LeaseId);
/// Renew a lease, by this increment.
pub struct RenewLease(pub LeaseId, pub TtlRequest);
/// Revoke a lease.
pub struct RevokeLease(pub LeaseId);
/// Revoke all leases under a prefix.
pub struct RevokePrefix(pub Path);
/// List the leases under a prefix; `None`: all.
pub struct ListLeases(pub Option<Path>);
/// Count the leases under a prefix; `None`: all.
pub struct CountLeases(pub Option<Path>);

impl Action for GrantLease {
    fn ask(&self) -> Ask<'_> {
        let path = format!("sys/leases/grant/{}", self.0.as_str());
        Ask::new(Operation::Update, path)
    }
}

impl Action for LookupLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/lookup")
    }
}

impl Action for RenewLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/renew")
    }
}

impl Action for RevokeLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/revoke")
    }
}

impl Action for RevokePrefix {
    fn ask(&self) -> Ask<'_> {
        let path = format!("sys/leases/revoke-prefix/{}", self.0.as_str());
        Ask::new(Operation::Update, path).root_protected()
    }
}

impl Action for ListLeases {
    fn ask(&self) -> Ask<'_> {
        let path = match &self.0 {
            Some(prefix) => format!("sys/leases/lookup/{}", prefix.as_str()),
            None => "sys/leases/lookup".to_owned(),
        };
        Ask::new(Operation::List, path).root_protected()
    }
}

impl Action for CountLeases {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Read, "sys/leases/count")
    }
}
