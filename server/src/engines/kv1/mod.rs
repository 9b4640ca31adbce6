//! kv version 1: one value for each name, replaced whole. It gives back the very bytes that
//! were written, and keeps nothing of what was there before.

use tenure_core::{
    barrier::NameHash,
    names::Place,
    random::Random,
    state::{SecretRecord, Secrets, Txn},
    token::Plan,
    types::{Secret, Ttl},
};

use super::{Ask, Desk, EngineError, Reply, Spot, check_name, json};

pub(super) fn plan(
    desk: Desk<'_>,
    spot: Spot<'_>,
    ask: Ask<'_>,
    random: &mut dyn Random,
) -> Result<Plan<Reply>, EngineError> {
    check_name(spot.below)?;
    let view = desk.context.view;
    let place = Place::new(view.barrier(), spot.mount.id, spot.below);
    let mut txn = Txn::default();
    if let Ask::List(after, limit) = ask {
        let response = list(desk, &place, after, limit)?;
        return Ok(Plan { txn, response });
    }
    if spot.below.is_empty() {
        // The mount itself holds nothing.
        return Err(EngineError::Unsupported);
    }
    let key = place.key();
    let response = match ask {
        Ask::Read(_) => {
            let row = view.get::<Secrets>(&key)?.ok_or(EngineError::NotFound)?;
            let data = row.value.data.expose().clone();
            let advice = advice(&data);
            Reply {
                data: data.into(),
                lease_duration: Some(
                    advice.unwrap_or(spot.mount.effective_default_ttl(desk.context.ttl)),
                ),
                ..Reply::default()
            }
        }
        Ask::Write(data) => {
            let text = json::object(data)?;
            if json::fields(text)?.is_empty() {
                return Err(EngineError::argument(
                    "data",
                    "a secret has at least one field",
                ));
            }
            let record = SecretRecord {
                data: Secret::new(text.as_bytes().to_vec()),
                written: desk.context.now,
            };
            place.add(view, &mut txn, random)?;
            txn.insert::<Secrets>(view.barrier(), &key, &record, random)?;
            Reply::default()
        }
        Ask::Delete => {
            if view.get::<Secrets>(&key)?.is_some() {
                txn.delete::<Secrets>(&key);
                place.remove(view, &mut txn, random)?;
            }
            Reply::default()
        }
        Ask::Patch(_) | Ask::List(..) => return Err(EngineError::Unsupported),
    };
    Ok(Plan { txn, response })
}

/// Whether there is a secret.
pub(super) fn exists(desk: Desk<'_>, spot: Spot<'_>) -> Result<bool, EngineError> {
    let view = desk.context.view;
    let place = Place::new(view.barrier(), spot.mount.id, spot.below);
    Ok(view.get::<Secrets>(&place.key())?.is_some())
}

/// A page of the names in a folder.
pub(super) fn list(
    desk: Desk<'_>,
    folder: &Place<'_>,
    after: &str,
    limit: usize,
) -> Result<Reply, EngineError> {
    let after = match after {
        "" => None,
        text => Some(
            hex::decode(text)
                .ok()
                .and_then(|bytes| NameHash::from_slice(&bytes))
                .ok_or_else(|| EngineError::argument("page_token", "not one of ours"))?,
        ),
    };
    let page = folder.list(desk.context.view, after.as_ref(), limit)?;
    if page.names.is_empty() && after.is_none() {
        return Err(EngineError::NotFound);
    }
    Ok(Reply {
        keys: page.names,
        next_page: page
            .next
            .map_or_else(String::new, |next| hex::encode(next.as_bytes())),
        ..Reply::default()
    })
}

/// What the secret itself says about when to read it again. What isn't a duration is a field
/// like any other.
fn advice(data: &[u8]) -> Option<Ttl> {
    let fields = json::fields(std::str::from_utf8(data).ok()?).ok()?;
    let name = ["ttl", "lease"]
        .into_iter()
        .find(|name| fields.contains_key(*name))?;
    json::duration(&fields, name).ok().flatten()
}
