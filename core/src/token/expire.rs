//! What the expiration manager does with rows that are due. Expiry is judged at every use
//! already: this only clears away, and an old row never ends what was renewed.

use super::{
    Context, Entry, Plan, TokenError,
    revoke::{end_tree, tell},
};
use crate::{
    lease,
    random::Random,
    state::{
        Dedupes, Due, DueCursor, DueKind, EventKind, Leases, ReadError, Row, TimeIndex, Tokens,
        Txn, View,
    },
    types::{Expiry, UnixMillis, limits::CLEANUP_ROWS_MAX},
};

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Tokens that ended.
    pub tokens: usize,
    /// Leases that ended.
    pub leases: usize,
    /// Answers to request ids that ended.
    pub dedupes: usize,
    /// Rows that a renewal or a revocation had left behind.
    pub stale: usize,
}

/// The rows that are due at `now`, from `cursor` on, at most `limit` of them. They don't
/// count as read: what clears one away looks at its record.
pub fn due(
    view: &View<'_>,
    cursor: &DueCursor,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<Due>, ReadError> {
    let rows = view.peek::<TimeIndex>(
        TimeIndex::due_range(cursor, now),
        limit.min(CLEANUP_ROWS_MAX),
    )?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// When the first row from `cursor` on is due; `None` if there is none.
pub fn next_due(view: &View<'_>, cursor: &DueCursor) -> Result<Option<UnixMillis>, ReadError> {
    let rows = view.peek::<TimeIndex>(TimeIndex::range_from(cursor), 1)?;
    Ok(rows.first().map(|row| row.key.at))
}

/// Replaces what the deletion of single rows left at the head of the index by one deleted
/// range, so that whoever reads from the beginning passes it at once. It does so if there is
/// nothing from `from` on that ends before `end`; a row that is written there meanwhile sends
/// the transaction back.
pub fn trim(view: &View<'_>, from: &DueCursor, end: UnixMillis) -> Result<Plan<bool>, ReadError> {
    let range = TimeIndex::range_before(from, end);
    let empty = view.scan::<TimeIndex>(range.clone(), 1)?.is_empty();
    let mut txn = Txn::default();
    if empty {
        txn.delete_range(range);
    }
    Ok(Plan {
        txn,
        response: empty,
    })
}

/// Clears away what these rows stand for. Rows that aren't due are left alone.
pub fn expire(
    context: Context<'_>,
    rows: &[Due],
    random: &mut dyn Random,
) -> Result<Plan<Expired>, TokenError> {
    let (mut txn, mut expired) = (Txn::default(), Expired::default());
    for due in rows.iter().filter(|due| due.at <= context.now) {
        let done = match &due.kind {
            DueKind::Token(hash) => match context.view.get::<Tokens>(hash)? {
                Some(row) if row.value.expiry == Expiry::At(due.at) => {
                    let created = row.create_revision;
                    end_tree(context, &mut txn, hash, &row.value, created, random)?;
                    tell_expiry(context, &mut txn, row);
                    &mut expired.tokens
                }
                _ => &mut expired.stale,
            },
            DueKind::Dedupe(hash) => match context.view.get::<Dedupes>(hash)? {
                Some(row) if row.value.expires == due.at => {
                    txn.delete::<Dedupes>(hash);
                    &mut expired.dedupes
                }
                _ => &mut expired.stale,
            },
            DueKind::Lease(key) => match context.view.get::<Leases>(key)? {
                Some(row) if row.value.expires == due.at => {
                    // A prefix may have ended it before its time did.
                    let kind = match context.revocations.kill_lease(key, row.create_revision) {
                        true => EventKind::Revoked,
                        false => EventKind::Expired,
                    };
                    let ended = lease::Ended::new(kind, context.now);
                    lease::remove(context.view.barrier(), &mut txn, &row, ended);
                    &mut expired.leases
                }
                _ => &mut expired.stale,
            },
        };
        *done += 1;
        txn.delete::<TimeIndex>(due);
    }
    Ok(Plan {
        txn,
        response: expired,
    })
}

/// Tells that a token reached its end, unless it was told already that it was revoked.
fn tell_expiry(context: Context<'_>, txn: &mut Txn, row: Row<Tokens>) {
    let created = row.create_revision;
    let ancestors = context
        .revocations
        .uncut(&row.value.ancestors, created)
        .to_vec();
    if !context.revocations.kill(&row.key, &ancestors, created) {
        let entry = Entry {
            hash: row.key,
            record: row.value,
            created,
            ancestors,
        };
        tell(context, txn, EventKind::Expired, &entry);
    }
}
