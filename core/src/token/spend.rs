//! Use counts: each authenticated request of a use-limited token spends one use, and the
//! last one removes the token. The count is part of the replicated state, so that N uses
//! are N across nodes and failovers.

use std::{num::NonZeroU32, sync::Arc};

use super::{
    Caller, Context, Plan, TokenError,
    entry::{Seen, again},
    revoke::{end_tree, tell},
};
use crate::{
    random::Random,
    state::{EventKind, Tokens, Txn},
};

/// Spends one use. The request is planned with the caller of the response, on the same view,
/// and its writes go behind these, in one transaction: so that what was paid for is served,
/// and nothing else. If the request is refused, these are committed alone.
pub fn spend_use(
    context: Context<'_>,
    caller: &Caller,
    random: &mut dyn Random,
) -> Result<Plan<Caller>, TokenError> {
    // Counted from what is stored now, not from what the caller looked like before.
    let mut entry = again(context, &caller.entry)?.ok_or(TokenError::InvalidToken)?;
    let mut txn = Txn::default();
    let Some(uses) = entry.record.uses_left else {
        return Ok(Plan {
            txn,
            response: Caller {
                id: caller.id.clone(),
                entry: Arc::new(entry),
                seen: Seen::of(context),
                paid: false,
                spent: false,
            },
        });
    };
    let spent = match NonZeroU32::new(uses.get() - 1) {
        Some(left) => {
            entry.record.uses_left = Some(left);
            txn.update::<Tokens>(context.view.barrier(), &entry.clone().into_row(), random)?;
            false
        }
        None => {
            let (record, created) = (&entry.record, entry.created);
            end_tree(context, &mut txn, &entry.hash, record, created, random)?;
            tell(context, &mut txn, EventKind::Revoked, &entry);
            true
        }
    };
    Ok(Plan {
        txn,
        response: Caller {
            id: caller.id.clone(),
            entry: Arc::new(entry),
            seen: Seen::of(context),
            paid: true,
            spent,
        },
    })
}
