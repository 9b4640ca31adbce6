//! Revocation: of one lease, or in one transaction of all under a prefix. From its commit on
//! they are refused everywhere; what it leaves on disk, clean-up removes.

use super::{
    LeaseError, LeasePrecondition, RevokeForce, RevokeLease, RevokePrefix,
    cleanup::{Ended, remove},
    entry::resolve,
    token_lease,
};
use crate::{
    barrier::NameChain,
    random::Random,
    state::{About, Event, EventKind, Leases, LeasesByToken, PrefixTombstones, Txn, range_of},
    token::{self, Context, Denied, Permit, Plan, TokenError},
    types::{Path, limits::LEASES_REVOKED_AT_ONCE_MAX},
};

/// Revokes a lease.
pub fn revoke(
    permit: &Permit<'_, RevokeLease>,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    if permit.action.0.is_of_token() {
        return revoke_token(permit, random);
    }
    let lease = resolve(permit, &permit.action.0)?;
    let mut txn = Txn::default();
    let ended = Ended::new(EventKind::Revoked, permit.context.now);
    let barrier = permit.context.view.barrier();
    remove(barrier, &mut txn, &lease.row, ended);
    Ok(Plan { txn, response: () })
}

/// Revokes a token by its lease.
fn revoke_token(
    permit: &Permit<'_, RevokeLease>,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    let token = token_lease::resolve(permit, &permit.action.0)?;
    let mut txn = Txn::default();
    // At its last use it is gone already.
    if !(permit.caller.is_spent() && token.hash() == permit.caller.entry().hash()) {
        token::end_token(permit.context, &mut txn, &token, random)?;
    }
    Ok(Plan { txn, response: () })
}

/// Revokes the leases under a prefix that the caller may handle, and with `sudo` the tokens that
/// were made under it. With `sudo` that is one
/// tombstone, whatever their number. Without it the caller's own are deleted at once: a
/// tombstone of every token's would fill the memory of every node, so their number is bounded.
pub fn revoke_prefix(
    permit: &Permit<'_, RevokePrefix>,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    if permit.has_sudo() {
        return mark(permit.context, &permit.action.0, random);
    }
    if token::makes_tokens(&permit.action.0) {
        let what = "revoke tokens by their path";
        return Err(TokenError::from(Denied::NoSudo(what)).into());
    }
    let mut txn = Txn::default();
    let barrier = permit.context.view.barrier();
    let prefix = barrier.name_chain(permit.action.0.segments());
    revoke_own(permit, &mut txn, &prefix)?;
    Ok(Plan { txn, response: () })
}

/// Revokes all leases under a prefix, and the tokens that were made under it, in one transaction,
/// for an operator. There are no leases yet whose end an outside system could refuse.
pub fn revoke_force(
    permit: &Permit<'_, RevokeForce>,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    mark(permit.context, &permit.action.0, random)
}

fn mark(
    context: Context<'_>,
    prefix: &Path,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    let barrier = context.view.barrier();
    let chain = barrier.name_chain(prefix.segments());
    let mut txn = Txn::default();
    // Without a lease there is nothing to mark. One that is granted meanwhile sends the
    // transaction back: the range counts as read.
    let first = context
        .view
        .scan::<Leases>(range_of::<Leases>(chain.as_bytes()), 1)?;
    if !first.is_empty() {
        txn.insert::<PrefixTombstones>(barrier, &chain, &context.now, random)?;
        txn.tell(Event {
            kind: EventKind::Revoked,
            about: About::Prefix(prefix.clone()),
            at: context.now,
            token: None,
            owner: None,
            expires: None,
        });
    }
    if token::makes_tokens(prefix) {
        token::revoke_path(context, &mut txn, &chain, random)?;
    }
    Ok(Plan { txn, response: () })
}

fn revoke_own(
    permit: &Permit<'_, RevokePrefix>,
    txn: &mut Txn,
    prefix: &NameChain,
) -> Result<(), LeaseError> {
    let view = permit.context.view;
    let own = [permit.caller.entry().hash().as_bytes(), prefix.as_bytes()].concat();
    let rows = view.scan::<LeasesByToken>(
        range_of::<LeasesByToken>(&own),
        LEASES_REVOKED_AT_ONCE_MAX + 1,
    )?;
    if rows.len() > LEASES_REVOKED_AT_ONCE_MAX {
        return Err(LeasePrecondition::TooMany.into());
    }
    let ended = Ended::new(EventKind::Revoked, permit.context.now);
    for row in rows {
        let (_, key) = row.key;
        let lease = view.get::<Leases>(&key)?;
        // Those of a batch token lie under its parent, too, and aren't the parent's.
        if let Some(lease) = lease.filter(|row| row.value.token == *permit.caller.entry().hash()) {
            remove(view.barrier(), txn, &lease, ended);
        }
    }
    Ok(())
}
