//! From a token id to a living token. The one place that decides whether a token lives.

use std::sync::Arc;

use super::{Context, TokenError, TokenType, batch, path_revocation::path_killed};
use crate::{
    barrier::TokenHash,
    state::{Row, TokenRecord, Tokens, Tombstones, ViewMark},
    types::{PolicySet, TokenId, UnixMillis},
};

/// A token that lives.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) hash: TokenHash,
    pub(super) record: TokenRecord,
    /// Revision that created the record.
    pub(super) created: u64,
    /// What it still depends on, oldest first.
    pub(super) ancestors: Vec<TokenHash>,
}

impl Entry {
    /// The hash that stands for it.
    pub fn hash(&self) -> &TokenHash {
        &self.hash
    }

    /// Its record.
    pub fn record(&self) -> &TokenRecord {
        &self.record
    }

    /// Revision that created its record.
    pub fn created_revision(&self) -> u64 {
        self.created
    }

    /// Its kind.
    pub fn kind(&self) -> TokenType {
        match self.record.accessor {
            Some(_) => TokenType::Service,
            None => TokenType::Batch,
        }
    }

    /// Whether nothing is stored of it.
    pub fn is_batch(&self) -> bool {
        self.kind() == TokenType::Batch
    }

    /// Whether it depends on no other token.
    pub fn is_orphan(&self) -> bool {
        self.ancestors.is_empty()
    }

    /// Its row, to be changed and written back.
    pub(super) fn into_row(self) -> Row<Tokens> {
        Row {
            key: self.hash,
            value: self.record,
            create_revision: self.created,
            mod_revision: self.created,
        }
    }
}

/// The token that a request was made with, alive when it was looked at.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) id: Arc<TokenId>,
    pub(super) entry: Arc<Entry>,
    /// Where and when it was looked at.
    pub(super) seen: Seen,
    /// This request has paid a use: the entry counts it already, though nothing is written
    /// yet.
    pub(super) paid: bool,
    /// This request is its last use: its record goes with it.
    pub(super) spent: bool,
}

/// The view that a caller was looked at in, and the time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen(ViewMark, UnixMillis);

impl Seen {
    pub(super) fn of(context: Context<'_>) -> Self {
        Self(context.view.mark().clone(), context.now)
    }
}

impl Caller {
    /// The same, alive in this view and at this time: it is looked at again unless that is where
    /// it was looked at, where all that its life rests on is noted, and the same.
    pub(super) fn alive_in(&self, context: Context<'_>) -> Result<Self, TokenError> {
        if self.is_current_in(context) {
            return Ok(self.clone());
        }
        let entry = again(context, &self.entry)?.ok_or(TokenError::InvalidToken)?;
        Ok(Self {
            entry: Arc::new(entry),
            seen: Seen::of(context),
            ..self.clone()
        })
    }

    /// Whether its entry is what this view says of it. One that has paid a use was looked at in the
    /// view of its call, and counts that use already.
    pub(super) fn is_current_in(&self, context: Context<'_>) -> bool {
        self.paid || self.seen == Seen::of(context)
    }

    /// The token.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its policies.
    pub fn policies(&self) -> &PolicySet {
        &self.entry.record.policies
    }

    /// Whether it may do everything.
    pub fn is_root(&self) -> bool {
        self.entry.record.policies.is_root()
    }

    /// Whether each request spends one of its uses: see [`super::spend_use`].
    pub fn is_use_limited(&self) -> bool {
        self.entry.record.uses_left.is_some()
    }

    /// Whether this request is its last use.
    pub fn is_spent(&self) -> bool {
        self.spent
    }
}

/// The living token of this id, if it may be used from where the caller is. Unknown, expired and
/// revoked ones, and those that are used from elsewhere give the same error.
pub fn identify(context: Context<'_>, id: &TokenId) -> Result<Caller, TokenError> {
    let entry = find(context, id)?.ok_or(TokenError::InvalidToken)?;
    if !entry.record.bound_cidrs.admit(context.remote) {
        return Err(TokenError::InvalidToken);
    }
    Ok(Caller {
        id: Arc::new(id.clone()),
        entry: Arc::new(entry),
        seen: Seen::of(context),
        paid: false,
        spent: false,
    })
}

/// The token of this id, if it lives, stored or not.
pub(super) fn find(context: Context<'_>, id: &TokenId) -> Result<Option<Entry>, TokenError> {
    if id.is_batch() {
        return batch::open(context, id);
    }
    live(context, &context.view.barrier().token_hash(id))
}

/// A token that was looked at before, if it lives in this view.
pub(super) fn again(context: Context<'_>, entry: &Entry) -> Result<Option<Entry>, TokenError> {
    if !entry.is_batch() {
        return live(context, &entry.hash);
    }
    let lives = batch::lives(context, &batch::owner_of(entry))?;
    Ok(lives.then(|| entry.clone()))
}

/// The token of this hash, if it is stored and lives. All that the answer depends on is noted in the
/// view, so that a transaction built on it is sent back when any of it changes: a
/// revocation of an ancestor, too.
pub(crate) fn live(context: Context<'_>, hash: &TokenHash) -> Result<Option<Entry>, TokenError> {
    let view = context.view;
    let Some(row) = view.get::<Tokens>(hash)? else {
        return Ok(None);
    };
    view.note::<Tombstones>(hash);
    // A cut needs no note of its own: it deletes the record of an ancestor, which is read
    // below.
    for ancestor in &row.value.ancestors {
        view.note::<Tombstones>(ancestor);
    }
    let created = row.create_revision;
    let ancestors = context
        .revocations
        .uncut(&row.value.ancestors, created)
        .to_vec();
    if row.value.expiry.is_past(context.now)
        || context.revocations.kill(hash, &ancestors, created)
        || path_killed(context, &row.value.path, created)
    {
        return Ok(None);
    }
    if !ancestors_live(context, &ancestors, created)? {
        return Ok(None);
    }
    Ok(Some(Entry {
        hash: *hash,
        record: row.value,
        created,
        ancestors,
    }))
}

/// Whether all that a token of this age depends on lives.
fn ancestors_live(
    context: Context<'_>,
    ancestors: &[TokenHash],
    created: u64,
) -> Result<bool, TokenError> {
    for ancestor in ancestors {
        let row = context.view.get::<Tokens>(ancestor)?;
        let alive = row.is_some_and(|ancestor| {
            // One that is younger than its descendant is another token under a chosen id.
            ancestor.create_revision < created
                && !ancestor.value.expiry.is_past(context.now)
                && !path_killed(context, &ancestor.value.path, ancestor.create_revision)
        });
        if !alive {
            return Ok(false);
        }
    }
    Ok(true)
}
