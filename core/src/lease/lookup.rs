//! What a lease looks like to those who may see it. It writes nothing.

use super::{
    LeaseError, LookupLease,
    entry::{Living, resolve},
    token_lease,
};
use crate::{
    token::Permit,
    types::{Accessor, DisplayName, LeaseId, RoleName, Secret, Ttl, UnixMillis},
};

/// A lease as it is shown.
#[derive(Clone, Debug)]
pub struct LeaseInfo {
    /// Its id.
    pub id: LeaseId,
    /// What was put on lease; `None` where it isn't shown.
    pub payload: Option<Secret<Vec<u8>>>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was granted.
    pub issue_time: UnixMillis,
    /// When it ends by itself; `None`: never, as a token that has no end.
    pub expire_time: Option<UnixMillis>,
    /// When it was renewed last.
    pub last_renewal: Option<UnixMillis>,
    /// Whole seconds left; `None`: without end.
    pub ttl: Option<Ttl>,
    /// What it was granted at first; `None`: without end.
    pub creation_ttl: Option<Ttl>,
    /// Accessor of its token, where there is one and it is shown.
    pub owner_accessor: Option<Accessor>,
    /// Display name of its token.
    pub owner_name: DisplayName,
    /// The role that made its token.
    pub owner_role: Option<RoleName>,
}

impl LeaseInfo {
    /// All but the payload.
    pub(super) fn new(lease: Living, now: UnixMillis) -> Self {
        let record = lease.row.value;
        Self {
            id: record.id,
            payload: None,
            renewable: record.renewable,
            issue_time: record.created,
            expire_time: Some(record.expires),
            last_renewal: record.last_renewal,
            ttl: Some(record.expires.remaining(now)),
            creation_ttl: Some(record.creation_ttl),
            owner_accessor: lease.accessor,
            owner_name: lease.name,
            owner_role: lease.role,
        }
    }
}

/// Looks up a lease. Its payload is shown to the token that it belongs to, and to no other.
pub fn lookup(permit: &Permit<'_, LookupLease>) -> Result<LeaseInfo, LeaseError> {
    if permit.action.0.is_of_token() {
        let token = token_lease::resolve(permit, &permit.action.0)?;
        return Ok(token_lease::info(permit, permit.action.0.clone(), &token));
    }
    let lease = resolve(permit, &permit.action.0)?;
    let payload = lease
        .is_of(&permit.caller)
        .then(|| lease.row.value.payload.clone());
    Ok(LeaseInfo {
        payload,
        ..LeaseInfo::new(lease, permit.context.now)
    })
}
