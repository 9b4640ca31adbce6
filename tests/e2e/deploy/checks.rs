//! What can be told without starting anything: each name, number, path and flag of the manifests,
//! against the program's own definitions (its command line, its configuration, its bounds). All
//! that is wrong is collected, so that one run tells the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_server::config::{Config, Environment, ListenerTls};
use tenure_server::ha::health::{SERVICE_LIVE, SERVICE_READY};
use tenure_server::limits;
use tenure_tests::server_cluster::Outcome;

use super::files::{Files, Manifests, NAMESPACE, Pod, list, number, string};
use super::image;
use super::network;
use super::template;
use super::words::{OF_SERVER, config_path, environment, manual};
use crate::text;

/// Room in the grace for the store to close, which has no bound of its own.
const CLOSING_SECONDS: u64 = 20;
/// A disk may stall for so long, and its pod is not restarted: it would come back sealed.
const SILENCE_SECONDS: u64 = 60;

/// What is wrong.
#[derive(Default)]
pub struct Findings(pub Vec<String>);

impl Findings {
    /// Notes the text unless it holds.
    pub fn expect(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(text());
        }
    }

    /// Notes two values that differ.
    pub fn same<T: PartialEq + Debug + ?Sized>(&mut self, what: &str, one: &T, other: &T) {
        self.expect(one == other, || format!("{what}: {one:?} and {other:?}"));
    }
}

/// All checks.
pub fn check(files: &Files) -> Vec<String> {
    let mut found = Findings::default();
    if let Err(reason) = check_all(files, &mut found) {
        found.0.push(reason);
    }
    found.0
}

fn check_all(files: &Files, found: &mut Findings) -> Outcome<()> {
    let manifests = Manifests::of(files)?;
    image::check(files, &manifests, found)?;
    template::check(&manifests, found)?;
    network::check(&manifests, found)?;
    environment(&manifests.pod(0)?, found);
    let mut ports = BTreeSet::new();
    for ordinal in 0..manifests.replicas()? {
        let pod = manifests.pod(ordinal)?;
        let config = load(&manifests, &pod)?;
        ports = addresses(&manifests, &pod, &config, found)?;
        paths(&manifests, &pod, &config, found)?;
        grace(&manifests, &config, found)?;
    }
    services(&manifests, &ports, found)?;
    probes(&manifests, found)?;
    manual(files.get("deploy/README.md")?, found);
    Ok(())
}

/// The configuration that a pod is given, as the server reads it.
fn load(manifests: &Manifests, pod: &Pod) -> Outcome<Config> {
    let path = config_path(pod)?;
    let dir = tempfile::tempdir().map_err(text)?;
    let file = dir.path().join(path.file_name().unwrap_or_default());
    fs::write(&file, manifests.config_text(&path)?).map_err(text)?;
    let names = OF_SERVER.map(|name| format!("TENURE_{name}"));
    let variables = names
        .each_ref()
        .map(|name| (name.as_str(), pod.variable(name)));
    let environment = Environment::of(variables, Some(&pod.name));
    Config::load(&[file], &environment).map_err(text)
}

/// A pod's names and ports, against its configuration. Gives the ports by their names.
fn addresses(
    manifests: &Manifests,
    pod: &Pod,
    config: &Config,
    found: &mut Findings,
) -> Outcome<BTreeSet<(String, u64)>> {
    let [listener] = &config.listeners[..] else {
        return Err("the configuration has not one listener".to_owned());
    };
    let port = |address: Option<std::net::SocketAddr>| address.map_or(0, |a| u64::from(a.port()));
    let wanted = BTreeSet::from([
        ("grpc".to_owned(), port(Some(listener.address))),
        ("peers".to_owned(), port(Some(config.cluster_listen))),
        ("health".to_owned(), port(listener.health_address)),
        (
            "metrics".to_owned(),
            port(config.telemetry.prometheus_address),
        ),
    ]);
    let mut ports = BTreeSet::new();
    for port in list(manifests.container(), "/ports") {
        let named = (string(port, "/name")?, number(port, "/containerPort")?);
        ports.insert((named.0.to_owned(), named.1));
    }
    found.same(
        "ports of the container, of the configuration",
        &ports,
        &wanted,
    );
    let every = [
        Some(listener.address),
        Some(config.cluster_listen),
        listener.health_address,
    ];
    for address in every.into_iter().flatten() {
        found.expect(address.ip().is_unspecified(), || {
            format!("{address}: other pods can't reach it")
        });
    }

    let service = string(&manifests.set, "/spec/serviceName")?;
    let name = &pod.name;
    found.same("node_id, pod", config.storage.node_id.as_str(), name);
    let peers = config.cluster_listen.port();
    let peer = format!("{name}.{service}:{peers}");
    found.same("cluster_addr", &config.cluster_addr.to_string(), &peer);
    let api = format!(
        "https://{name}.{service}.{NAMESPACE}.svc:{}",
        listener.address.port()
    );
    found.same("api_addr", &config.api_addr.to_string(), &api);
    let joins = config.storage.retry_join.iter();
    let joins: BTreeSet<String> = joins.map(|join| join.peer_addr.to_string()).collect();
    let mut all = BTreeSet::new();
    for ordinal in 0..manifests.replicas()? {
        all.insert(format!(
            "{}.{service}:{peers}",
            manifests.pod(ordinal)?.name
        ));
    }
    found.same("retry_join, all pods", &joins, &all);
    let warnings = config.warnings.iter();
    let unexpected = warnings.filter(|warning| !warning.contains("prometheus_address"));
    found.same("warnings", &unexpected.collect::<Vec<_>>(), &Vec::new());
    Ok(ports)
}

/// Every path of the configuration and the environment is in the right kind of volume.
fn paths(manifests: &Manifests, pod: &Pod, config: &Config, found: &mut Findings) -> Outcome<()> {
    let (volume, rest) = manifests.volume_of(&config.storage.path)?;
    let claims = list(&manifests.set, "/spec/volumeClaimTemplates");
    let claimed = claims
        .iter()
        .any(|claim| claim["metadata"]["name"] == volume.as_str());
    found.expect(claimed, || {
        format!("data is in {volume}, which no claim keeps")
    });
    found.expect(rest.components().count() == 1, || {
        format!("data is not in a folder right below its volume: {rest:?}")
    });
    let ListenerTls::Files(tls) = &config.listeners[0].tls else {
        return Err("clients are served in plain text".to_owned());
    };
    let authority = Path::new(pod.variable("TENURE_CACERT"));
    let files = [
        (tls.cert_file.as_path(), "tls.crt"),
        (tls.key_file.as_path(), "tls.key"),
        (authority, "ca.crt"),
    ];
    for (path, key) in files {
        let (volume, rest) = manifests.volume_of(path)?;
        let secret = &manifests.volume(&volume)?["secret"]["secretName"];
        found.expect(secret == "tenure-tls", || {
            format!("{} is in no secret", path.display())
        });
        found.same("key of the secret", &rest, &PathBuf::from(key));
    }
    for mount in list(manifests.container(), "/volumeMounts") {
        let data = mount["name"] == volume.as_str();
        let readable = mount["readOnly"] == true;
        found.expect(data != readable, || format!("readOnly is wrong: {mount}"));
    }
    let url = format!("https://127.0.0.1:{}", config.listeners[0].address.port());
    found.same("TENURE_ADDR", pod.variable("TENURE_ADDR"), &url);
    Ok(())
}

/// Kubernetes waits longer for the end than the server needs at most.
fn grace(manifests: &Manifests, config: &Config, found: &mut Findings) -> Outcome<()> {
    let drains = config
        .listeners
        .iter()
        .map(|listener| listener.limits.drain_max);
    let bounds = [
        limits::HAND_OVER_MS_MAX,
        limits::RUNTIME_END_MS_MAX,
        limits::LOG_FLUSH_MS_MAX,
    ];
    let drain = drains.max().unwrap_or_default();
    let least = bounds.iter().sum::<u64>().div_ceil(1000) + drain.as_secs() + CLOSING_SECONDS;
    let container = manifests.container();
    let pause = number(container, "/lifecycle/preStop/sleep/seconds")?;
    let grace = number(manifests.template(), "/spec/terminationGracePeriodSeconds")?;
    found.expect(grace >= least + pause, || {
        format!("a grace of {grace} s is shorter than {least} s after {pause} s of preStop")
    });
    Ok(())
}

/// Services, budgets and rules mean the pods, and ports that they have.
fn services(
    manifests: &Manifests,
    ports: &BTreeSet<(String, u64)>,
    found: &mut Findings,
) -> Outcome<()> {
    let named: BTreeMap<&str, u64> = ports.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let labels = &manifests.template()["metadata"]["labels"];
    let mut selectors = vec![&manifests.set["spec"]["selector"]["matchLabels"]];
    let affinity = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let apart = list(manifests.template(), affinity);
    let by_machine = apart
        .iter()
        .any(|term| term["topologyKey"] == "kubernetes.io/hostname");
    found.expect(by_machine, || {
        "podAntiAffinity: two pods may run on one machine".to_owned()
    });
    let spreads = apart.iter();
    let spreads = spreads.chain(list(
        manifests.template(),
        "/spec/topologySpreadConstraints",
    ));
    selectors.extend(spreads.map(|term| &term["labelSelector"]["matchLabels"]));
    let budgets = manifests.kind("PodDisruptionBudget");
    selectors.extend(budgets.map(|one| &one["spec"]["selector"]["matchLabels"]));
    for service in manifests.kind("Service") {
        selectors.push(&service["spec"]["selector"]);
        for port in list(service, "/spec/ports") {
            let target = string(port, "/targetPort")?;
            let number = number(port, "/port")?;
            // The same number outside and inside: addresses name pods and services alike.
            found.same(
                "Service: port, targetPort",
                &Some(&number),
                &named.get(target),
            );
        }
    }
    for selector in selectors {
        found.same("selector, labels of the pods", selector, labels);
    }
    let headless = manifests.one("Service", string(&manifests.set, "/spec/serviceName")?)?;
    found.same(
        "clusterIP",
        &headless["spec"]["clusterIP"],
        &Value::from("None"),
    );
    let early = &headless["spec"]["publishNotReadyAddresses"];
    found.same("publishNotReadyAddresses", early, &Value::from(true));
    let clients = manifests.one("Service", "tenure")?;
    found.expect(clients["spec"]["publishNotReadyAddresses"] != true, || {
        "clients are sent to sealed pods".to_owned()
    });
    Ok(())
}

/// Each probe asks the health listener for what it is about, and waits longer than an answer takes.
fn probes(manifests: &Manifests, found: &mut Findings) -> Outcome<()> {
    let ports = list(manifests.container(), "/ports").iter();
    let mut health = ports.filter(|port| port["name"] == "health");
    let health = health.next().map(|port| &port["containerPort"]);
    for (probe, service) in PROBES {
        let probe_at = &manifests.container()[probe];
        found.same(
            &format!("{probe}: port"),
            &probe_at["grpc"].get("port"),
            &health,
        );
        let asked = string(probe_at, "/grpc/service")?;
        found.same(&format!("{probe}: service"), asked, service);
        let patience = number(probe_at, "/timeoutSeconds")? * 1_000;
        found.expect(patience > limits::DISK_PROBE_MS_MAX, || {
            format!("{probe}: {patience} ms are over before the disk is given up")
        });
    }
    let liveness = &manifests.container()["livenessProbe"];
    let silence = number(liveness, "/periodSeconds")? * number(liveness, "/failureThreshold")?;
    found.expect(silence >= SILENCE_SECONDS, || {
        format!("livenessProbe: restarts after {silence} s of a stalled disk")
    });
    Ok(())
}

/// The probes, and what each asks for.
pub const PROBES: [(&str, &str); 3] = [
    ("startupProbe", SERVICE_LIVE),
    ("livenessProbe", SERVICE_LIVE),
    ("readinessProbe", SERVICE_READY),
];
