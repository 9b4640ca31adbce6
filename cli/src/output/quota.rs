//! Quotas as the commands show them.

use serde_json::{Map, Value, json};
use tenure_client::proto;

use super::{Report, columns, key_values};
use crate::duration;

/// A field: its name, what it is, and how it is shown.
type Field = (&'static str, Value, String);

/// Rows as a table, or without a header the one row as a list of its fields.
fn report(header: Option<&[&str]>, rows: Vec<Vec<Field>>) -> Report<Value> {
    let object = |row: &[Field]| -> Map<String, Value> {
        let fields = row
            .iter()
            .map(|(name, value, _)| ((*name).to_owned(), value.clone()));
        fields.collect()
    };
    let (None, [row]) = (header, &rows[..]) else {
        let texts: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|(_, _, text)| text.clone()).collect())
            .collect();
        return Report {
            table: columns(header.unwrap_or_default(), &texts),
            document: rows.iter().map(|row| Value::from(object(row))).collect(),
            fields: Map::new(),
            warnings: Vec::new(),
        };
    };
    let texts = row
        .iter()
        .map(|(name, _, text)| ((*name).to_owned(), text.clone()));
    let fields = object(row);
    Report {
        table: key_values(&texts.collect::<Vec<_>>()),
        document: fields.clone().into(),
        fields,
        warnings: Vec::new(),
    }
}

/// What `quota rate-limit list` shows, or with `one` what `read` does.
pub(crate) fn rate_limits_report(limits: &[proto::RateLimit], one: bool) -> Report<Value> {
    let seconds = |at: &Option<prost_types::Duration>| at.as_ref().map(|at| at.seconds);
    let rows = limits.iter().map(|limit| {
        let interval = seconds(&limit.interval).unwrap_or_default();
        let block = seconds(&limit.block_interval);
        vec![
            ("name", json!(limit.name), limit.name.clone()),
            ("path", json!(limit.path), limit.path.clone()),
            ("rate", json!(limit.rate), limit.rate.to_string()),
            ("interval", json!(interval), duration::show(interval)),
            (
                "block_interval",
                json!(block),
                block.map_or_else(|| "n/a".to_owned(), duration::show),
            ),
        ]
    });
    let header = ["Name", "Path", "Rate", "Interval", "Block interval"];
    report((!one).then_some(&header), rows.collect())
}

/// What `quota lease-count list` shows, or with `one` what `read` does.
pub(crate) fn lease_quotas_report(quotas: &[proto::LeaseCountQuota], one: bool) -> Report<Value> {
    let rows = quotas.iter().map(|quota| {
        vec![
            ("name", json!(quota.name), quota.name.clone()),
            ("path", json!(quota.path), quota.path.clone()),
            (
                "max_leases",
                json!(quota.max_leases),
                quota.max_leases.to_string(),
            ),
            ("count", json!(quota.count), quota.count.to_string()),
            (
                "counting",
                json!(quota.counting),
                quota.counting.to_string(),
            ),
        ]
    });
    let header = ["Name", "Path", "Max leases", "Count", "Counting"];
    report((!one).then_some(&header), rows.collect())
}

/// What `quota config` shows.
pub(crate) fn quota_config_report(config: &proto::ReadQuotaConfigResponse) -> Report<Value> {
    let paths = &config.rate_limit_exempt_paths;
    let headers = config.enable_rate_limit_response_headers;
    let row = vec![
        ("rate_limit_exempt_paths", json!(paths), paths.join(", ")),
        (
            "enable_rate_limit_response_headers",
            json!(headers),
            headers.to_string(),
        ),
    ];
    report(None, vec![row])
}
