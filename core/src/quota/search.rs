//! The search for what was there before a lease-count quota, in bounded steps. What is made since
//! counts itself, so that grants and the search don't send each other back.

use bytes::Bytes;

use super::{
    QuotaError,
    count::counted_path,
    lease_count::{load, store},
};
use crate::{
    barrier::NameChain,
    random::Random,
    state::{
        Accessors, LeaseQuotaRecord, LeaseQuotasEnded, Leases, LeasesByToken, Row, Search, Tokens,
        Txn, View, key_of, range_of, successor,
    },
    token::Plan,
    types::limits::CLEANUP_ROWS_MAX,
};

/// One step for one of the quotas that are still counting; false: none is.
///
/// # Errors
/// The state can't be read or sealed.
pub fn search(view: &View<'_>, random: &mut dyn Random) -> Result<Plan<bool>, QuotaError> {
    let (mut row, mut txn) = (load(view)?, Txn::default());
    let Some(at) = row.value.quotas.iter().position(|quota| quota.counting) else {
        return Ok(Plan {
            txn,
            response: false,
        });
    };
    let quota = row.value.quotas[at].clone();
    let counter = view.get::<LeaseQuotasEnded>(&quota.id)?;
    let search = counter.as_ref().map(|counter| counter.value.search.clone());
    match (counter, search) {
        (Some(counter), Some(Search::Leases(from))) => {
            leases(view, &mut txn, &quota, counter, from, random)?;
        }
        (Some(counter), Some(Search::Tokens(from))) => {
            tokens(view, &mut txn, &quota, counter, from, random)?;
        }
        // From its commit on the quota is exact: a grant that is under way is sent back.
        _ => {
            row.value.quotas[at].counting = false;
            store(view, &mut txn, &row, random)?;
        }
    }
    Ok(Plan {
        txn,
        response: true,
    })
}

fn leases(
    view: &View<'_>,
    txn: &mut Txn,
    quota: &LeaseQuotaRecord,
    mut counter: Row<LeaseQuotasEnded>,
    from: Bytes,
    random: &mut dyn Random,
) -> Result<(), QuotaError> {
    let (_, end) = range_of::<Leases>(quota.chain.as_bytes());
    let rows = view.peek::<Leases>((from, end), CLEANUP_ROWS_MAX)?;
    for row in &rows {
        if row.create_revision <= counter.create_revision {
            counter.value.found += 1;
            // It goes with the lease, and a renewal doesn't touch it.
            view.note::<LeasesByToken>(&(row.value.token, row.key.clone()));
        }
    }
    // A page may be shorter than asked for where payloads are large: only an empty one is the end.
    counter.value.search = match rows.last() {
        Some(last) => Search::Leases(successor(&key_of::<Leases>(&last.key))),
        None if may_cover_tokens(view, &quota.chain) => Search::Tokens(range_of::<Tokens>(&[]).0),
        None => Search::Done,
    };
    txn.update::<LeaseQuotasEnded>(view.barrier(), &counter, random)?;
    Ok(())
}

fn tokens(
    view: &View<'_>,
    txn: &mut Txn,
    quota: &LeaseQuotaRecord,
    mut counter: Row<LeaseQuotasEnded>,
    from: Bytes,
    random: &mut dyn Random,
) -> Result<(), QuotaError> {
    let barrier = view.barrier();
    let (_, end) = range_of::<Tokens>(&[]);
    let rows = view.peek::<Tokens>((from, end), CLEANUP_ROWS_MAX)?;
    for row in &rows {
        let covered = counted_path(&row.value.path).is_some_and(|path| {
            barrier
                .name_chain(path.segments())
                .starts_with(&quota.chain)
        });
        if covered && row.create_revision <= counter.create_revision {
            counter.value.found += 1;
            // As above.
            view.note::<Accessors>(&barrier.accessor_hash(&row.value.accessor));
        }
    }
    counter.value.search = match rows.last() {
        Some(last) => Search::Tokens(successor(&key_of::<Tokens>(&last.key))),
        None => Search::Done,
    };
    txn.update::<LeaseQuotasEnded>(barrier, &counter, random)?;
    Ok(())
}

/// Tokens lie under `auth` alone.
fn may_cover_tokens(view: &View<'_>, chain: &NameChain) -> bool {
    let auth = view.barrier().name_chain(["auth"].into_iter());
    chain.is_empty() || chain.starts_with(&auth)
}
