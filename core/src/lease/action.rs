//! What a caller may ask to do with leases, and the paths by which policies grant it. Granted
//! without `sudo`, it is about the caller's own leases; with `sudo`, about everybody's. Whose a
//! lease is, the rules check themselves: a foreign one and none at all look the same.

use crate::{
    policy::{Operation, Parameters, Value},
    token::{Action, Ask},
    types::{LeaseId, Path, TtlRequest},
};

/// Put something on lease, at this path, with these parameters.
pub struct GrantLease<'a>(pub Path, pub Parameters<'a>);
/// Look up a lease.
pub struct LookupLease(pub LeaseId);
/// Renew a lease, by this increment.
pub struct RenewLease(pub LeaseId, pub TtlRequest);
/// Renew what can't be a lease: asked so that who may renew nothing learns nothing else.
pub struct RenewNothing;
/// Revoke a lease.
pub struct RevokeLease(pub LeaseId);
/// Revoke all leases under a prefix.
pub struct RevokePrefix(pub Path);
/// The same, for an operator: whatever the system says that made what is on lease.
pub struct RevokeForce(pub Path);
/// See the leases that can't be revoked, or with `true` their number.
pub struct ShowIrrevocable(pub bool);
/// List or count the leases under a prefix; `None`: all.
pub struct ListLeases(pub Option<Path>);

impl Action for GrantLease<'_> {
    fn ask(&self) -> Ask<'_> {
        let path = format!("sys/leases/grant/{}", self.0.as_str());
        Ask {
            parameters: self.1.clone(),
            ..Ask::new(Operation::Update, path)
        }
    }
}

impl Action for LookupLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/lookup")
            .with("lease_id", Value::Text(self.0.text().into()))
    }
}

impl Action for RenewLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/renew")
            .with("lease_id", Value::Text(self.0.text().into()))
            .with_time("increment", self.1)
    }
}

impl Action for RenewNothing {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/renew")
    }
}

impl Action for RevokeLease {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "sys/leases/revoke")
            .with("lease_id", Value::Text(self.0.text().into()))
    }
}

impl Action for RevokePrefix {
    fn ask(&self) -> Ask<'_> {
        let path = format!("sys/leases/revoke-prefix/{}", self.0.as_str());
        Ask::new(Operation::Update, path)
    }
}

impl Action for RevokeForce {
    fn ask(&self) -> Ask<'_> {
        let path = format!("sys/leases/revoke-force/{}", self.0.as_str());
        Ask::new(Operation::Update, path).root_protected()
    }
}

impl Action for ShowIrrevocable {
    fn ask(&self) -> Ask<'_> {
        let path = if self.0 {
            "sys/leases/count"
        } else {
            "sys/leases"
        };
        Ask::new(Operation::Read, path)
    }
}

impl Action for ListLeases {
    fn ask(&self) -> Ask<'_> {
        let path = match &self.0 {
            Some(prefix) => format!("sys/leases/lookup/{}", prefix.as_str()),
            None => "sys/leases/lookup".to_owned(),
        };
        Ask::new(Operation::List, path)
    }
}
