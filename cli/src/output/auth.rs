//! A token as `token create` and `token renew` show it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use tenure_client::proto;

use super::{Envelope, Report, key_values, token::type_name};
use crate::duration;

/// The `auth` of Vault's answers.
#[derive(Clone, Serialize)]
pub(crate) struct AuthBody {
    client_token: String,
    accessor: String,
    policies: Vec<String>,
    token_policies: Vec<String>,
    identity_policies: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
    orphan: bool,
    entity_id: String,
    lease_duration: i64,
    renewable: bool,
    mfa_requirement: Option<()>,
    token_type: &'static str,
    num_uses: i64,
}

/// What `token create` and `token renew` show.
pub(crate) fn auth_report(
    auth: proto::Auth,
    request_id: Option<String>,
) -> Report<Envelope<(), AuthBody>> {
    let lease = auth.lease_duration.map(|duration| duration.seconds);
    let meta: BTreeMap<String, String> = auth.meta.into_iter().collect();
    let body = AuthBody {
        client_token: auth.client_token,
        accessor: auth.accessor,
        token_policies: auth.policies.clone(),
        policies: auth.policies,
        identity_policies: None,
        metadata: (!meta.is_empty()).then(|| meta.clone()),
        orphan: auth.orphan,
        entity_id: String::new(),
        lease_duration: lease.unwrap_or(0),
        renewable: auth.renewable,
        mfa_requirement: None,
        token_type: type_name(auth.r#type),
        num_uses: auth.num_uses.map_or(0, i64::from),
    };
    Report {
        table: key_values(&rows(&body, lease, &meta)),
        fields: fields(&body),
        document: Envelope::auth(body, &auth.warnings).with_request_id(request_id),
        warnings: auth.warnings,
    }
}

fn rows(
    body: &AuthBody,
    lease: Option<i64>,
    meta: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let duration = lease.map_or_else(|| "∞".to_owned(), duration::show);
    let policies = quoted(&body.policies);
    let mut rows = Vec::new();
    // A token renewed by its accessor isn't shown.
    if !body.client_token.is_empty() {
        rows.push(("token", body.client_token.clone()));
    }
    rows.extend([
        ("token_accessor", body.accessor.clone()),
        ("token_duration", duration),
        ("token_renewable", body.renewable.to_string()),
        ("token_policies", policies.clone()),
        ("identity_policies", "[]".to_owned()),
        ("policies", policies),
    ]);
    let meta = meta
        .iter()
        .map(|(key, value)| (format!("token_meta_{key}"), value.clone()));
    rows.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .chain(meta)
        .collect()
}

/// The names that Vault's `-field` knows for a token.
fn fields(body: &AuthBody) -> serde_json::Map<String, Value> {
    let mut fields = serde_json::Map::new();
    for (name, value) in [
        ("token", json!(body.client_token)),
        ("token_accessor", json!(body.accessor)),
        ("token_duration", json!(body.lease_duration)),
        ("token_renewable", json!(body.renewable)),
        ("token_policies", json!(body.token_policies)),
        ("identity_policies", json!([])),
        ("policies", json!(body.policies)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    fields
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> proto::Auth {
        proto::Auth {
            client_token: "hvs.x".into(),
            accessor: "acc".into(),
            policies: vec!["default".into(), "dev".into()],
            meta: [("user".to_owned(), "ann".to_owned())].into(),
            lease_duration: Some(prost_types::Duration {
                seconds: 2_764_800,
                nanos: 0,
            }),
            renewable: true,
            r#type: proto::TokenType::Service as i32,
            warnings: vec!["capped".into()],
            ..Default::default()
        }
    }

    #[test]
    fn the_table_is_vaults() {
        assert_eq!(
            auth_report(auth(), None).table,
            "Key                  Value\n\
             ---                  -----\n\
             token                hvs.x\n\
             token_accessor       acc\n\
             token_duration       768h\n\
             token_renewable      true\n\
             token_policies       [\"default\" \"dev\"]\n\
             identity_policies    []\n\
             policies             [\"default\" \"dev\"]\n\
             token_meta_user      ann\n"
        );
    }

    #[test]
    fn a_token_without_expiry_shows_infinity_and_a_duration_of_0() {
        let report = auth_report(
            proto::Auth {
                lease_duration: None,
                ..auth()
            },
            None,
        );
        assert!(report.table.contains("token_duration       ∞\n"));
        assert_eq!(report.fields["token_duration"], json!(0));
    }

    #[test]
    fn the_document_has_the_keys_of_vaults_envelope() {
        let document =
            serde_json::to_value(auth_report(auth(), Some("5f2e".into())).document).unwrap();
        assert_eq!(
            document,
            json!({
                "request_id": "5f2e", "lease_id": "", "renewable": false, "lease_duration": 0,
                "data": null, "wrap_info": null, "warnings": ["capped"],
                "auth": {
                    "client_token": "hvs.x", "accessor": "acc",
                    "policies": ["default", "dev"], "token_policies": ["default", "dev"],
                    "identity_policies": null, "metadata": {"user": "ann"},
                    "orphan": false, "entity_id": "", "lease_duration": 2764800,
                    "renewable": true, "mfa_requirement": null, "token_type": "service",
                    "num_uses": 0
                }
            })
        );
    }
}
