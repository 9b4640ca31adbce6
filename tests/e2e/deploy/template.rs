//! What the set makes its pods from: what can't be left to defaults, and what no pod may have.

use serde_json::Value;
use tenure_server::limits;
use tenure_tests::server_cluster::Outcome;

use super::checks::Findings;
use super::files::{Manifests, list, string};

/// What a pod needs besides what clients send: its store, its caches, its connections.
const BASE_BYTES: u64 = 512 << 20;
/// A body and the message decoded from it.
const COPIES_OF_BODIES: u64 = 2;
/// What a variable's name holds whose value is a secret.
const SECRET_WORDS: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "SHARE", "PRIVATE"];

/// All of it.
pub fn check(manifests: &Manifests, found: &mut Findings) -> Outcome<()> {
    rights(manifests, found);
    pods(manifests, found)
}

/// How the set runs its pods: what can't be left to defaults.
fn pods(manifests: &Manifests, found: &mut Findings) -> Outcome<()> {
    let (set, pod) = (&manifests.set["spec"], &manifests.template()["spec"]);
    let container = manifests.container();
    for (what, value, wanted) in [
        (
            "podManagementPolicy",
            &set["podManagementPolicy"],
            "Parallel",
        ),
        ("updateStrategy", &set["updateStrategy"]["type"], "OnDelete"),
        (
            "seccompProfile",
            &pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault",
        ),
        (
            "capabilities",
            &container["securityContext"]["capabilities"]["drop"][0],
            "ALL",
        ),
    ] {
        found.same(what, value, &Value::from(wanted));
    }
    for (what, value, wanted) in [
        (
            "runAsNonRoot",
            &pod["securityContext"]["runAsNonRoot"],
            true,
        ),
        (
            "readOnlyRootFilesystem",
            &container["securityContext"]["readOnlyRootFilesystem"],
            true,
        ),
        (
            "allowPrivilegeEscalation",
            &container["securityContext"]["allowPrivilegeEscalation"],
            false,
        ),
        (
            "automountServiceAccountToken",
            &pod["automountServiceAccountToken"],
            false,
        ),
        ("enableServiceLinks", &pod["enableServiceLinks"], false),
    ] {
        found.same(what, value, &Value::from(wanted));
    }
    found.same("replicas", &manifests.replicas()?, &3);
    let account = manifests.one("ServiceAccount", string(pod, "/serviceAccountName")?)?;
    found.same(
        "automountServiceAccountToken of the account",
        &account["automountServiceAccountToken"],
        &Value::from(false),
    );
    let memory = |part: &str| &container["resources"][part]["memory"];
    found.same(
        "memory: request, limit",
        memory("requests"),
        memory("limits"),
    );
    memory_holds_the_bodies(container, found)?;
    let budgets: Vec<&Value> = manifests.kind("PodDisruptionBudget").collect();
    found.expect(budgets.len() == 1, || {
        "there is not one PodDisruptionBudget".into()
    });
    for budget in budgets {
        found.same(
            "maxUnavailable",
            &budget["spec"]["maxUnavailable"],
            &Value::from(1),
        );
        let evicted = &budget["spec"]["unhealthyPodEvictionPolicy"];
        found.expect(evicted != "AlwaysAllow", || {
            "unhealthyPodEvictionPolicy: a sealed pod votes, and would be evicted".to_owned()
        });
    }
    let none = pod["containers"]
        .as_array()
        .is_some_and(|all| all.len() == 1);
    found.expect(none, || "a pod has not one container".to_owned());
    Ok(())
}

/// No pod has rights on its machine, and no secret stands in a manifest.
fn rights(manifests: &Manifests, found: &mut Findings) {
    let (pod, container) = (&manifests.template()["spec"], manifests.container());
    let security = &container["securityContext"];
    for (what, value) in [
        ("privileged", &security["privileged"]),
        ("hostNetwork", &pod["hostNetwork"]),
        ("hostPID", &pod["hostPID"]),
        ("hostIPC", &pod["hostIPC"]),
    ] {
        found.expect(value.is_null() || value == false, || {
            format!("{what} is {value}")
        });
    }
    let added = &security["capabilities"]["add"];
    found.expect(added.is_null(), || format!("capabilities.add: {added}"));
    for volume in list(pod, "/volumes") {
        found.expect(volume.get("hostPath").is_none(), || {
            format!("hostPath: {volume}")
        });
    }
    for variable in list(container, "/env") {
        let name = variable["name"].as_str().unwrap_or_default();
        let secret = SECRET_WORDS.iter().any(|word| name.contains(word));
        found.expect(!secret || variable.get("value").is_none(), || {
            format!("{name}: a secret stands in the manifest")
        });
    }
}

/// A size as Kubernetes writes it.
fn bytes(size: &str) -> Outcome<u64> {
    let units = [("Gi", 30), ("Mi", 20), ("Ki", 10), ("", 0)];
    let (number, power) = units
        .iter()
        .find_map(|(unit, power)| Some((size.strip_suffix(unit)?, power)))
        .unwrap_or((size, &0));
    let number: u64 = number.parse().map_err(|_| format!("{size} is no size"))?;
    Ok(number << power)
}

/// A pod's memory has room for the bodies that strangers may fill it with.
fn memory_holds_the_bodies(container: &Value, found: &mut Findings) -> Outcome<()> {
    let limit = bytes(string(container, "/resources/limits/memory")?)?;
    let bodies = COPIES_OF_BODIES * limits::REQUEST_BODIES_BYTES_MAX as u64;
    let listeners = limits::INFLIGHT_REQUESTS_MAX * limits::REQUEST_BYTES_FREE;
    let needed = BASE_BYTES + bodies + listeners as u64;
    found.expect(needed <= limit, || {
        format!("a memory limit of {limit} bytes is less than the {needed} that strangers can fill")
    });
    Ok(())
}
