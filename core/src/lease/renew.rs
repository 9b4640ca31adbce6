//! Renewal: another end for a living lease, counted from now. It never revives one.

use super::{
    LeaseError, LeaseInfo, LeasePrecondition, RenewLease, entry::resolve, grant::ends_with_token,
    token_lease,
};
use crate::{
    random::Random,
    state::{Due, DueKind, EventKind, TimeIndex, Txn},
    token::{Permit, Plan, extend},
};

/// A renewed lease.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The lease, with its new end.
    pub info: LeaseInfo,
    /// What was given otherwise than it was asked for.
    pub warnings: Vec<String>,
}

/// Renews a lease.
pub fn renew(
    permit: &Permit<'_, RenewLease>,
    random: &mut dyn Random,
) -> Result<Plan<Renewed>, LeaseError> {
    let context = permit.context;
    let RenewLease(id, increment) = &permit.action;
    if id.is_of_token() {
        token_lease::resolve(permit, id)?;
        return Err(LeasePrecondition::OfToken.into());
    }
    let mut lease = resolve(permit, id)?;
    let own = *permit.caller.entry().hash();
    if permit.caller.is_spent() && lease.row.value.owners().any(|token| token == own) {
        // It ends with its token, or with the parent of its batch token, in this very transaction.
        return Err(LeasePrecondition::LastUse.into());
    }
    let record = &mut lease.row.value;
    if !record.renewable {
        return Err(LeasePrecondition::NotRenewable.into());
    }
    let mut warnings = Vec::new();
    let wanted = increment.asked().unwrap_or(record.creation_ttl);
    let max = context.ttl.max_ttl();
    let end = extend(wanted, max, record.created, context.now, &mut warnings)
        .ok_or(LeasePrecondition::MaxTtlReached)?;
    let mut end = end;
    if let Some(last) = record.batch.as_ref().map(|batch| batch.expires)
        && last < end
    {
        end = last;
        warnings.push(ends_with_token(last.remaining(context.now)));
    }
    let barrier = context.view.barrier();
    let due = |at| Due {
        at,
        kind: DueKind::Lease(lease.row.key.clone()),
    };
    let mut txn = Txn::default();
    txn.delete::<TimeIndex>(&due(record.expires));
    txn.insert::<TimeIndex>(barrier, &due(end), &(), random)?;
    record.expires = end;
    record.last_renewal = Some(context.now);
    txn.update(barrier, &lease.row, random)?;
    txn.tell(lease.event(EventKind::Renewed, context.now));
    let info = LeaseInfo::new(lease, context.now);
    Ok(Plan {
        txn,
        response: Renewed { info, warnings },
    })
}
