//! Listing tokens: who has which, a bounded page at a time. Batch tokens are stored nowhere, and so
//! aren't listed. It writes nothing.

use super::{ListTokens, Permit, TokenError, TokenInfo, entry::live};
use crate::{
    barrier::AccessorHash,
    state::{Accessors, key_of, range_of, successor},
    types::{
        PolicyName, RoleName, UnixMillis,
        limits::{PAGE_ROWS_MAX, TOKENS_LOOKED_AT_MAX},
    },
};

/// Which tokens are listed: those that are all of this. What isn't named doesn't matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Made with this role.
    pub role: Option<RoleName>,
    /// Has this policy by name.
    pub policy: Option<PolicyName>,
    /// Its display name begins so.
    pub name_prefix: String,
    /// Whether it has no parent.
    pub orphan: Option<bool>,
    /// Ends before this.
    pub ends_before: Option<UnixMillis>,
}

impl Filter {
    fn admits(&self, token: &TokenInfo) -> bool {
        let ends = |before: UnixMillis| token.expiry.at().is_some_and(|at| at < before);
        (self.role.is_none() || self.role == token.role)
            && self
                .policy
                .as_ref()
                .is_none_or(|name| token.policies.contains(name))
            && token.display_name.as_str().starts_with(&self.name_prefix)
            && self.orphan.is_none_or(|orphan| orphan == token.orphan)
            && self.ends_before.is_none_or(ends)
    }
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The tokens of this page that live, in storage order. There may be none on a page
    /// that isn't the last.
    pub tokens: Vec<TokenInfo>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<AccessorHash>,
}

/// Lists tokens, a page at a time: those after `after`, at most `limit` of them. A page looks at a
/// bounded number of tokens, however few of them are listed.
pub fn list(
    permit: &Permit<'_, ListTokens>,
    filter: &Filter,
    after: Option<&AccessorHash>,
    limit: usize,
) -> Result<Listing, TokenError> {
    let context = permit.context;
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let (mut start, end) = range_of::<Accessors>(&[]);
    if let Some(after) = after {
        start = successor(&key_of::<Accessors>(after));
    }
    let (mut tokens, mut looked_at) = (Vec::new(), 0);
    loop {
        // No more than may still be listed: so that no row is looked at and left out.
        let rows = limit - tokens.len();
        let found = context
            .view
            .scan::<Accessors>((start.clone(), end.clone()), rows)?;
        let Some(last) = found.last().map(|row| row.key) else {
            return Ok(Listing { tokens, next: None });
        };
        looked_at += found.len();
        let is_end = found.len() < rows;
        for row in found {
            if let Some(entry) = live(context, &row.value.token)? {
                let token = TokenInfo::new(&entry, None, context.now);
                tokens.extend(Some(token).filter(|token| filter.admits(token)));
            }
        }
        if is_end {
            return Ok(Listing { tokens, next: None });
        }
        if tokens.len() >= limit || looked_at >= TOKENS_LOOKED_AT_MAX {
            let next = Some(last);
            return Ok(Listing { tokens, next });
        }
        start = successor(&key_of::<Accessors>(&last));
    }
}
