//! Renewal: another end for a living token, counted from now. It never revives one.

use super::{
    Context, Permit, Plan, Precondition, Renew, TokenError, TokenInfo,
    lookup::resolve,
    role,
    ttl::{least, renewal},
    tuning::bounds,
};
use crate::{
    random::Random,
    state::{Due, DueKind, TimeIndex, TokenRecord, Tokens, Txn},
    types::Expiry,
};

/// A renewed token.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The token, with its new end.
    pub info: TokenInfo,
    /// What was given otherwise than it was asked for.
    pub warnings: Vec<String>,
}

/// Renews a token.
pub fn renew(
    permit: &Permit<'_, Renew>,
    random: &mut dyn Random,
) -> Result<Plan<Renewed>, TokenError> {
    let context = permit.context;
    let Renew(target, increment) = &permit.action;
    let (mut entry, id) = resolve(context, &permit.caller, target)?.ok_or(TokenError::NotFound)?;
    if permit.caller.spent && entry.hash == permit.caller.entry.hash {
        return Err(Precondition::LastUse.into());
    }
    if entry.is_batch() {
        return Err(Precondition::BatchRenewal.into());
    }
    let bounds = bounds(context)?;
    let terms = with_role(context, &entry.record)?;
    let (expiry, warnings) = renewal(&bounds, &terms, *increment, context.now)?;
    let barrier = context.view.barrier();
    let mut txn = Txn::default();
    let due = |at| Due {
        at,
        kind: DueKind::Token(entry.hash),
    };
    if let Expiry::At(old) = entry.record.expiry {
        txn.delete::<TimeIndex>(&due(old));
    }
    if let Expiry::At(new) = expiry {
        txn.insert::<TimeIndex>(barrier, &due(new), &(), random)?;
    }
    entry.record.expiry = expiry;
    entry.record.last_renewal = Some(context.now);
    let info = TokenInfo::new(&entry, id, context.now);
    txn.update::<Tokens>(barrier, &entry.into_row(), random)?;
    Ok(Plan {
        txn,
        response: Renewed { info, warnings },
    })
}

/// The record with the period and the maximum that its role gives now: a role is live. One that is
/// gone renews nothing.
fn with_role(context: Context<'_>, record: &TokenRecord) -> Result<TokenRecord, TokenError> {
    let mut record = record.clone();
    if let Some(name) = &record.role {
        let role = role::load(context.view, name)?
            .ok_or(Precondition::NoRole)?
            .value;
        record.period = least(record.period, role.period);
        record.explicit_max_ttl = least(record.explicit_max_ttl, role.explicit_max_ttl);
    }
    Ok(record)
}
