//! What a token looks like to those who may see it. It writes nothing.

use super::{
    Caller, Context, Entry, Lookup, Permit, Target, TokenError, TokenType,
    entry::{find, live},
};
use crate::{
    state::Accessors,
    types::{
        Accessor, Cidrs, DisplayName, Expiry, Meta, PolicySet, RoleName, TokenId, Ttl, UnixMillis,
    },
};

/// A token as it is shown.
#[derive(Clone, Debug)]
pub struct TokenInfo {
    /// The id, if the caller knew it already.
    pub id: Option<TokenId>,
    /// Handle for those who manage it; a batch token has none.
    pub accessor: Option<Accessor>,
    /// Its kind.
    pub kind: TokenType,
    /// When it was made (and issued).
    pub creation_time: UnixMillis,
    /// What it was granted then; `None`: without end.
    pub creation_ttl: Option<Ttl>,
    /// Name for listings.
    pub display_name: DisplayName,
    /// When it ends by itself.
    pub expiry: Expiry,
    /// The longest life that its maker allows.
    pub explicit_max_ttl: Option<Ttl>,
    /// When it was renewed last.
    pub last_renewal: Option<UnixMillis>,
    /// Free-form data of its maker.
    pub meta: Meta,
    /// As the peers show it: 0 is unlimited, -1 is the last use while it is served.
    pub num_uses: i64,
    /// Whether it depends on no other token.
    pub orphan: bool,
    /// The request path that made it.
    pub path: String,
    /// Each renewal gives it this long.
    pub period: Option<Ttl>,
    /// What it may do.
    pub policies: PolicySet,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whole seconds left; `None`: without end.
    pub ttl: Option<Ttl>,
    /// The role that it was made with.
    pub role: Option<RoleName>,
    /// Networks that it may be used from.
    pub bound_cidrs: Cidrs,
}

impl TokenInfo {
    pub(super) fn new(entry: &Entry, id: Option<TokenId>, now: UnixMillis) -> Self {
        let record = entry.record.clone();
        Self {
            id,
            kind: entry.kind(),
            orphan: entry.is_orphan(),
            accessor: record.accessor,
            creation_time: record.created,
            creation_ttl: record.creation_ttl,
            display_name: record.display_name,
            expiry: record.expiry,
            explicit_max_ttl: record.explicit_max_ttl,
            last_renewal: record.last_renewal,
            meta: record.meta,
            num_uses: record.uses_left.map_or(0, |uses| uses.get().into()),
            path: record.path,
            period: record.period,
            policies: record.policies,
            renewable: record.renewable && record.expiry != Expiry::Never,
            ttl: record.expiry.remaining(now),
            role: record.role,
            bound_cidrs: record.bound_cidrs,
        }
    }

    /// The caller as it sees itself.
    pub fn of_caller(caller: &Caller, now: UnixMillis) -> Self {
        let info = Self::new(&caller.entry, Some(TokenId::clone(&caller.id)), now);
        if caller.spent {
            Self {
                num_uses: -1,
                ..info
            }
        } else {
            info
        }
    }
}

/// Shows one token.
pub fn lookup(permit: &Permit<'_, Lookup>) -> Result<TokenInfo, TokenError> {
    let context = permit.context;
    if let Target::Caller = permit.action.0 {
        return Ok(TokenInfo::of_caller(&permit.caller, context.now));
    }
    let (entry, id) =
        resolve(context, &permit.caller, &permit.action.0)?.ok_or(TokenError::NotFound)?;
    if permit.caller.spent && entry.hash == permit.caller.entry.hash {
        let info = TokenInfo::of_caller(&permit.caller, context.now);
        return Ok(TokenInfo { id, ..info });
    }
    Ok(TokenInfo::new(&entry, id, context.now))
}

/// The living token that a request is about.
///
/// # Errors
/// There is no such token, or the state can't be read.
pub(crate) fn lookup_target<A>(
    permit: &Permit<'_, A>,
    target: &Target,
) -> Result<Entry, TokenError> {
    let found = resolve(permit.context, &permit.caller, target)?;
    Ok(found.ok_or(TokenError::NotFound)?.0)
}

/// The living token that a request is about, and its id if the caller knows it.
pub(super) fn resolve(
    context: Context<'_>,
    caller: &Caller,
    target: &Target,
) -> Result<Option<(Entry, Option<TokenId>)>, TokenError> {
    let barrier = context.view.barrier();
    let (hash, id) = match target {
        Target::Caller => (caller.entry.hash, Some(TokenId::clone(&caller.id))),
        Target::Id(id) if id.is_batch() => {
            let found = find(context, id)?;
            return Ok(found.map(|entry| (entry, Some(id.clone()))));
        }
        Target::Id(id) => (barrier.token_hash(id), Some(id.clone())),
        Target::Accessor(accessor) => {
            // One that has paid knows itself better than the rows do.
            if caller.paid && caller.entry.record.accessor.as_ref() == Some(accessor) {
                return Ok(Some((Entry::clone(&caller.entry), None)));
            }
            match context
                .view
                .get::<Accessors>(&barrier.accessor_hash(accessor))?
            {
                Some(row) => (row.value.token, None),
                None => return Ok(None),
            }
        }
    };
    if hash == caller.entry.hash && (caller.is_current_in(context) || caller.entry.is_batch()) {
        return Ok(Some((Entry::clone(&caller.entry), id)));
    }
    Ok(live(context, &hash)?.map(|entry| (entry, id)))
}
