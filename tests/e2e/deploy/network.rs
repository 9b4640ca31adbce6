//! Who may connect to which port, as the network's rules say: exactly what the program's ports
//! are for.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenure_tests::server_cluster::Outcome;

use super::checks::Findings;
use super::files::{Manifests, list, string};

/// There is one rule, it is about what comes in, and it lets in nobody else.
pub fn check(manifests: &Manifests, found: &mut Findings) -> Outcome<()> {
    let policies: Vec<&Value> = manifests.kind("NetworkPolicy").collect();
    let [policy] = policies[..] else {
        return Err("there is not one NetworkPolicy".to_owned());
    };
    let spec = &policy["spec"];
    found.same("policyTypes", &spec["policyTypes"], &json!(["Ingress"]));
    let own = &manifests.template()["metadata"]["labels"];
    let pods = json!({ "matchLabels": own });
    found.same("NetworkPolicy: selector", &spec["podSelector"], &pods);
    let mut allowed = BTreeSet::new();
    for rule in list(policy, "/spec/ingress") {
        let from = match rule.get("from") {
            // Neither a missing list nor an empty one keeps anybody out.
            None => vec!["anybody".to_owned()],
            Some(from) if from.as_array().is_some_and(Vec::is_empty) => vec!["anybody".to_owned()],
            Some(_) => list(rule, "/from").iter().map(Value::to_string).collect(),
        };
        // A rule without ports is about all of them.
        if list(rule, "/ports").is_empty() {
            allowed.extend(
                from.iter()
                    .map(|from| ("every port".to_owned(), from.clone())),
            );
        }
        for port in list(rule, "/ports") {
            found.expect(port.get("endPort").is_none(), || format!("endPort: {port}"));
            let name = string(port, "/port")?.to_owned();
            allowed.extend(from.iter().map(|from| (name.clone(), from.clone())));
        }
    }
    let monitoring = json!({ "namespaceSelector":
        { "matchLabels": { "kubernetes.io/metadata.name": "monitoring" } } });
    let wanted = [
        ("grpc", "anybody".to_owned()),
        ("peers", json!({ "podSelector": pods }).to_string()),
        ("metrics", monitoring.to_string()),
    ];
    let wanted = wanted.map(|(port, from)| (port.to_owned(), from));
    found.same(
        "NetworkPolicy: port, who",
        &allowed,
        &BTreeSet::from(wanted),
    );
    Ok(())
}
