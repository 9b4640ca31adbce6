//! The leases of tokens, as those who handle leases see them: the caller's own, with `sudo` any.
//! They are listed and looked up beside other leases, and end with them; they aren't renewed here.

use std::collections::BTreeMap;

use super::{LeaseError, LeaseInfo, ListLeases};
use crate::{
    barrier::NameChain,
    state::{TokenLeases, key_of, range_of, successor},
    token::{Entry, Permit, key_of_token_lease, lease_id_of, live},
    types::LeaseId,
};

/// The living token of this lease id that the caller may handle. Unknown, ended and foreign ones
/// give the same error.
pub(super) fn resolve<A>(permit: &Permit<'_, A>, id: &LeaseId) -> Result<Entry, LeaseError> {
    let (context, view) = (permit.context, permit.context.view);
    let key = view.barrier().name_chain(id.segments());
    let Some(row) = view.get::<TokenLeases>(&key)? else {
        return Err(LeaseError::not_found(permit));
    };
    let caller = &permit.caller;
    if row.value == *caller.entry().hash() {
        // One that has paid knows itself better than the rows do.
        return Ok(caller.entry().clone());
    }
    let token = live(context, &row.value)?;
    token
        .filter(|token| permit.has_sudo() && is_of(permit, token, &key))
        .ok_or_else(|| LeaseError::not_found(permit))
}

/// Whether the row leads to the token that it was written for.
fn is_of<A>(permit: &Permit<'_, A>, token: &Entry, key: &NameChain) -> bool {
    let barrier = permit.context.view.barrier();
    key_of_token_lease(barrier, token.hash(), &token.record().path) == *key
}

/// A token's lease as it is shown. The accessor is shown to the token itself alone: who may handle
/// leases need not be one who may handle tokens.
pub(super) fn info<A>(permit: &Permit<'_, A>, id: LeaseId, token: &Entry) -> LeaseInfo {
    let record = token.record();
    let own = token.hash() == permit.caller.entry().hash();
    LeaseInfo {
        id,
        payload: None,
        renewable: record.renewable,
        issue_time: record.created,
        expire_time: record.expiry.at(),
        last_renewal: record.last_renewal,
        ttl: record.expiry.remaining(permit.context.now),
        creation_ttl: record.creation_ttl,
        owner_accessor: record.accessor.clone().filter(|_| own),
        owner_name: record.display_name.clone(),
        owner_role: record.role.clone(),
    }
}

/// The living leases of tokens under a prefix after `after`, by their place, of at most `limit`
/// rows; and the last row that was looked at, if there may be more.
pub(super) fn page(
    permit: &Permit<'_, ListLeases>,
    prefix: &NameChain,
    after: Option<&NameChain>,
    limit: usize,
) -> Result<(BTreeMap<NameChain, LeaseInfo>, Option<NameChain>), LeaseError> {
    let (context, view) = (permit.context, permit.context.view);
    let (mut start, end) = range_of::<TokenLeases>(prefix.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<TokenLeases>(after));
    }
    let rows = view.scan::<TokenLeases>((start, end), limit)?;
    let more = rows.last().filter(|_| rows.len() >= limit);
    let last = more.map(|row| row.key.clone());
    let mut found = BTreeMap::new();
    for row in rows {
        let token = live(context, &row.value)?;
        let Some(token) = token.filter(|token| is_of(permit, token, &row.key)) else {
            continue;
        };
        if let Some(id) = lease_id_of(view.barrier(), &token) {
            found.insert(row.key, info(permit, id, &token));
        }
    }
    Ok((found, last))
}
