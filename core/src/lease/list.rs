//! Listing and counting, in bounded pages and in storage order. It writes nothing.

use std::collections::BTreeMap;

use super::{
    CountLeases, LeaseError, LeaseInfo, ListLeases,
    entry::{Living, living_among},
};
use crate::{
    barrier::NameChain,
    state::{Leases, key_of, range_of, successor},
    token::{Context, Permit},
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

/// Lists the leases under the prefix, a page at a time: the rows
/// after `after`, at most `limit` of them.
pub fn list(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
    limit: usize,
) -> Result<Listing, LeaseError> {
    let mut leases = Vec::new();
    let now = permit.context.now;
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let prefix = permit.action.0.as_ref();
    let next = walk(permit.context, prefix, after, limit, |lease| {
        leases.push(LeaseInfo::new(lease, now))
    })?;
    Ok(Listing { leases, next })
}

/// Counts the leases under the prefix, a part at a time.
pub fn count(
    permit: &Permit<'_, CountLeases>,
    after: Option<&NameChain>,
) -> Result<Count, LeaseError> {
    let (mut count, mut after) = (0, after.cloned());
    // Pages, so that payloads aren't held in memory all at once.
    for _ in 0..COUNT_ROWS_MAX.div_ceil(PAGE_ROWS_MAX) {
        let prefix = permit.action.0.as_ref();
        after = walk(permit.context, prefix, after.as_ref(), PAGE_ROWS_MAX, |_| count += 1)?;
        if after.is_none() {
            break;
        }
    }
    Ok(Count { count, next: after })
}

/// Shows each living lease of one page to `visit`; says where the next page begins.
fn walk(
    context: Context<'_>,
    prefix: Option<&Path>,
    after: Option<&NameChain>,
    limit: usize,
    mut visit: impl FnMut(Living),
) -> Result<Option<NameChain>, LeaseError> {
    let prefix = prefix.map_or_else(NameChain::default, |prefix| {
        context.view.barrier().name_chain(prefix.segments())
    });
    if after.is_some_and(|after| !after.starts_with(&prefix)) {
        return Err(LeaseError::argument("page_token", "not one of this prefix"));
    }
    let (mut last, mut owners) = (None, BTreeMap::new());
    let (mut start, end) = range_of::<Leases>(prefix.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<Leases>(after));
    }
    for row in context.view.scan::<Leases>((start, end.clone()), limit)? {
        last = Some(row.key.clone());
        living_among(context, row, &mut owners)?
            .into_iter()
            .for_each(&mut visit);
    }
    // A page may be shorter than asked for where payloads are large: only an empty one
    // tells the end.
    let Some(last) = last else {
        return Ok(None);
    };
    let rest = (successor(&key_of::<Leases>(&last)), end);
    let more = !context.view.scan::<Leases>(rest, 1)?.is_empty();
    Ok(Some(last).filter(|_| more))
}
