//! Token roles and lists of tokens as the commands show them.

use serde_json::{Map, Value, json};
use tenure_client::proto::{self, RoleTokenType};

use super::{Envelope, Report, columns, key_values, plain, time, token::type_name};
use crate::duration;

/// What `token role read` shows, under the names of Vault's answer.
pub(crate) fn role_report(
    role: &proto::TokenRole,
    request_id: Option<String>,
) -> Report<Envelope<Map<String, Value>, ()>> {
    let kind = match RoleTokenType::try_from(role.token_type) {
        Ok(RoleTokenType::Service) => "service",
        Ok(RoleTokenType::Batch) => "batch",
        Ok(RoleTokenType::DefaultBatch) => "default-batch",
        _ => "default-service",
    };
    let mut data = Map::new();
    for (key, value) in [
        ("allowed_policies", json!(role.allowed_policies)),
        ("allowed_policies_glob", json!(role.allowed_policies_glob)),
        ("disallowed_policies", json!(role.disallowed_policies)),
        (
            "disallowed_policies_glob",
            json!(role.disallowed_policies_glob),
        ),
        ("name", json!(role.name)),
        ("orphan", json!(role.orphan)),
        ("path_suffix", json!(role.path_suffix)),
        ("renewable", json!(role.renewable)),
        ("token_bound_cidrs", json!(role.bound_cidrs)),
        (
            "token_explicit_max_ttl",
            json!(seconds(&role.explicit_max_ttl)),
        ),
        ("token_no_default_policy", json!(role.no_default_policy)),
        ("token_num_uses", json!(role.num_uses.unwrap_or(0))),
        ("token_period", json!(seconds(&role.period))),
        ("token_type", json!(kind)),
    ] {
        data.insert(key.to_owned(), value);
    }
    let cell = |key: &str, value: &Value| match value {
        Value::String(text) if text.is_empty() => "n/a".to_owned(),
        Value::Number(seconds) if matches!(key, "token_explicit_max_ttl" | "token_period") => {
            seconds
                .as_i64()
                .map_or_else(|| plain(value), duration::show)
        }
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

/// What `token list` shows: who, made how, with which rights, for how long.
pub(crate) fn tokens_report(tokens: &[proto::TokenSummary]) -> Report<Vec<Value>> {
    let headers = [
        "Accessor",
        "Display Name",
        "Path",
        "Role",
        "Policies",
        "TTL",
        "Created",
        "Uses",
        "Orphan",
    ];
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let ttl = token.ttl.as_ref();
            vec![
                token.accessor.clone(),
                token.display_name.clone(),
                token.path.clone(),
                if token.role.is_empty() {
                    "n/a".to_owned()
                } else {
                    token.role.clone()
                },
                token.policies.join(","),
                ttl.map_or_else(|| "∞".to_owned(), |ttl| duration::show(ttl.seconds)),
                token.creation_time.as_ref().map_or_else(String::new, time),
                token
                    .num_uses
                    .map_or_else(|| "∞".to_owned(), |uses| uses.to_string()),
                token.orphan.to_string(),
            ]
        })
        .collect();
    let moment = |at: &Option<prost_types::Timestamp>| at.as_ref().map(time);
    let documents = tokens.iter().map(|token| {
        json!({
            "accessor": token.accessor,
            "creation_time": moment(&token.creation_time),
            "display_name": token.display_name,
            "expire_time": moment(&token.expire_time),
            "num_uses": token.num_uses.unwrap_or(0),
            "orphan": token.orphan,
            "path": token.path,
            "period": seconds(&token.period),
            "policies": token.policies,
            "renewable": token.renewable,
            "role": token.role,
            "ttl": seconds(&token.ttl),
            "type": type_name(token.r#type),
        })
    });
    Report {
        table: columns(&headers, &rows),
        document: documents.collect(),
        fields: Map::new(),
        warnings: Vec::new(),
    }
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
    fn a_role_has_the_names_of_vaults_answer() {
        let report = role_report(
            &proto::TokenRole {
                name: "ci".into(),
                allowed_policies: vec!["a".into(), "b".into()],
                renewable: true,
                period: lasting(3600),
                num_uses: Some(2),
                token_type: RoleTokenType::DefaultBatch.into(),
                ..Default::default()
            },
            None,
        );
        assert_eq!(report.fields["token_period"], json!(3600));
        assert_eq!(report.fields["token_type"], json!("default-batch"));
        assert!(
            report.table.contains("token_period                1h\n"),
            "{}",
            report.table
        );
        assert!(report.table.contains("allowed_policies            [a b]\n"));
        assert!(report.table.contains("path_suffix                 n/a\n"));
    }

    #[test]
    fn tokens_are_listed_with_who_and_how_long() {
        let endless = proto::TokenSummary {
            accessor: "acc".into(),
            display_name: "root".into(),
            policies: vec!["root".into()],
            path: "auth/token/root".into(),
            orphan: true,
            ..Default::default()
        };
        let ending = proto::TokenSummary {
            role: "ci".into(),
            ttl: lasting(60),
            num_uses: Some(3),
            ..endless.clone()
        };
        let report = tokens_report(&[endless, ending]);
        let lines: Vec<&str> = report.table.lines().collect();
        assert!(lines[0].starts_with("Accessor"), "{}", report.table);
        assert!(report.table.contains('∞') && report.table.contains("1m"));
        assert_eq!(report.document[1]["role"], json!("ci"));
        assert_eq!(report.document[1]["ttl"], json!(60));
    }
}
