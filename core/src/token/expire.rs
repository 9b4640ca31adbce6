//! What the expiration manager does with rows that are due. Expiry is judged at every use
//! already: this only clears away, and an old row never ends what was renewed.

use super::{Context, Plan, TokenError, revoke::end_tree};
use crate::{
    random::Random,
    state::{Dedupes, Due, DueKind, ReadError, TimeIndex, Tokens, Txn, View},
    types::{Expiry, UnixMillis, limits::CLEANUP_ROWS_MAX},
};

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Tokens that ended.
    pub tokens: usize,
    /// Answers to request ids that ended.
    pub dedupes: usize,
    /// Rows that a renewal or a revocation had left behind.
    pub stale: usize,
}

/// The rows that are due at `now`, from `cursor` on, at most `limit` of them. Read them in
/// a view of their own: the range shouldn't count as read by what clears them away.
pub fn due(
    view: &View<'_>,
    cursor: Option<&Due>,
    now: UnixMillis,
    limit: usize,
) -> Result<Vec<Due>, ReadError> {
    let rows = view.scan::<TimeIndex>(
        TimeIndex::due_range(cursor, now),
        limit.min(CLEANUP_ROWS_MAX),
    )?;
    Ok(rows.into_iter().map(|row| row.key).collect())
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
                    end_tree(context, &mut txn, hash, &row.value, random)?;
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
        };
        *done += 1;
        txn.delete::<TimeIndex>(due);
    }
    Ok(Plan {
        txn,
        response: expired,
    })
}
