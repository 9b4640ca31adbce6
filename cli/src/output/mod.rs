//! What a command shows: a table, JSON, YAML, or one field alone.

mod auth;
mod envelope;
mod lease;
mod lines;
mod policy;
mod quota;
mod role;
mod secret;
mod table;
mod token;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

pub(crate) use self::{
    auth::auth_report,
    envelope::Envelope,
    lease::{granted_report, lease_count_report, lease_report, leases_report},
    lines::{LineArgs, show_line},
    policy::{capabilities_report, names_report, policy_report},
    quota::{lease_quotas_report, quota_config_report, rate_limits_report},
    role::{role_report, tokens_report},
    secret::{data_report, keys_report, kv_report, mounts_report},
    table::{columns, key_values},
    token::token_report,
};
use crate::{console::Console, env::Env, failure::Failure};

/// How to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// The fields that Vault's API gives, as JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Flags of every command that shows something.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// How to show the answer. Default: table. Also TENURE_FORMAT, VAULT_FORMAT
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true)]
    pub(crate) format: Option<Format>,

    /// Show the value of this field alone, without a line end unless standard output is a
    /// terminal
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
}

impl OutputArgs {
    /// The format that holds.
    pub(crate) fn format(&self, env: &Env) -> Result<Format, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let Some(name) = env.setting("FORMAT") else {
            return Ok(Format::Table);
        };
        Format::from_str(&name, true).map_err(|_| {
            Failure::local(format!(
                "Error: the format {name:?} of the environment isn't table, json or yaml"
            ))
        })
    }

    /// Shows a report.
    pub(crate) fn show<D: Serialize>(
        &self,
        report: &Report<D>,
        env: &Env,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let format = self.format(env)?;
        // JSON and YAML hold the warnings themselves.
        if (format == Format::Table || self.field.is_some()) && !report.warnings.is_empty() {
            console.error(&warnings(&report.warnings));
        }
        let text = self.render(report, format, console.is_terminal())?;
        console.print(&text)
    }

    fn render<D: Serialize>(
        &self,
        report: &Report<D>,
        format: Format,
        terminal: bool,
    ) -> Result<Zeroizing<String>, Failure> {
        if let Some(name) = &self.field {
            let value = report.fields.get(name).ok_or_else(|| {
                Failure::local(format!("Error: there is no field {name:?} in the answer"))
            })?;
            let mut text = Zeroizing::new(match format {
                Format::Table => plain(value),
                Format::Json => value.to_string(),
                Format::Yaml => yaml(value)?.trim_end().to_owned(),
            });
            if terminal {
                text.push('\n');
            }
            return Ok(text);
        }
        let text = match format {
            Format::Table => report.table.clone(),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(&report.document).map_err(failed)?;
                text.push('\n');
                text
            }
            Format::Yaml => yaml(&report.document)?,
        };
        Ok(Zeroizing::new(text))
    }
}

/// What a command has to show.
pub(crate) struct Report<D> {
    /// The table, ready.
    pub(crate) table: String,
    /// What JSON and YAML show.
    pub(crate) document: D,
    /// What `-field` finds.
    pub(crate) fields: serde_json::Map<String, Value>,
    /// What the server would have people know.
    pub(crate) warnings: Vec<String>,
}

impl<D: Serialize> Report<D> {
    /// A report whose fields are those of its document.
    pub(crate) fn flat(table: String, document: D) -> Result<Self, Failure> {
        let fields = match serde_json::to_value(&document).map_err(failed)? {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        Ok(Self {
            table,
            document,
            fields,
            warnings: Vec::new(),
        })
    }
}

fn yaml<D: Serialize>(document: &D) -> Result<String, Failure> {
    serde_saphyr::to_string(document)
        .map_err(|error| Failure::local(format!("Error writing YAML: {error}")))
}

fn failed(error: serde_json::Error) -> Failure {
    Failure::local(format!("Error writing JSON: {error}"))
}

/// A value as Vault's tables and `-field` have it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key}:{}", plain(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn warnings(warnings: &[String]) -> String {
    let mut text = "WARNING! The following warnings were returned from Tenure:\n".to_owned();
    for warning in warnings {
        text.push_str("\n  * ");
        text.push_str(warning);
    }
    text.push('\n');
    text
}

/// A timestamp as RFC 3339.
pub(crate) fn time(timestamp: &prost_types::Timestamp) -> String {
    timestamp.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report<Value> {
        let document = json!({"token": "hvs.x", "uses": 3, "ok": true, "none": null,
            "policies": ["a", "b"], "meta": {"k": "v"}, "tricky": "yes: no"});
        Report::flat("the table\n".into(), document).unwrap()
    }

    fn args(field: Option<&str>) -> OutputArgs {
        OutputArgs {
            format: None,
            field: field.map(str::to_owned),
        }
    }

    #[test]
    fn a_field_is_its_value_alone() {
        let shown = |name: &str, format, terminal| {
            args(Some(name))
                .render(&report(), format, terminal)
                .unwrap()
                .to_string()
        };
        assert_eq!(shown("token", Format::Table, false), "hvs.x");
        assert_eq!(shown("token", Format::Table, true), "hvs.x\n");
        assert_eq!(shown("token", Format::Json, false), "\"hvs.x\"");
        assert_eq!(shown("uses", Format::Table, false), "3");
        assert_eq!(shown("ok", Format::Table, false), "true");
        assert_eq!(shown("none", Format::Table, false), "<nil>");
        assert_eq!(shown("policies", Format::Table, false), "[a b]");
        assert_eq!(shown("policies", Format::Json, false), "[\"a\",\"b\"]");
        assert_eq!(shown("meta", Format::Table, false), "map[k:v]");
        let failure = args(Some("nope"))
            .render(&report(), Format::Table, false)
            .unwrap_err();
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn json_and_yaml_show_the_document_and_the_table_the_table() {
        let shown = |format| {
            args(None)
                .render(&report(), format, false)
                .unwrap()
                .to_string()
        };
        assert_eq!(shown(Format::Table), "the table\n");
        let json: Value = serde_json::from_str(&shown(Format::Json)).unwrap();
        assert_eq!(json, report().document);
        assert!(shown(Format::Json).ends_with("}\n"));
        let yaml = shown(Format::Yaml);
        assert!(yaml.contains("token: hvs.x\n"), "{yaml}");
        // What would read as something else is quoted.
        assert!(
            yaml.contains("tricky: \"yes: no\"") || yaml.contains("tricky: 'yes: no'"),
            "{yaml}"
        );
        assert!(yaml.contains("uses: 3\n"), "{yaml}");
    }

    #[test]
    fn the_format_comes_from_the_flag_then_the_environment() {
        let env = Env::of(&[("VAULT_FORMAT", "JSON")]);
        assert_eq!(args(None).format(&env).unwrap(), Format::Json);
        let flag = OutputArgs {
            format: Some(Format::Yaml),
            field: None,
        };
        assert_eq!(flag.format(&env).unwrap(), Format::Yaml);
        assert_eq!(args(None).format(&Env::of(&[])).unwrap(), Format::Table);
        let env = Env::of(&[("TENURE_FORMAT", "xml")]);
        assert_eq!(args(None).format(&env).unwrap_err().code(), 1);
    }
}
