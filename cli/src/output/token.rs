//! A token as `token lookup` shows it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tenure_client::proto::{self, TokenType};

use super::{Envelope, Report, key_values, plain, time};
use crate::duration;

/// Fields that hold seconds: the table shows them as durations.
const DURATIONS: [&str; 4] = ["creation_ttl", "explicit_max_ttl", "period", "ttl"];

/// The word for a type.
pub(super) fn type_name(kind: i32) -> &'static str {
    match TokenType::try_from(kind) {
        Ok(TokenType::Service) => "service",
        Ok(TokenType::Batch) => "batch",
        Ok(TokenType::Unspecified) | Err(_) => "unknown",
    }
}

/// What `token lookup` shows.
pub(crate) fn token_report(
    token: &proto::TokenInfo,
    request_id: Option<String>,
) -> Report<Envelope<Map<String, Value>, ()>> {
    let data = data(token);
    let rows: Vec<(String, String)> = data
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

fn cell(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "n/a".to_owned(),
        Value::Number(seconds) if DURATIONS.contains(&key) => seconds
            .as_i64()
            .map_or_else(|| plain(value), duration::show),
        _ => plain(value),
    }
}

/// The `data` of Vault's look-up: seconds as numbers, 0 where there is no limit, null
/// where there is no time.
fn data(token: &proto::TokenInfo) -> Map<String, Value> {
    let seconds = |duration: &Option<prost_types::Duration>| {
        duration.as_ref().map_or(0, |duration| duration.seconds)
    };
    let moment = |timestamp: &Option<prost_types::Timestamp>| timestamp.as_ref().map(time);
    let meta: Option<BTreeMap<_, _>> =
        (!token.meta.is_empty()).then(|| token.meta.iter().collect());
    // Vault shows -1 within the last use, and 0 for "without limit".
    let uses = match token.num_uses {
        None => 0,
        Some(0) => -1,
        Some(left) => i64::from(left),
    };
    let created = token.creation_time.as_ref().map_or(0, |time| time.seconds);
    let mut data = Map::new();
    let mut set = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    set("accessor", json!(token.accessor));
    set("creation_time", json!(created));
    set("creation_ttl", json!(seconds(&token.creation_ttl)));
    set("display_name", json!(token.display_name));
    set("entity_id", json!(token.entity_id));
    set("expire_time", json!(moment(&token.expire_time)));
    set("explicit_max_ttl", json!(seconds(&token.explicit_max_ttl)));
    set("id", json!(token.id));
    set("issue_time", json!(moment(&token.issue_time)));
    set("meta", json!(meta));
    set("num_uses", json!(uses));
    set("orphan", json!(token.orphan));
    set("path", json!(token.path));
    set("policies", json!(token.policies));
    set("renewable", json!(token.renewable));
    set("ttl", json!(seconds(&token.ttl)));
    set("type", json!(type_name(token.r#type)));
    // These are shown only where they are set.
    if let Some(renewed) = &token.last_renewal_time {
        set("last_renewal", json!(time(renewed)));
        set("last_renewal_time", json!(renewed.seconds));
    }
    if token.period.is_some() {
        set("period", json!(seconds(&token.period)));
    }
    if !token.role.is_empty() {
        set("role", json!(token.role));
    }
    if !token.bound_cidrs.is_empty() {
        set("bound_cidrs", json!(token.bound_cidrs));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn lasting(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn root() -> proto::TokenInfo {
        proto::TokenInfo {
            id: "hvs.x".into(),
            accessor: "acc".into(),
            r#type: TokenType::Service as i32,
            policies: vec!["root".into()],
            path: "auth/token/root".into(),
            display_name: "root".into(),
            orphan: true,
            creation_time: at(1_700_000_000),
            issue_time: at(1_700_000_000),
            ..Default::default()
        }
    }

    #[test]
    fn a_root_token_looks_like_vaults() {
        let report = token_report(&root(), None);
        assert_eq!(
            report.table,
            "Key                 Value\n\
             ---                 -----\n\
             accessor            acc\n\
             creation_time       1700000000\n\
             creation_ttl        0s\n\
             display_name        root\n\
             entity_id           n/a\n\
             expire_time         <nil>\n\
             explicit_max_ttl    0s\n\
             id                  hvs.x\n\
             issue_time          2023-11-14T22:13:20Z\n\
             meta                <nil>\n\
             num_uses            0\n\
             orphan              true\n\
             path                auth/token/root\n\
             policies            [root]\n\
             renewable           false\n\
             ttl                 0s\n\
             type                service\n"
        );
        let document = serde_json::to_value(report.document).unwrap();
        assert_eq!(document["data"]["expire_time"], Value::Null);
        assert_eq!(document["data"]["creation_time"], json!(1_700_000_000));
        assert_eq!(document["auth"], Value::Null);
    }

    #[test]
    fn a_renewed_periodic_token_on_its_last_use_shows_all_of_it() {
        let report = token_report(
            &proto::TokenInfo {
                num_uses: Some(0),
                ttl: lasting(3599),
                period: lasting(3600),
                expire_time: at(1_700_003_600),
                last_renewal_time: at(1_700_000_100),
                meta: [("user".to_owned(), "ann".to_owned())].into(),
                ..root()
            },
            None,
        );
        assert_eq!(report.fields["num_uses"], json!(-1));
        assert_eq!(report.fields["period"], json!(3600));
        assert_eq!(report.fields["last_renewal_time"], json!(1_700_000_100));
        assert!(report.table.contains("ttl                  59m59s\n"));
        assert!(
            report
                .table
                .contains("meta                 map[user:ann]\n")
        );
    }
}
