//! cubbyhole: a token's own secrets, in one record under the token's hash. Nobody else's call
//! leads to it, root's neither, and it goes with the token.

use std::collections::BTreeSet;

use tenure_core::{
    random::Random,
    state::{CubbyholeRecord, Cubbyholes, Row, Txn},
    token::Plan,
    types::{
        Secret,
        limits::{CUBBYHOLE_BYTES_MAX, CUBBYHOLE_SECRETS_MAX, PAGE_ROWS_MAX},
    },
};

use super::{Ask, Desk, EngineError, Reply, check_name, json};

pub(super) fn plan(
    desk: Desk<'_>,
    below: &[&str],
    ask: Ask<'_>,
    random: &mut dyn Random,
) -> Result<Plan<Reply>, EngineError> {
    check_name(below)?;
    let found = load(desk)?;
    let path = below.join("/");
    let mut txn = Txn::default();
    if let Ask::List(after, limit) = ask {
        let secrets = found.map(|row| row.value).unwrap_or_default();
        let response = list(&secrets, &path, after, limit)?;
        return Ok(Plan { txn, response });
    }
    if path.is_empty() {
        return Err(EngineError::Unsupported);
    }
    let response = match ask {
        Ask::Read(_) => {
            let row = found.ok_or(EngineError::NotFound)?;
            let data = row.value.secrets.get(&path).ok_or(EngineError::NotFound)?;
            Reply {
                data: data.expose().clone().into(),
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
            let data = Secret::new(text.as_bytes().to_vec());
            change(desk, found, &mut txn, random, |secrets| {
                secrets.secrets.insert(path, data);
            })?;
            Reply::default()
        }
        Ask::Delete => {
            if found
                .as_ref()
                .is_some_and(|row| row.value.secrets.contains_key(&path))
            {
                change(desk, found, &mut txn, random, |secrets| {
                    secrets.secrets.remove(&path);
                })?;
            }
            Reply::default()
        }
        Ask::Patch(_) | Ask::List(..) => return Err(EngineError::Unsupported),
    };
    Ok(Plan { txn, response })
}

/// Whether there is a secret.
pub(super) fn exists(desk: Desk<'_>, below: &[&str]) -> Result<bool, EngineError> {
    let path = below.join("/");
    Ok(load(desk)?.is_some_and(|row| row.value.secrets.contains_key(&path)))
}

/// The caller's own record. One that is as old as the token or older was another token's,
/// which had the same chosen id.
fn load(desk: Desk<'_>) -> Result<Option<Row<Cubbyholes>>, EngineError> {
    let entry = desk.caller.entry();
    let row = desk.context.view.get::<Cubbyholes>(entry.hash())?;
    Ok(row.filter(|row| row.create_revision > entry.created_revision()))
}

fn change(
    desk: Desk<'_>,
    found: Option<Row<Cubbyholes>>,
    txn: &mut Txn,
    random: &mut dyn Random,
    edit: impl FnOnce(&mut CubbyholeRecord),
) -> Result<(), EngineError> {
    // Its record goes with this very call: nothing would clear away what is written behind it.
    if desk.caller.is_spent() {
        return Err(EngineError::LastUse);
    }
    let (barrier, hash) = (desk.context.view.barrier(), desk.caller.entry().hash());
    match found {
        None => {
            let mut record = CubbyholeRecord::default();
            edit(&mut record);
            check(&record)?;
            txn.insert::<Cubbyholes>(barrier, hash, &record, random)?;
        }
        Some(mut row) => {
            edit(&mut row.value);
            if row.value.secrets.is_empty() {
                txn.delete::<Cubbyholes>(hash);
                return Ok(());
            }
            check(&row.value)?;
            txn.update::<Cubbyholes>(barrier, &row, random)?;
        }
    }
    Ok(())
}

fn check(record: &CubbyholeRecord) -> Result<(), EngineError> {
    let sizes = record.secrets.iter();
    let bytes: usize = sizes
        .map(|(path, data)| path.len() + data.expose().len())
        .sum();
    if record.secrets.len() > CUBBYHOLE_SECRETS_MAX || bytes > CUBBYHOLE_BYTES_MAX {
        return Err(EngineError::CubbyholeFull);
    }
    Ok(())
}

/// The names in a folder, in order; the token of a page is the last name of the page before.
fn list(
    record: &CubbyholeRecord,
    folder: &str,
    after: &str,
    limit: usize,
) -> Result<Reply, EngineError> {
    let bad_token = || EngineError::argument("page_token", "not one of ours");
    let after = hex::decode(after).map_err(|_| bad_token())?;
    let after = String::from_utf8(after).map_err(|_| bad_token())?;
    let prefix = match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let below = record
        .secrets
        .keys()
        .filter_map(|path| path.strip_prefix(&prefix));
    let names: BTreeSet<_> = below
        .map(|rest| match rest.split_once('/') {
            Some((first, _)) => format!("{first}/"),
            None => rest.to_owned(),
        })
        .collect();
    if names.is_empty() {
        return Err(EngineError::NotFound);
    }
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let mut rest = names.into_iter().filter(|name| *name > after);
    let keys: Vec<_> = rest.by_ref().take(limit).collect();
    let next_page = match (rest.next(), keys.last()) {
        (Some(_), Some(last)) => hex::encode(last),
        _ => String::new(),
    };
    Ok(Reply {
        keys,
        next_page,
        ..Reply::default()
    })
}
