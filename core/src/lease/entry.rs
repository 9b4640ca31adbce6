//! From a lease id to a living lease. The one place that decides whether a lease lives.

use std::collections::BTreeMap;

use super::LeaseError;
use crate::{
    barrier::{NameChain, TokenHash},
    state::{About, Event, EventKind, Leases, PrefixTombstones, Row},
    token::{Caller, Context, Entry, Permit, batch_lives, live},
    types::{Accessor, DisplayName, LeaseId, RoleName, UnixMillis},
};

/// A lease that lives.
pub(super) struct Living {
    pub(super) row: Row<Leases>,
    /// Accessor of the token that it belongs to; a batch token has none.
    pub(super) accessor: Option<Accessor>,
    /// Name of that token.
    pub(super) name: DisplayName,
    /// The role that made that token.
    pub(super) role: Option<RoleName>,
}

impl Living {
    /// What those who watch are told of a grant or a renewal at `now`.
    pub(super) fn event(&self, kind: EventKind, now: UnixMillis) -> Event {
        let record = &self.row.value;
        Event {
            kind,
            about: About::Lease(record.id.clone()),
            at: now,
            token: Some(record.token),
            owner: self.accessor.clone(),
            expires: Some(record.expires),
        }
    }

    /// Whether it is the caller's own.
    pub(super) fn is_of(&self, caller: &Caller) -> bool {
        self.row.value.token == *caller.entry().hash()
    }
}

/// The living lease of this id that the caller may handle: its own, with `sudo` any. Unknown,
/// ended and foreign ones give the same error.
pub(super) fn resolve<A>(permit: &Permit<'_, A>, id: &LeaseId) -> Result<Living, LeaseError> {
    let context = permit.context;
    let key = context.view.barrier().name_chain(id.segments());
    let living = match context.view.get::<Leases>(&key)? {
        Some(row) => living(context, row)?,
        None => None,
    };
    living
        .filter(|lease| permit.has_sudo() || lease.is_of(&permit.caller))
        .ok_or_else(|| LeaseError::not_found(permit))
}

/// The lease of this row, if it lives. All that the answer depends on is noted in the view,
/// so that a transaction built on it is sent back when any of it changes.
pub(super) fn living(context: Context<'_>, row: Row<Leases>) -> Result<Option<Living>, LeaseError> {
    living_among(context, row, &mut BTreeMap::new())
}

/// The same for many rows of one view: each owner is judged once.
pub(super) fn living_among(
    context: Context<'_>,
    row: Row<Leases>,
    owners: &mut BTreeMap<TokenHash, Option<Entry>>,
) -> Result<Option<Living>, LeaseError> {
    note_prefixes(context, &row.key);
    if row.value.expires <= context.now
        || context
            .revocations
            .kill_lease(&row.key, row.create_revision)
    {
        return Ok(None);
    }
    if let Some(batch) = row.value.batch.clone() {
        let lives = batch_lives(context, &batch)?;
        return Ok(lives.then_some(Living {
            row,
            accessor: None,
            name: batch.display_name,
            role: batch.role,
        }));
    }
    let owner = match owners.get(&row.value.token) {
        Some(owner) => owner.clone(),
        None => {
            let owner = live(context, &row.value.token)?;
            owners.insert(row.value.token, owner.clone());
            owner
        }
    };
    // A token that is younger than its lease is another one, under a chosen id.
    Ok(owner
        .filter(|owner| owner.created_revision() < row.create_revision)
        .map(|owner| Living {
            row,
            accessor: owner.record().accessor.clone(),
            name: owner.record().display_name.clone(),
            role: owner.record().role.clone(),
        }))
}

/// Notes every tombstone that could kill a lease of this key.
pub(super) fn note_prefixes(context: Context<'_>, key: &NameChain) {
    for prefix in key.prefixes() {
        context.view.note::<PrefixTombstones>(&prefix);
    }
}
