//! Listing and counting, in bounded pages and in storage order. It writes nothing.

use std::collections::BTreeMap;

use super::{LeaseError, LeaseInfo, ListLeases, entry::living_among, token_lease};
use crate::{
    barrier::NameChain,
    state::{Leases, LeasesByToken, key_of, range_of, successor},
    token::{Permit, makes_tokens},
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
    /// The same by what was asked for: by accessor of the token (empty where it has none, or none
    /// is shown), by path, or by role (empty where there is none).
    pub groups: BTreeMap<String, Group>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<NameChain>,
}

/// Leases that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Display name of the token; empty for a path and a role.
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
    /// The role that made the token which they belong to, or that they are of.
    Role,
}

/// Lists the leases under the prefix that the caller may handle, a page at a time: the rows
/// after `after`, at most `limit` of them.
pub fn list(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
    limit: usize,
) -> Result<Listing, LeaseError> {
    let mut leases = Vec::new();
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let next = walk(permit, after, limit, |lease| leases.push(lease))?;
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
    let mut visit = |lease: LeaseInfo| {
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
fn group_of(lease: &LeaseInfo, by: CountBy, depth: usize) -> (String, String) {
    match by {
        CountBy::Token => match &lease.owner_accessor {
            Some(accessor) => {
                let name = lease.owner_name.as_str().to_owned();
                (accessor.as_str().to_owned(), name)
            }
            // Batch tokens have none, and that of a token's own lease isn't shown: one group.
            None => Default::default(),
        },
        CountBy::Path => {
            let path = lease.id.path();
            let segments: Vec<_> = path.segments().take(depth + 1).collect();
            (segments.join("/"), String::new())
        }
        CountBy::Role => {
            let role = lease.owner_role.as_ref();
            let role = role.map_or_else(String::new, |role| role.as_str().to_owned());
            (role, String::new())
        }
    }
}

/// Shows each living lease of one page to `visit`; says where the next page begins.
fn walk(
    permit: &Permit<'_, ListLeases>,
    after: Option<&NameChain>,
    limit: usize,
    visit: impl FnMut(LeaseInfo),
) -> Result<Option<NameChain>, LeaseError> {
    let prefix = permit
        .action
        .0
        .as_ref()
        .map_or_else(NameChain::default, |prefix: &Path| {
            permit.context.view.barrier().name_chain(prefix.segments())
        });
    if after.is_some_and(|after| !after.starts_with(&prefix)) {
        return Err(LeaseError::argument("page_token", "not one of this prefix"));
    }
    if permit.has_sudo() {
        walk_all(permit, &prefix, after, limit, visit)
    } else {
        walk_own(permit, &prefix, after, limit, visit)
    }
}

/// The leases and those of tokens, which lie in two tables under the same keys: two pages, of
/// which as much is shown as both have looked at. Those of tokens are shown where the prefix says
/// that they are meant: there may be a million of them among a few others.
fn walk_all(
    permit: &Permit<'_, ListLeases>,
    prefix: &NameChain,
    after: Option<&NameChain>,
    limit: usize,
    visit: impl FnMut(LeaseInfo),
) -> Result<Option<NameChain>, LeaseError> {
    let context = permit.context;
    let of_tokens = permit.action.0.as_ref().is_some_and(makes_tokens);
    let (mut found, tokens_to) = match of_tokens {
        true => token_lease::page(permit, prefix, after, limit)?,
        false => Default::default(),
    };
    let (mut start, end) = range_of::<Leases>(prefix.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<Leases>(after));
    }
    let (mut last, mut owners) = (None, BTreeMap::new());
    for row in context.view.scan::<Leases>((start, end.clone()), limit)? {
        let key = row.key.clone();
        last = Some(key.clone());
        if let Some(lease) = living_among(context, row, &mut owners)? {
            found.insert(key, LeaseInfo::new(lease, context.now));
        }
    }
    // A page may be shorter than asked for where payloads are large: only an empty one
    // tells the end.
    let leases_to = match last {
        None => None,
        Some(last) => {
            let rest = (successor(&key_of::<Leases>(&last)), end);
            let more = !context.view.scan::<Leases>(rest, 1)?.is_empty();
            Some(last).filter(|_| more)
        }
    };
    let mut next = match (tokens_to, leases_to) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    if let Some(end) = &next {
        found.retain(|key, _| key <= end);
    }
    if found.len() > limit {
        next = found.keys().nth(limit.saturating_sub(1)).cloned();
    }
    found.into_values().take(limit).for_each(visit);
    Ok(next)
}

fn walk_own(
    permit: &Permit<'_, ListLeases>,
    prefix: &NameChain,
    after: Option<&NameChain>,
    limit: usize,
    mut visit: impl FnMut(LeaseInfo),
) -> Result<Option<NameChain>, LeaseError> {
    let context = permit.context;
    let (mut last, mut owners) = (None, BTreeMap::new());
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
        // Those of a batch token lie under its parent, too, and aren't the parent's.
        let lease = context.view.get::<Leases>(&key)?;
        if let Some(row) = lease.filter(|row| row.value.token == *owner)
            && let Some(lease) = living_among(context, row, &mut owners)?
        {
            visit(LeaseInfo::new(lease, context.now));
        }
        last = Some(key);
    }
    Ok(last.filter(|_| full))
}
