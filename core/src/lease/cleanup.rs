//! Clean-up behind revocations, in bounded steps: of the leases under a prefix, and of those
//! of a dead token. What it misses, the time index brings up: every lease ends.

use super::LeaseError;
use crate::{
    barrier::{Barrier, NameChain, TokenHash},
    state::{
        About, BatchLeases, Due, DueKind, Event, EventKind, Leases, LeasesByToken,
        PrefixTombstones, ReadError, Row, TimeIndex, Txn, key_of, range_of, successor,
    },
    token::{Context, Plan},
    types::{UnixMillis, limits::CLEANUP_ROWS_MAX},
};

/// Where a clean-up stands, from one step to the next. It is only a shortcut: a new one may
/// be begun at any time.
#[derive(Clone, Debug, Default)]
pub struct PrefixCursor {
    /// The tombstone that this pass is about.
    revision: u64,
    /// The lease that was dealt with last.
    after: Option<NameChain>,
    /// Whether this pass has found something.
    found: bool,
}

/// What comes after a step.
#[derive(Clone, Debug)]
pub enum PrefixProgress {
    /// More steps, from here.
    More(PrefixCursor),
    /// Nothing: the tombstone goes with this transaction.
    Done,
}

/// One step behind the tombstone of `prefix`. Grants under the prefix, which live, don't send
/// it back.
pub fn clean_up_prefix(
    context: Context<'_>,
    prefix: &NameChain,
    mut cursor: PrefixCursor,
) -> Result<Plan<PrefixProgress>, LeaseError> {
    let mut txn = Txn::default();
    let Some(tombstone) = context.revocations.prefix(prefix) else {
        return Ok(Plan {
            txn,
            response: PrefixProgress::Done,
        });
    };
    // A newer one kills what this pass has seen alive: it isn't this pass's to delete.
    context.view.note::<PrefixTombstones>(prefix);
    if cursor.revision != tombstone {
        cursor = PrefixCursor {
            revision: tombstone,
            ..PrefixCursor::default()
        };
    }
    let (mut start, end) = range_of::<Leases>(prefix.as_bytes());
    if let Some(after) = &cursor.after {
        start = successor(&key_of::<Leases>(after));
    }
    // A page may be shorter than asked for where payloads are large: only an empty one is
    // the end.
    let rows = context
        .view
        .peek::<Leases>((start, end), CLEANUP_ROWS_MAX)?;
    let last = rows.last().map(|row| row.key.clone());
    for row in rows.iter().filter(|row| row.create_revision <= tombstone) {
        // Somebody else may clear it away meanwhile: its end is told once.
        context.view.note::<Leases>(&row.key);
        let ended = Ended::new(EventKind::Revoked, context.now);
        remove(context.view.barrier(), &mut txn, row, ended);
        cursor.found = true;
    }
    let response = match (last, cursor.found) {
        (Some(last), _) => PrefixProgress::More(PrefixCursor {
            after: Some(last),
            ..cursor
        }),
        // A second look, in a new pass: nothing may be left when the tombstone goes.
        (None, true) => PrefixProgress::More(PrefixCursor::default()),
        (None, false) => {
            txn.delete::<PrefixTombstones>(prefix);
            PrefixProgress::Done
        }
    };
    Ok(Plan { txn, response })
}

/// Deletes up to `limit` leases of a token that were granted at or before the revision
/// `until`, and says how many.
pub(crate) fn clear_owned(
    context: Context<'_>,
    txn: &mut Txn,
    token: &TokenHash,
    until: u64,
    limit: usize,
) -> Result<usize, ReadError> {
    let view = context.view;
    let ended = Ended::new(EventKind::Revoked, context.now);
    let range = range_of::<LeasesByToken>(token.as_bytes());
    let rows = view.scan::<LeasesByToken>(range, limit.max(1))?;
    let mut gone = 0;
    // Younger ones are another token's, under the same chosen id.
    for row in rows.iter().filter(|row| row.create_revision <= until) {
        let (_, key) = &row.key;
        match view.get::<Leases>(key)? {
            Some(lease) => remove(view.barrier(), txn, &lease, ended),
            None => txn.delete::<LeasesByToken>(&row.key),
        }
        gone += 1;
    }
    Ok(gone)
}

/// Deletes the leases of batch tokens that were made under `path` at or before the revision `until`,
/// of the next rows behind `after`. Says which row was the last, if there was one, and whether any
/// lease was deleted.
pub(crate) fn clear_of_batch(
    context: Context<'_>,
    txn: &mut Txn,
    path: &NameChain,
    until: u64,
    after: Option<&(NameChain, NameChain)>,
) -> Result<(Option<(NameChain, NameChain)>, bool), ReadError> {
    let view = context.view;
    let ended = Ended::new(EventKind::Revoked, context.now);
    let (mut start, end) = range_of::<BatchLeases>(path.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<BatchLeases>(after));
    }
    let rows = view.peek::<BatchLeases>((start, end), CLEANUP_ROWS_MAX)?;
    let last = rows.last().map(|row| row.key.clone());
    let mut found = false;
    // A lease is younger than its token; what is younger than the tombstone is of another one.
    for row in rows.iter().filter(|row| row.create_revision <= until) {
        match view.get::<Leases>(&row.key.1)? {
            Some(lease) => remove(view.barrier(), txn, &lease, ended),
            None => txn.delete::<BatchLeases>(&row.key),
        }
        found = true;
    }
    Ok((last, found))
}

/// How a lease ended, for those who watch.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    kind: EventKind,
    at: UnixMillis,
}

impl Ended {
    pub(crate) fn new(kind: EventKind, at: UnixMillis) -> Self {
        Self { kind, at }
    }
}

/// Deletes all rows of a lease, and tells its end: there is no other way to delete one, so that
/// each end is told once.
pub(crate) fn remove(barrier: &Barrier, txn: &mut Txn, lease: &Row<Leases>, ended: Ended) {
    let (key, record) = (&lease.key, &lease.value);
    txn.tally.lease_gone(key, lease.create_revision);
    txn.tell(Event {
        kind: ended.kind,
        about: About::Lease(record.id.clone()),
        at: ended.at,
        token: Some(record.token),
        owner: None,
        expires: None,
    });
    txn.delete::<Leases>(key);
    for token in record.owners() {
        txn.delete::<LeasesByToken>(&(token, key.clone()));
    }
    if let Some(made_at) = record.made_at(barrier) {
        txn.delete::<BatchLeases>(&(made_at, key.clone()));
    }
    txn.delete::<TimeIndex>(&Due {
        at: record.expires,
        kind: DueKind::Lease(key.clone()),
    });
}
