//! Revocation: one transaction, however much descends from the token. From its commit on
//! the whole tree is refused everywhere; what it leaves on disk, clean-up removes.

use super::{
    Context, Entry, Permit, Plan, Precondition, Revoke, RevokeOrphan, Target, TokenError,
    lookup::resolve, token_lease::key_of_token_lease,
};
use crate::{
    barrier::{Barrier, TokenHash},
    lease, quota,
    random::Random,
    state::{
        About, Accessors, Cubbyholes, Due, DueKind, Event, EventKind, Leases, LeasesByToken,
        OrphanMarkers, ReadError, TimeIndex, TokenChildren, TokenLeases, TokenRecord, Tokens,
        Tombstones, Txn, View, range_of,
    },
    types::Expiry,
};

/// Leases that go with their token in one transaction: one expiry step ends 256 tokens, and
/// must stay below the size limit of a transaction.
const LEASES_ENDED_AT_ONCE: usize = 4;

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whether there was a living token to revoke: revoking none is no error.
    pub found: bool,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

/// Revokes a token and all that descends from it, orphans excepted.
pub fn revoke(
    permit: &Permit<'_, Revoke>,
    random: &mut dyn Random,
) -> Result<Plan<Revoked>, TokenError> {
    let context = permit.context;
    let target = &permit.action.0;
    let mut txn = Txn::default();
    let found = match resolve(context, &permit.caller, target)? {
        // At its last use it is gone already.
        Some((entry, _)) if permit.caller.spent && entry.hash == permit.caller.entry.hash => true,
        Some((entry, _)) if entry.is_batch() => return Err(Precondition::BatchRevocation.into()),
        Some((entry, _)) => {
            let (record, created) = (&entry.record, entry.created);
            end_tree(context, &mut txn, &entry.hash, record, created, random)?;
            tell(context, &mut txn, EventKind::Revoked, &entry);
            true
        }
        None => false,
    };
    let mut warnings = Vec::new();
    if !found && matches!(target, Target::Accessor(_)) {
        warnings.push("no token has this accessor".to_owned());
    }
    Ok(Plan {
        txn,
        response: Revoked { found, warnings },
    })
}

/// Revokes a token alone, with its leases: its children live on as orphans, with all that
/// descends from them.
pub fn revoke_orphan(
    permit: &Permit<'_, RevokeOrphan>,
    random: &mut dyn Random,
) -> Result<Plan<Revoked>, TokenError> {
    let context = permit.context;
    let (entry, _) =
        resolve(context, &permit.caller, &permit.action.0)?.ok_or(TokenError::NotFound)?;
    if entry.is_batch() {
        return Err(Precondition::BatchRevocation.into());
    }
    let barrier = context.view.barrier();
    let mut txn = Txn::default();
    if has_children(context.view, &entry.hash)? || has_leases(context.view, &entry.hash)? {
        txn.insert::<OrphanMarkers>(barrier, &entry.hash, &context.now, random)?;
    }
    remove(barrier, &mut txn, &entry.hash, &entry.record, entry.created);
    tell(context, &mut txn, EventKind::Revoked, &entry);
    Ok(Plan {
        txn,
        response: Revoked {
            found: true,
            warnings: Vec::new(),
        },
    })
}

/// Tells those who watch that a token ended, with all that depends on it.
pub(super) fn tell(context: Context<'_>, txn: &mut Txn, kind: EventKind, entry: &Entry) {
    // Only a batch token has no accessor, and nothing is told of one: it has no record to end.
    let Some(accessor) = entry.record.accessor.clone() else {
        return;
    };
    txn.tell(Event {
        kind,
        about: About::Token(accessor),
        at: context.now,
        token: Some(entry.hash),
        owner: None,
        expires: None,
    });
}

/// Ends a token that was made at the revision `created`, its tree and their leases: a leaf without leases is deleted, anything else
/// gets a tombstone.
pub(super) fn end_tree(
    context: Context<'_>,
    txn: &mut Txn,
    hash: &TokenHash,
    record: &TokenRecord,
    created: u64,
    random: &mut dyn Random,
) -> Result<(), TokenError> {
    let view = context.view;
    if !has_children(view, hash)? && end_few_leases(context, txn, hash)? {
        remove(view.barrier(), txn, hash, record, created);
    } else {
        txn.insert::<Tombstones>(view.barrier(), hash, &context.now, random)?;
    }
    Ok(())
}

/// Deletes the leases of a token if they are few: every tombstone is in the memory of every
/// node until it is cleaned up, so a leaf shouldn't need one. One that is granted meanwhile
/// sends the transaction back: the range counts as read. False when there are more.
fn end_few_leases(
    context: Context<'_>,
    txn: &mut Txn,
    hash: &TokenHash,
) -> Result<bool, TokenError> {
    let view = context.view;
    let ended = lease::Ended::new(EventKind::Revoked, context.now);
    let range = range_of::<LeasesByToken>(hash.as_bytes());
    let rows = view.scan::<LeasesByToken>(range, LEASES_ENDED_AT_ONCE + 1)?;
    if rows.len() > LEASES_ENDED_AT_ONCE {
        return Ok(false);
    }
    for row in &rows {
        match view.get::<Leases>(&row.key.1)? {
            Some(lease) => lease::remove(view.barrier(), txn, &lease, ended),
            None => txn.delete::<LeasesByToken>(&row.key),
        }
    }
    Ok(true)
}

/// Whether any row lies below the token. A child that is made meanwhile sends the
/// transaction back: the range counts as read.
pub(super) fn has_children(view: &View<'_>, hash: &TokenHash) -> Result<bool, ReadError> {
    let first = view.scan::<TokenChildren>(range_of::<TokenChildren>(hash.as_bytes()), 1)?;
    Ok(!first.is_empty())
}

/// Whether the token has any lease. One that is granted meanwhile sends the transaction
/// back, as above.
pub(super) fn has_leases(view: &View<'_>, hash: &TokenHash) -> Result<bool, ReadError> {
    let first = view.scan::<LeasesByToken>(range_of::<LeasesByToken>(hash.as_bytes()), 1)?;
    Ok(!first.is_empty())
}

/// Deletes all rows of a token itself, which was made at the revision `created`.
pub(super) fn remove(
    barrier: &Barrier,
    txn: &mut Txn,
    hash: &TokenHash,
    record: &TokenRecord,
    created: u64,
) {
    quota::tally_token(txn, hash, &record.path, created);
    txn.delete::<Tokens>(hash);
    // Blindly: a write to it that is under way rests on the token's record.
    txn.delete::<Cubbyholes>(hash);
    txn.delete::<TokenLeases>(&key_of_token_lease(barrier, hash, &record.path));
    if let Some(accessor) = &record.accessor {
        txn.delete::<Accessors>(&barrier.accessor_hash(accessor));
    }
    if let Some(parent) = record.ancestors.last() {
        txn.delete::<TokenChildren>(&(*parent, *hash));
    }
    if let Expiry::At(at) = record.expiry {
        txn.delete::<TimeIndex>(&Due {
            at,
            kind: DueKind::Token(*hash),
        });
    }
}
