//! Leases as the commands show them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tenure_client::proto;

use super::{Envelope, Report, columns, key_values, plain, time};
use crate::duration;

/// What `lease grant` and `lease renew` show.
pub(crate) fn granted_report(
    lease_id: String,
    lease_duration: Option<prost_types::Duration>,
    renewable: bool,
    warnings: Vec<String>,
    request_id: Option<String>,
) -> Report<Envelope<(), ()>> {
    let seconds = lease_duration.map_or(0, |duration| duration.seconds);
    let rows = [
        ("lease_id", lease_id.clone()),
        ("lease_duration", duration::show(seconds)),
        ("lease_renewable", renewable.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let mut fields = Map::new();
    fields.insert("lease_id".into(), json!(lease_id));
    fields.insert("lease_duration".into(), json!(seconds));
    fields.insert("lease_renewable".into(), json!(renewable));
    Report {
        table: key_values(&rows),
        fields,
        document: Envelope::lease(lease_id, seconds, renewable, &warnings)
            .with_request_id(request_id),
        warnings,
    }
}

/// What `lease lookup` shows.
pub(crate) fn lease_report(
    lease: &proto::LeaseInfo,
    request_id: Option<String>,
) -> Report<Envelope<Map<String, Value>, ()>> {
    let moment = |at: &Option<prost_types::Timestamp>| at.as_ref().map(time);
    let path = lease.lease_id.rsplit_once('/').map_or("", |(path, _)| path);
    let payload = lease.payload.as_ref().map(|bytes| STANDARD.encode(bytes));
    let mut data = Map::new();
    for (key, value) in [
        ("creation_ttl", json!(seconds(&lease.creation_ttl))),
        ("expire_time", json!(moment(&lease.expire_time))),
        ("id", json!(lease.lease_id)),
        ("issue_time", json!(moment(&lease.issue_time))),
        ("last_renewal", json!(moment(&lease.last_renewal_time))),
        ("owner_accessor", json!(lease.owner_accessor)),
        ("owner_display_name", json!(lease.owner_display_name)),
        ("path", json!(path)),
        ("payload_base64", json!(payload)),
        ("renewable", json!(lease.renewable)),
        ("ttl", json!(seconds(&lease.ttl))),
    ] {
        data.insert(key.to_owned(), value);
    }
    let cell = |key: &str, value: &Value| match key {
        "ttl" => life(&lease.ttl),
        "creation_ttl" => life(&lease.creation_ttl),
        _ => plain(value),
    };
    let rows: Vec<_> = data
        .iter()
        .map(|(key, value)| (key.clone(), cell(key, value)))
        .collect();
    Report {
        table: key_values(&rows),
        document: Envelope::data(data.clone()).with_request_id(request_id),
        fields: data,
        warnings: Vec::new(),
    }
}

/// A row of `lease list`.
#[derive(Clone, Serialize)]
pub(crate) struct LeaseRow {
    id: String,
    ttl: i64,
    renewable: bool,
    issue_time: Option<String>,
    expire_time: Option<String>,
    last_renewal: Option<String>,
    owner_accessor: String,
    owner_display_name: String,
}

/// What `lease list` shows.
pub(crate) fn leases_report(leases: &[proto::LeaseSummary]) -> Report<Vec<LeaseRow>> {
    let moment = |at: &Option<prost_types::Timestamp>| at.as_ref().map(time);
    let document: Vec<_> = leases
        .iter()
        .map(|lease| LeaseRow {
            id: lease.lease_id.clone(),
            ttl: seconds(&lease.ttl),
            renewable: lease.renewable,
            issue_time: moment(&lease.issue_time),
            expire_time: moment(&lease.expire_time),
            last_renewal: moment(&lease.last_renewal_time),
            owner_accessor: lease.owner_accessor.clone(),
            owner_display_name: lease.owner_display_name.clone(),
        })
        .collect();
    let rows: Vec<_> = document
        .iter()
        .zip(leases)
        .map(|(row, lease)| {
            vec![
                row.id.clone(),
                life(&lease.ttl),
                row.renewable.to_string(),
                row.owner_display_name.clone(),
                row.owner_accessor.clone(),
            ]
        })
        .collect();
    let header = ["Lease", "TTL", "Renewable", "Owner", "Owner Accessor"];
    Report {
        table: columns(&header, &rows),
        document,
        fields: Map::new(),
        warnings: Vec::new(),
    }
}

/// What `lease count` shows.
pub(crate) fn lease_count_report(
    count: u64,
    groups: &[proto::LeaseGroup],
    request_id: Option<String>,
) -> Report<Envelope<Map<String, Value>, ()>> {
    let mut data = Map::new();
    data.insert("lease_count".to_owned(), json!(count));
    let mut table = key_values(&[("lease_count".to_owned(), count.to_string())]);
    if !groups.is_empty() {
        let row = |group: &proto::LeaseGroup| {
            vec![
                group.count.to_string(),
                group.key.clone(),
                group.name.clone(),
            ]
        };
        let rows: Vec<_> = groups.iter().map(row).collect();
        table.push('\n');
        table.push_str(&columns(&["Leases", "Of", "Name"], &rows));
        let groups = groups.iter().map(
            |group| json!({ "key": group.key, "name": group.name, "lease_count": group.count }),
        );
        data.insert("groups".to_owned(), groups.collect());
    }
    Report {
        table,
        document: Envelope::data(data.clone()).with_request_id(request_id),
        fields: data,
        warnings: Vec::new(),
    }
}

/// A life for people.
fn life(duration: &Option<prost_types::Duration>) -> String {
    let shown = |duration: &prost_types::Duration| duration::show(duration.seconds);
    duration.as_ref().map_or_else(|| "∞".to_owned(), shown)
}

fn seconds(duration: &Option<prost_types::Duration>) -> i64 {
    duration.as_ref().map_or(0, |duration| duration.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn a_grant_looks_like_vaults_lease() {
        let report = granted_report(
            "db/prod/abc".into(),
            lasting(3600),
            true,
            vec!["capped".into()],
            Some("5f2e".into()),
        );
        assert_eq!(
            report.table,
            "Key                Value\n\
             ---                -----\n\
             lease_id           db/prod/abc\n\
             lease_duration     1h\n\
             lease_renewable    true\n"
        );
        let document = serde_json::to_value(report.document).unwrap();
        assert_eq!(document["lease_id"], "db/prod/abc");
        assert_eq!(document["lease_duration"], json!(3600));
        assert_eq!(document["renewable"], json!(true));
        assert_eq!(document["warnings"], json!(["capped"]));
        assert_eq!(document["data"], Value::Null);
        assert_eq!(report.fields["lease_id"], "db/prod/abc");
    }

    #[test]
    fn a_foreign_lease_has_no_payload() {
        let mut lease = proto::LeaseInfo {
            lease_id: "db/prod/abc".into(),
            payload: Some(b"secret".to_vec()),
            ttl: lasting(59),
            owner_display_name: "token-app".into(),
            ..Default::default()
        };
        let report = lease_report(&lease, None);
        assert_eq!(report.fields["payload_base64"], "c2VjcmV0");
        assert_eq!(report.fields["path"], "db/prod");
        assert!(
            report.table.contains("ttl                   59s\n"),
            "{}",
            report.table
        );
        lease.payload = None;
        assert_eq!(
            lease_report(&lease, None).fields["payload_base64"],
            Value::Null
        );
    }
}
