//! Policies as the commands show them.

use serde_json::{Map, Value, json};
use tenure_client::proto;

use super::{Report, columns};

/// What `policy read` shows: the text as it is.
pub(crate) fn policy_report(
    text: String,
    document: Value,
    fields: Map<String, Value>,
) -> Report<Value> {
    let mut table = text;
    if !table.ends_with('\n') {
        table.push('\n');
    }
    Report {
        table,
        document,
        fields,
        warnings: Vec::new(),
    }
}

/// What `policy list` shows: a name a line.
pub(crate) fn names_report(names: &[String]) -> Report<Vec<String>> {
    let table = names.iter().map(|name| format!("{name}\n")).collect();
    Report {
        table,
        document: names.to_vec(),
        fields: Map::new(),
        warnings: Vec::new(),
    }
}

/// What `token capabilities` shows: for one path the list alone, as Vault does.
pub(crate) fn capabilities_report(paths: &[proto::PathCapabilities]) -> Report<Value> {
    let text = |one: &proto::PathCapabilities| one.capabilities.join(", ");
    let (table, document) = match paths {
        [one] => (format!("{}\n", text(one)), json!(one.capabilities)),
        all => {
            let rows: Vec<_> = all
                .iter()
                .map(|one| vec![one.path.clone(), text(one)])
                .collect();
            let document: Map<_, _> = all
                .iter()
                .map(|one| (one.path.clone(), json!(one.capabilities)))
                .collect();
            (columns(&["Path", "Capabilities"], &rows), document.into())
        }
    };
    Report {
        table,
        document,
        fields: Map::new(),
        warnings: Vec::new(),
    }
}
