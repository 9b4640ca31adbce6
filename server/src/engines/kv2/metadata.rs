//! `metadata/`: what is known of a secret, and what of it the caller decides.

use std::collections::BTreeMap;

use serde_json::{Map, json};
use tenure_core::types::{Meta, limits::KV_VERSIONS_MAX};

use super::{
    super::{Ask, EngineError, Reply, json},
    Call,
    known::{Known, version_times},
};

/// The fields that a caller decides.
const FIELDS: [&str; 4] = [
    "max_versions",
    "cas_required",
    "delete_version_after",
    "custom_metadata",
];

impl Call<'_, '_> {
    pub(super) fn metadata(&mut self, ask: Ask<'_>) -> Result<Reply, EngineError> {
        let (view, now) = (self.desk.context.view, self.desk.context.now);
        let known = Known::load(view, self.place.key())?;
        match ask {
            Ask::Read(_) => Ok(Reply::data(show(&known.ok_or(EngineError::NotFound)?))),
            Ask::Write(data) => {
                let fields = json::parse(data)?;
                let mut known = known.unwrap_or_else(|| Known::new(self.place.key(), now));
                set(&mut known, &fields)?;
                if let Some(custom) = json::field(&fields, "custom_metadata") {
                    known.record.custom = meta(entries(custom)?)?;
                }
                self.keep(known, &fields)
            }
            Ask::Patch(data) => {
                let fields = json::parse(data)?;
                let mut known = known.ok_or(EngineError::NotFound)?;
                take_back(&mut known, &fields);
                set(&mut known, &fields)?;
                if let Some(custom) = json::field(&fields, "custom_metadata") {
                    let old = known.record.custom.iter();
                    let old = old.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    let mut merged: BTreeMap<_, _> = old.collect();
                    for (key, value) in entries(custom)? {
                        match value.get() {
                            "null" => drop(merged.remove(&key)),
                            value => drop(merged.insert(key, text(value)?)),
                        }
                    }
                    let merged = merged.into_iter();
                    known.record.custom = Meta::new(merged).map_err(bad_custom)?;
                }
                self.keep(known, &fields)
            }
            Ask::Delete => {
                if let Some(known) = known {
                    known.delete(&mut self.txn);
                    self.place.remove(view, &mut self.txn, self.random)?;
                }
                Ok(Reply::default())
            }
            Ask::List(..) => Err(EngineError::Unsupported),
        }
    }

    fn keep(&mut self, mut known: Known, fields: &json::Fields<'_>) -> Result<Reply, EngineError> {
        let view = self.desk.context.view;
        if known.is_new() {
            self.place.add(view, &mut self.txn, self.random)?;
        }
        known.record.updated = self.desk.context.now;
        known.store(view, &mut self.txn, self.random)?;
        Ok(Reply {
            warnings: json::ignored(fields, &FIELDS),
            ..Reply::default()
        })
    }
}

/// Sets the fields that are given, but for the caller's own.
fn set(known: &mut Known, fields: &json::Fields<'_>) -> Result<(), EngineError> {
    if let Some(max) = max_versions(fields)? {
        known.record.max_versions = max;
    }
    if let Some(required) = json::flag(fields, "cas_required")? {
        known.record.cas_required = required;
    }
    if let Some(after) = json::duration(fields, "delete_version_after")? {
        known.record.delete_after = Some(after).filter(|after| !after.is_zero());
    }
    Ok(())
}

/// Takes back the fields that a patch names as `null`.
fn take_back(known: &mut Known, fields: &json::Fields<'_>) {
    let is_null = |name| fields.get(name).is_some_and(|raw| raw.get() == "null");
    let record = &mut known.record;
    if is_null("max_versions") {
        record.max_versions = None;
    }
    if is_null("cas_required") {
        record.cas_required = false;
    }
    if is_null("delete_version_after") {
        record.delete_after = None;
    }
    if is_null("custom_metadata") {
        record.custom = Meta::default();
    }
}

/// How many versions are to be kept; inner `None`: as if nothing were said.
pub(super) fn max_versions(fields: &json::Fields<'_>) -> Result<Option<Option<u32>>, EngineError> {
    let Some(max) = json::number(fields, "max_versions")? else {
        return Ok(None);
    };
    match u32::try_from(max) {
        Ok(0) => Ok(Some(None)),
        Ok(max) if max <= KV_VERSIONS_MAX => Ok(Some(Some(max))),
        _ => {
            let problem = format!("at most {KV_VERSIONS_MAX}");
            Err(EngineError::argument("max_versions", problem))
        }
    }
}

fn entries(text: &str) -> Result<json::Fields<'_>, EngineError> {
    match text.starts_with('{') {
        true => json::fields(text),
        false => Err(EngineError::argument(
            "custom_metadata",
            "not a JSON object",
        )),
    }
}

fn text(value: &str) -> Result<String, EngineError> {
    json::string(value).ok_or_else(|| EngineError::argument("custom_metadata", "values are texts"))
}

fn meta(entries: json::Fields<'_>) -> Result<Meta, EngineError> {
    let texts = entries
        .into_iter()
        .map(|(key, value)| Ok((key, text(value.get())?)));
    Meta::new(texts.collect::<Result<Vec<_>, EngineError>>()?).map_err(bad_custom)
}

fn bad_custom(error: tenure_core::types::MetaError) -> EngineError {
    EngineError::argument("custom_metadata", error)
}

/// The metadata as clients see it.
fn show(known: &Known) -> String {
    let record = &known.record;
    let versions = record.versions.iter();
    let versions: Map<_, _> = versions
        .map(|info| (info.version.to_string(), version_times(info)))
        .collect();
    json!({
        "cas_required": record.cas_required,
        "created_time": json::time(record.created),
        "current_version": record.current,
        "custom_metadata": known.custom(),
        "delete_version_after": json::go_duration(record.delete_after),
        "max_versions": record.max_versions.unwrap_or(0),
        "oldest_version": record.oldest,
        "updated_time": json::time(record.updated),
        "versions": versions,
    })
    .to_string()
}
