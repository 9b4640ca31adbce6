//! Revocation by source path: all tokens that were made under a path end in one commit, with all
//! that descends from them; those that are made there later live. What it leaves on disk is
//! cleared away in bounded steps, the leases of batch tokens among it. Its tombstone stays longer than a
//! batch token lives at most: those are stored nowhere, and must not come back to life.

use super::{
    Context, Entry, Plan, Precondition, TokenError,
    revoke::{end_tree, tell},
};
use crate::{
    barrier::NameChain,
    lease,
    random::Random,
    state::{
        EventKind, TokenLeases, TokenPathTombstones, Tokens, Tombstones, Txn, key_of, range_of,
        successor,
    },
    types::{
        Path, UnixMillis,
        limits::{
            BATCH_TTL_SECONDS_MAX, CLEANUP_ROWS_MAX, TOKEN_PATH_TOMBSTONE_MARGIN_MS,
            TOKEN_PATH_TOMBSTONES_MAX,
        },
    },
};

/// First segment of the paths that make tokens.
const AUTH: &str = "auth";

/// Whether tokens are made under a path.
pub(crate) fn makes_tokens(path: &Path) -> bool {
    path.segments().next() == Some(AUTH)
}

/// Whether a token of this age that was made at `path` was revoked by that path. The view notes
/// that it rests on it.
pub(super) fn path_killed(context: Context<'_>, path: &str, created: u64) -> bool {
    let view = context.view;
    view.note::<TokenPathTombstones>(&NameChain::default());
    // The path is hashed only while there is something that it could meet.
    context.revocations.paths().next().is_some()
        && context
            .revocations
            .kill_path(&view.barrier().name_chain(path.split('/')), created)
}

/// Adds the revocation of all tokens that were made under `path` to a transaction.
pub(crate) fn revoke_path(
    context: Context<'_>,
    txn: &mut Txn,
    path: &NameChain,
    random: &mut dyn Random,
) -> Result<(), TokenError> {
    let (view, barrier) = (context.view, context.view.barrier());
    let mut pending = context.revocations.paths();
    let known = pending.any(|known| known == path);
    if !known && context.revocations.paths().count() >= TOKEN_PATH_TOMBSTONES_MAX {
        return Err(Precondition::TooManyPaths.into());
    }
    view.note::<TokenPathTombstones>(path);
    // It says all that those on longer paths say.
    txn.delete_range(range_of::<TokenPathTombstones>(path.as_bytes()));
    for key in [path, &NameChain::default()] {
        txn.insert::<TokenPathTombstones>(barrier, key, &context.now, random)?;
    }
    Ok(())
}

/// Where a clean-up stands, from one step to the next. It is only a shortcut: a new one may be
/// begun at any time.
#[derive(Clone, Debug, Default)]
pub struct PathCursor {
    /// The tombstone that this pass is about.
    revision: u64,
    /// The row that was dealt with last.
    place: Place,
    /// Whether this pass has found something.
    found: bool,
}

/// Behind which row a pass goes on.
#[derive(Clone, Debug)]
enum Place {
    /// Of the tokens that are stored, which come first.
    Tokens(Option<NameChain>),
    /// Of the leases of batch tokens.
    Leases(Option<(NameChain, NameChain)>),
}

impl Default for Place {
    fn default() -> Self {
        Self::Tokens(None)
    }
}

/// What comes after a step.
#[derive(Clone, Debug)]
pub enum PathProgress {
    /// More steps, from here.
    More(PathCursor),
    /// No token is left under the tombstone of this revision, which stays until then.
    Kept(u64, UnixMillis),
    /// Nothing: the tombstone goes with this transaction.
    Done,
}

/// One step behind the tombstone of a path. Tokens that are made under the path, which live, don't
/// send it back.
pub fn clean_up_path(
    context: Context<'_>,
    path: &NameChain,
    mut cursor: PathCursor,
    random: &mut dyn Random,
) -> Result<Plan<PathProgress>, TokenError> {
    let mut txn = Txn::default();
    let row = context.view.get::<TokenPathTombstones>(path)?;
    let (Some(tombstone), Some(row)) = (context.revocations.path(path), row) else {
        return Ok(Plan {
            txn,
            response: PathProgress::Done,
        });
    };
    if cursor.revision != tombstone {
        cursor = PathCursor {
            revision: tombstone,
            ..PathCursor::default()
        };
    }
    let (next, found) = match &cursor.place {
        Place::Tokens(after) => {
            let page = end_tokens(context, &mut txn, path, tombstone, after.as_ref(), random)?;
            let next = page.0.map(|last| Place::Tokens(Some(last)));
            (Some(next.unwrap_or(Place::Leases(None))), page.1)
        }
        Place::Leases(after) => {
            let page = lease::clear_of_batch(context, &mut txn, path, tombstone, after.as_ref())?;
            (page.0.map(|last| Place::Leases(Some(last))), page.1)
        }
    };
    cursor.found |= found;
    let keep_ms = BATCH_TTL_SECONDS_MAX * 1_000 + TOKEN_PATH_TOMBSTONE_MARGIN_MS;
    let kept_until = row.value.saturating_add_ms(keep_ms);
    let response = match (next, cursor.found) {
        (Some(place), _) => PathProgress::More(PathCursor { place, ..cursor }),
        // A second look, in a new pass: nothing may be left when the tombstone goes.
        (None, true) => PathProgress::More(PathCursor::default()),
        (None, false) if context.now < kept_until => PathProgress::Kept(tombstone, kept_until),
        (None, false) => {
            txn.delete::<TokenPathTombstones>(path);
            PathProgress::Done
        }
    };
    Ok(Plan { txn, response })
}

/// Ends the next stored tokens under the path that the tombstone kills. Says which row was the
/// last, if there was one, and whether any was ended.
fn end_tokens(
    context: Context<'_>,
    txn: &mut Txn,
    path: &NameChain,
    tombstone: u64,
    after: Option<&NameChain>,
    random: &mut dyn Random,
) -> Result<(Option<NameChain>, bool), TokenError> {
    let view = context.view;
    let (mut start, end) = range_of::<TokenLeases>(path.as_bytes());
    if let Some(after) = after {
        start = successor(&key_of::<TokenLeases>(after));
    }
    let rows = view.peek::<TokenLeases>((start, end), CLEANUP_ROWS_MAX)?;
    let last = rows.last().map(|row| row.key.clone());
    let mut found = false;
    for row in rows {
        let hash = row.value;
        let Some(token) = view.get::<Tokens>(&hash)? else {
            continue;
        };
        // Who revokes it meanwhile tells its end.
        view.note::<Tombstones>(&hash);
        let dead_anyway = context.revocations.kill(&hash, &[], token.create_revision);
        if token.create_revision <= tombstone && !dead_anyway {
            let created = token.create_revision;
            end_tree(context, txn, &hash, &token.value, created, random)?;
            let entry = Entry {
                hash,
                ancestors: token.value.ancestors.clone(),
                record: token.value,
                created,
            };
            tell(context, txn, EventKind::Revoked, &entry);
            found = true;
        }
    }
    Ok((last, found))
}
