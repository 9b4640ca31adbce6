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
    /// The same by what was asked for: by accessor of the token or by path.
    pub groups: BTreeMap<String, Group>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<NameChain>,
}

/// Leases that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Display name of the token; empty for a path.
    pub name: String,
    /// How many live.
    pub count: u64,
}

/// What leases are also counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// The token that they belong to.
    Token,
    /// The path one segment below the prefix.
    Path,
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
    by: Option<CountBy>,
) -> Result<Count, LeaseError> {
    let (mut count, mut after) = (0, after.cloned());
    let mut groups = BTreeMap::<String, Group>::new();
    let depth = permit
        .action
        .0
        .as_ref()
        .map_or(0, |prefix| prefix.segments().count());
    let mut visit = |lease: Living| {
        count += 1;
        if let Some((key, name)) = by.map(|by| group_of(&lease, by, depth)) {
            let group = groups.entry(key).or_default();
            (group.name, group.count) = (name, group.count + 1);
        }
    };
    // Pages, so that payloads aren't held in memory all at once.
    for _ in 0..COUNT_ROWS_MAX.div_ceil(PAGE_ROWS_MAX) {
        after = walk(permit, after.as_ref(), PAGE_ROWS_MAX, &mut visit)?;
        if after.is_none() {
            break;
        }
    }
    Ok(Count {
        count,
        groups,
        next: after,
    })
}

/// Where a lease belongs, and how that is shown.
fn group_of(lease: &Living, by: CountBy, depth: usize) -> (String, String) {
    match by {
        CountBy::Token => {
            let owner = lease.owner.record();
            let name = owner.display_name.as_str().to_owned();
            (owner.accessor.as_str().to_owned(), name)
        }
        CountBy::Path => {
            let path = lease.row.value.id.path();
            let segments: Vec<_> = path.segments().take(depth + 1).collect();
            (segments.join("/"), String::new())
        }
    }
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
