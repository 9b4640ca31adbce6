//! kv version 2: versions of a secret, and what is known of them. It never shows the data of a
//! version that is deleted, and keeps none of one that is destroyed or pruned.
//!
//! What kv version 1 held before an upgrade is version 1 of each secret; it stays where it is
//! until the secret is changed.

mod config;
mod data;
mod known;
mod metadata;
mod versions;

use tenure_core::{names::Place, random::Random, state::Txn, token::Plan};

use self::known::Known;
use super::{Ask, Desk, EngineError, Reply, Spot, check_name, kv1};

/// What the rules of one call stand on.
struct Call<'a, 'r> {
    desk: Desk<'a>,
    spot: Spot<'a>,
    place: Place<'a>,
    txn: Txn,
    random: &'r mut dyn Random,
}

pub(super) fn plan(
    desk: Desk<'_>,
    spot: Spot<'_>,
    ask: Ask<'_>,
    random: &mut dyn Random,
) -> Result<Plan<Reply>, EngineError> {
    let Some((&part, name)) = spot.below.split_first() else {
        return Err(EngineError::NotVersioned);
    };
    check_name(name)?;
    let place = Place::new(desk.context.view.barrier(), spot.mount.id, name);
    if let ("metadata", Ask::List(after, limit)) = (part, ask) {
        return Ok(Plan {
            txn: Txn::default(),
            response: kv1::list(desk, &place, after, limit)?,
        });
    }
    let mut call = Call {
        desk,
        spot,
        place,
        txn: Txn::default(),
        random,
    };
    let response = match (part, name.is_empty()) {
        ("config", true) => call.config(ask)?,
        ("data", false) => call.data(ask)?,
        ("subkeys", false) => call.subkeys(ask)?,
        ("metadata", false) => call.metadata(ask)?,
        ("delete" | "undelete" | "destroy", false) => call.versions(part, ask)?,
        ("data" | "subkeys" | "metadata" | "delete" | "undelete" | "destroy", true) => {
            return Err(EngineError::Unsupported);
        }
        _ => return Err(EngineError::NotVersioned),
    };
    Ok(Plan {
        txn: call.txn,
        response,
    })
}

/// Whether a write changes something that is there.
pub(super) fn exists(desk: Desk<'_>, spot: Spot<'_>) -> Result<bool, EngineError> {
    let Some((&("data" | "metadata"), name)) = spot.below.split_first() else {
        return Ok(true);
    };
    let view = desk.context.view;
    let place = Place::new(view.barrier(), spot.mount.id, name);
    Ok(Known::load(view, place.key())?.is_some())
}
