//! Clean-up behind revocations: records under a tombstone are deleted in bounded steps,
//! the deepest first, so that no record is ever without its ancestors by clean-up alone. The
//! leases of a token go before its record.
//! The tombstone goes only after a whole pass has found nothing under it.

use super::{
    Context, Plan, TokenError,
    revoke::{has_children, remove},
};
use crate::{
    barrier::TokenHash,
    lease,
    state::{
        OrphanMarkers, ReadError, TokenChildren, Tokens, Tombstones, Txn, View, key_of, range_of,
        successor,
    },
    types::limits::CLEANUP_ROWS_MAX,
};

/// Where a clean-up stands, from one step to the next. It is only a shortcut: a new one
/// may be begun at any time.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The path from the tombstone down: a token, and the child that was dealt with last.
    path: Vec<(TokenHash, Option<TokenHash>)>,
    /// Whether this pass has found something.
    found: bool,
}

/// What comes after a step.
#[derive(Clone, Debug)]
pub enum Progress {
    /// More steps, from here.
    More(Cursor),
    /// Nothing: the tombstone goes with this transaction.
    Done,
}

/// One step behind the tombstone of `top`. If the transaction is sent back, the step is
/// repeated from the same cursor.
pub fn clean_up(
    context: Context<'_>,
    top: &TokenHash,
    cursor: Cursor,
) -> Result<Plan<Progress>, TokenError> {
    step(context, top, cursor, &mut { CLEANUP_ROWS_MAX })
}

/// One step behind each of these tombstones, as many as one transaction may deal with: thousands
/// of small trees that end at once are as quick to clear away as a large one.
pub fn clean_up_some(
    context: Context<'_>,
    tops: impl IntoIterator<Item = (TokenHash, Cursor)>,
) -> Result<Plan<Vec<(TokenHash, Progress)>>, TokenError> {
    let (mut txn, mut done, mut budget) = (Txn::default(), Vec::new(), CLEANUP_ROWS_MAX);
    for (top, cursor) in tops {
        let plan = step(context, &top, cursor, &mut budget)?;
        txn.append(plan.txn);
        done.push((top, plan.response));
        // The look at the tombstone itself.
        budget = budget.saturating_sub(1);
        if budget == 0 {
            break;
        }
    }
    Ok(Plan {
        txn,
        response: done,
    })
}

fn step(
    context: Context<'_>,
    top: &TokenHash,
    mut cursor: Cursor,
    budget: &mut usize,
) -> Result<Plan<Progress>, TokenError> {
    let view = context.view;
    let mut txn = Txn::default();
    let Some(tombstone) = context.revocations.tombstone(top) else {
        return Ok(Plan {
            txn,
            response: Progress::Done,
        });
    };
    // A newer tombstone on the same token isn't this step's to delete.
    view.note::<Tombstones>(top);
    if cursor.path.is_empty() {
        cursor = Cursor {
            path: vec![(*top, None)],
            found: false,
        };
    }
    while *budget > 0 {
        let Some((node, after)) = cursor.path.last_mut() else {
            break;
        };
        let node = *node;
        let Some(child) = next_child(view, &node, after.as_ref())? else {
            let gone = lease::clear_owned(context, &mut txn, &node, tombstone, *budget)?;
            cursor.found |= gone > 0;
            if gone > 0 && gone >= *budget {
                // There may be more of them: the next step looks again.
                *budget = 0;
                break;
            }
            *budget -= gone;
            cursor.path.pop();
            if !cursor.path.is_empty() {
                if let Some(row) = view.get::<Tokens>(&node)? {
                    let created = row.create_revision;
                    let above = context.revocations.uncut(&row.value.ancestors, created);
                    // Since it was pushed it may have become another one, under a chosen id.
                    if context.revocations.kill(&node, above, created) {
                        remove(view.barrier(), &mut txn, &node, &row.value, created);
                    }
                }
                cursor.found = true;
            }
            continue;
        };
        *after = Some(child);
        // Once for each record: on the way down, not on the way up again.
        *budget -= 1;
        match view.get::<Tokens>(&child)? {
            None => txn.delete::<TokenChildren>(&(node, child)),
            Some(row) => {
                let created = row.create_revision;
                let ancestors = context.revocations.uncut(&row.value.ancestors, created);
                // One that was cut off lives on: it isn't of this tree any more.
                if context.revocations.kill(&child, ancestors, created) {
                    cursor.path.push((child, None));
                }
            }
        }
    }
    if !cursor.path.is_empty() {
        return Ok(Plan {
            txn,
            response: Progress::More(cursor),
        });
    }
    if cursor.found {
        // A second look, in a new pass: nothing may be left when the tombstone goes.
        return Ok(Plan {
            txn,
            response: Progress::More(Cursor::default()),
        });
    }
    if let Some(row) = view
        .get::<Tokens>(top)?
        .filter(|row| row.create_revision <= tombstone)
    {
        // Its tombstone goes one transaction later: whoever still sees the record must find
        // the tombstone, too.
        let created = row.create_revision;
        remove(view.barrier(), &mut txn, top, &row.value, created);
        return Ok(Plan {
            txn,
            response: Progress::More(Cursor::default()),
        });
    }
    txn.delete::<Tombstones>(top);
    Ok(Plan {
        txn,
        response: Progress::Done,
    })
}

/// Clears away the leases of a token that was revoked alone, and its marker once it has no
/// children left; says whether there was anything to do.
pub fn sweep_marker(context: Context<'_>, hash: &TokenHash) -> Result<Plan<bool>, TokenError> {
    let (view, mut txn) = (context.view, Txn::default());
    if let Some(marker) = context.revocations.marker(hash) {
        view.note::<OrphanMarkers>(hash);
        let gone = lease::clear_owned(context, &mut txn, hash, marker, CLEANUP_ROWS_MAX)?;
        if gone == 0 && !has_children(view, hash)? {
            txn.delete::<OrphanMarkers>(hash);
        }
    }
    let response = !txn.is_empty();
    Ok(Plan { txn, response })
}

fn next_child(
    view: &View<'_>,
    parent: &TokenHash,
    after: Option<&TokenHash>,
) -> Result<Option<TokenHash>, ReadError> {
    let (mut start, end) = range_of::<TokenChildren>(parent.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<TokenChildren>(&(*parent, *after)));
    }
    let first = view.scan::<TokenChildren>((start, end), 1)?;
    Ok(first.first().map(|row| row.key.1))
}
