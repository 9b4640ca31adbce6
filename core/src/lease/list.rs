//! Listing and counting, in bounded pages and in storage order. It writes nothing.

use std::collections::BTreeMap;

use super::{
    LeaseError, LeaseInfo, ListLeases,
    entry::{Living, living_among},
};
use crate::{
    barrier::NameChain,
    state::{Leases, LeasesByToken, Row, key_of, range_of, successor},
    token::Permit,
    types::{
        Path,
        limits::{COUNT_ROWS_MAX, PAGE_ROWS_MAX},
    },
};

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The leases of this page that live. There may be none on a page that isn't the last.
    pub leases: Vec<LeaseInfo>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<NameChain>,
}

/// A part of a count.
#[derive(Clone, Debug)]
pub struct Count {
    /// How many leases of this part live.
    pub count: u64,
    /// Where the next part begins; `None` after the last.
    pub next: Option<NameChain>,
}

/// Lists the leases under the prefix that the caller may handle, a page at a time: the rows
/// after `after`, at most `limit` of them.
pub fn list(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
    limit: usize,
) -> Result<Listing, LeaseError> {
    let mut leases = Vec::new();
    let now = permit.context.now;
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let next = walk(permit, after, limit, |lease| {
        leases.push(LeaseInfo::new(lease, now))
    })?;
    Ok(Listing { leases, next })
}

/// Counts the leases under the prefix that the caller may handle, a part at a time.
pub fn count(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
) -> Result<Count, LeaseError> {
    let (mut count, mut after) = (0, after.cloned());
    // Pages, so that payloads aren't held in memory all at once.
    for _ in 0..COUNT_ROWS_MAX.div_ceil(PAGE_ROWS_MAX) {
        after = walk(permit, after.as_ref(), PAGE_ROWS_MAX, |_| count += 1)?;
        if after.is_none() {
            break;
        }
    }
    Ok(Count { count, next: after })
}

/// Shows each living lease of one page to `visit`; says where the next page begins.
fn walk(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
    limit: usize,
    mut visit: impl FnMut(Living),
) -> Result<Option<NameChain>, LeaseError> {
    let context = permit.context;
    let prefix = permit
        .action
        .0
        .as_ref()
        .map_or_else(NameChain::default, |prefix: &Path| {
            context.view.barrier().name_chain(prefix.segments())
        });
    if after.is_some_and(|after| !after.starts_with(&prefix)) {
        return Err(LeaseError::argument("page_token", "not one of this prefix"));
    }
    let (mut last, mut owners) = (None, BTreeMap::new());
    let mut show = |row: Row<Leases>| -> Result<(), LeaseError> {
        living_among(context, row, &mut owners)?
            .into_iter()
            .for_each(&mut visit);
        Ok(())
    };
    if permit.has_sudo() {
        let (mut start, end) = range_of::<Leases>(prefix.as_bytes());
        if let Some(after) = after {
            start = successor(&key_of::<Leases>(after));
        }
        for row in context.view.scan::<Leases>((start, end.clone()), limit)? {
            last = Some(row.key.clone());
            show(row)?;
        }
        // A page may be shorter than asked for where payloads are large: only an empty one
        // tells the end.
        let Some(last) = last else {
            return Ok(None);
        };
        let rest = (successor(&key_of::<Leases>(&last)), end);
        let more = !context.view.scan::<Leases>(rest, 1)?.is_empty();
        return Ok(Some(last).filter(|_| more));
    }
    let owner = permit.caller.entry().hash();
    let own = [owner.as_bytes(), prefix.as_bytes()].concat();
    let (mut start, end) = range_of::<LeasesByToken>(&own);
    if let Some(after) = after {
        start = successor(&key_of::<LeasesByToken>(&(*owner, after.clone())));
    }
    let rows = context.view.scan::<LeasesByToken>((start, end), limit)?;
    let full = rows.len() == limit;
    for row in rows {
        let (_, key) = row.key;
        if let Some(row) = context.view.get::<Leases>(&key)? {
            show(row)?;
        }
        last = Some(key);
    }
    Ok(last.filter(|_| full))
}
