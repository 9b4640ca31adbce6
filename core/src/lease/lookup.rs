//! What a lease looks like to those who may see it. It writes nothing.

use super::{
    LeaseError, LookupLease,
    entry::{Living, resolve},
};
use crate::{
    token::Permit,
    types::{Accessor, DisplayName, LeaseId, Secret, Ttl, UnixMillis},
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
    /// When it ends by itself.
    pub expire_time: UnixMillis,
    /// When it was renewed last.
    pub last_renewal: Option<UnixMillis>,
    /// Whole seconds left.
    pub ttl: Ttl,
    /// What it was granted at first.
    pub creation_ttl: Ttl,
    /// Accessor of its token.
    pub owner_accessor: Accessor,
    /// Display name of its token.
    pub owner_name: DisplayName,
}

impl LeaseInfo {
    /// All but the payload.
    pub(super) fn new(lease: Living, now: UnixMillis) -> Self {
        let (record, owner) = (lease.row.value, lease.owner.record());
        Self {
            id: record.id,
            payload: None,
            renewable: record.renewable,
            issue_time: record.created,
            expire_time: record.expires,
            last_renewal: record.last_renewal,
            ttl: record.expires.remaining(now),
            creation_ttl: record.creation_ttl,
            owner_accessor: owner.accessor.clone(),
            owner_name: owner.display_name.clone(),
        }
    }
}

/// Looks up a lease. Its payload is shown to the token that it belongs to, and to no other.
pub fn lookup(permit: &Permit<'_, LookupLease>) -> Result<LeaseInfo, LeaseError> {
    let lease = resolve(permit, &permit.action.0)?;
    let payload = lease
        .is_of(&permit.caller)
        .then(|| lease.row.value.payload.clone());
    Ok(LeaseInfo {
        payload,
        ..LeaseInfo::new(lease, permit.context.now)
    })
}
