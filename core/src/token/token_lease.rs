//! The lease of a token: an id under the path that made it, by which it is listed with the leases,
//! looked up and ended. Its last segment is a keyed hash of the token's: nobody computes it, and it
//! leads to neither the token nor its accessor.

use super::{
    Context, Entry, TokenError,
    revoke::{end_tree, tell},
};
use crate::{
    barrier::{Barrier, NameChain, TokenHash},
    random::Random,
    state::{EventKind, Txn},
    types::{LeaseId, Path},
};

/// Where the lease of a token stands in the table of them.
pub(crate) fn key_of_token_lease(barrier: &Barrier, token: &TokenHash, path: &str) -> NameChain {
    let suffix = format!(
        "h{}",
        hex::encode(barrier.token_lease_hash(token).as_bytes())
    );
    barrier.name_chain(path.split('/').chain([suffix.as_str()]))
}

/// The id of a token's lease; `None` for a record whose path is none.
pub(crate) fn lease_id_of(barrier: &Barrier, token: &Entry) -> Option<LeaseId> {
    let path = Path::parse(&token.record.path).ok()?;
    Some(LeaseId::of_token(
        path,
        &barrier.token_lease_hash(&token.hash),
    ))
}

/// Ends a token with its tree, by its lease.
pub(crate) fn end(
    context: Context<'_>,
    txn: &mut Txn,
    token: &Entry,
    random: &mut dyn Random,
) -> Result<(), TokenError> {
    end_tree(
        context,
        txn,
        &token.hash,
        &token.record,
        token.created,
        random,
    )?;
    tell(context, txn, EventKind::Revoked, token);
    Ok(())
}
