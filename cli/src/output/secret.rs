//! Secrets, names and mounts as the commands show them.

use serde_json::{Map, Value, json};
use tenure_client::proto;

use super::{Envelope, Report, columns, key_values, plain};
use crate::{duration, failure::Failure};

type Shown = Envelope<Map<String, Value>, ()>;

/// The JSON object of an answer.
fn object(data: &[u8]) -> Result<Map<String, Value>, Failure> {
    if data.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(data)
        .map_err(|_| Failure::local("Error: the server's answer isn't a JSON object"))
}

fn rows(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let fields = fields.iter();
    fields
        .map(|(key, value)| (key.clone(), plain(value)))
        .collect()
}

/// What `read` shows, and `write` where the engine answers.
pub(crate) fn data_report(
    data: &[u8],
    lease_duration: Option<prost_types::Duration>,
    warnings: Vec<String>,
    request_id: Option<String>,
) -> Result<Report<Shown>, Failure> {
    let data = object(data)?;
    let mut table = rows(&data);
    let seconds = lease_duration.map_or(0, |duration| duration.seconds);
    if lease_duration.is_some() {
        table.insert(0, ("refresh_interval".into(), duration::show(seconds)));
    }
    Ok(Report {
        table: key_values(&table),
        document: Envelope::data(data.clone())
            .with_life(seconds, &warnings)
            .with_request_id(request_id),
        fields: data,
        warnings,
    })
}

/// What `kv get` shows: the parts of a versioned secret under headings, `-field` of the secret
/// itself.
pub(crate) fn kv_report(
    path: &str,
    data: &[u8],
    warnings: Vec<String>,
    request_id: Option<String>,
) -> Result<Report<Shown>, Failure> {
    let data = object(data)?;
    let part = |name: &str| data.get(name).and_then(Value::as_object).cloned();
    let (fields, metadata) = (part("data"), part("metadata"));
    let mut table = String::new();
    heading(&mut table, "Secret Path", &format!("{path}\n"));
    if let Some(metadata) = &metadata {
        heading(&mut table, "Metadata", &key_values(&rows(metadata)));
    }
    match (&fields, &metadata) {
        (Some(fields), _) => heading(&mut table, "Data", &key_values(&rows(fields))),
        (None, None) => heading(&mut table, "Data", &key_values(&rows(&data))),
        // Deleted: nothing to show.
        (None, Some(_)) => {}
    }
    let versioned = metadata.is_some();
    Ok(Report {
        table: table.trim_start_matches('\n').to_owned(),
        document: Envelope::data(data.clone())
            .with_life(0, &warnings)
            .with_request_id(request_id),
        fields: match versioned {
            true => fields.unwrap_or_default(),
            false => data,
        },
        warnings,
    })
}

fn heading(table: &mut String, title: &str, body: &str) {
    let widths = body.lines().map(|line| line.chars().count());
    let bars = widths.max().unwrap_or(0).saturating_sub(title.len() + 2) / 2;
    let bars = "=".repeat(bars.max(3));
    table.push_str(&format!("\n{bars} {title} {bars}\n{body}"));
}

/// What `list` shows.
pub(crate) fn keys_report(keys: &[String]) -> Report<Vec<String>> {
    let rows: Vec<_> = keys.iter().map(|key| vec![key.clone()]).collect();
    Report {
        table: columns(&["Keys"], &rows),
        document: keys.to_vec(),
        fields: Map::from_iter([("keys".to_owned(), json!(keys))]),
        warnings: Vec::new(),
    }
}

/// What `secrets list` shows.
pub(crate) fn mounts_report(
    mounts: &[proto::MountInfo],
    detailed: bool,
) -> Report<Map<String, Value>> {
    let seconds = |config: &Option<proto::MountConfig>, max: bool| {
        let ttl = config.as_ref().and_then(|config| match max {
            true => config.max_lease_ttl,
            false => config.default_lease_ttl,
        });
        ttl.map_or(0, |ttl| ttl.seconds)
    };
    let document = mounts.iter().map(|mount| {
        let options = (!mount.options.is_empty()).then_some(&mount.options);
        let shown = json!({
            "accessor": mount.accessor,
            "config": {
                "default_lease_ttl": seconds(&mount.config, false),
                "max_lease_ttl": seconds(&mount.config, true),
            },
            "description": mount.description,
            "options": options,
            "type": mount.r#type,
            "uuid": mount.uuid,
        });
        (mount.path.clone(), shown)
    });
    let document: Map<_, _> = document.collect();
    let header: &[&str] = match detailed {
        false => &["Path", "Type", "Accessor", "Description"],
        true => &[
            "Path",
            "Type",
            "Accessor",
            "Default TTL",
            "Max TTL",
            "Options",
            "Description",
            "UUID",
        ],
    };
    let ttl = |seconds| match seconds {
        0 => "system".to_owned(),
        seconds => duration::show(seconds),
    };
    let row = |mount: &proto::MountInfo| {
        let start = [&mount.path, &mount.r#type, &mount.accessor].map(String::clone);
        let description = match mount.description.as_str() {
            "" => "n/a".to_owned(),
            text => text.to_owned(),
        };
        match detailed {
            false => [&start[..], &[description]].concat(),
            true => {
                let middle = [
                    ttl(seconds(&mount.config, false)),
                    ttl(seconds(&mount.config, true)),
                    plain(&json!(mount.options)),
                    description,
                    mount.uuid.clone(),
                ];
                [&start[..], &middle].concat()
            }
        }
    };
    let rows: Vec<_> = mounts.iter().map(row).collect();
    Report {
        table: columns(header, &rows),
        fields: document.clone(),
        document,
        warnings: Vec::new(),
    }
}
