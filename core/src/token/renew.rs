//! Renewal: another end for a living token, counted from now. It never revives one.

use super::{
    Permit, Plan, Precondition, Renew, TokenError, TokenInfo, lookup::resolve, ttl::renewal,
};
use crate::{
    random::Random,
    state::{Due, DueKind, TimeIndex, Tokens, Txn},
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
    let (expiry, warnings) = renewal(context.ttl, &entry.record, *increment, context.now)?;
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
