//! Tables of good and bad configurations.

use super::*;
use std::fs;

fn load_in(files: &[(&str, &str)], env: &Environment) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    Config::load(&[dir.path().to_owned()], env)
}

fn load(hcl: &str) -> Result<Config, ConfigError> {
    load_in(&[("tenure.hcl", hcl)], &Environment::of([], Some("host-1")))
}

const FULL: &str = r#"
# as a Vault user would write it
listener "tcp" {
  address            = "10.0.0.5:8200"
  cluster_address    = "10.0.0.5:8201"
  tls_cert_file      = "/etc/tenure/cert.pem"
  tls_key_file       = "/etc/tenure/key.pem"
  tls_client_ca_file = "/etc/tenure/ca.pem"
  tls_min_version    = "tls13"
  max_request_size   = 1048576
  max_request_duration = "30s"
  max_connections    = "100"
  health_address     = "0.0.0.0:8202"
}
storage "raft" {
  path    = "/var/lib/tenure"
  node_id = "tenure-0"
  performance {
    heartbeat_ms    = 100
    election_min_ms = 500
    election_max_ms = 1000
  }
  snapshot_threshold_bytes = 33554432
  trailing_logs = 20000
  retry_join {
    leader_peer_addr = "tenure-1.tenure:8201"
    join_token_file  = "/run/join"
  }
  retry_join { leader_api_addr = "https://tenure-2.tenure:8200" }
}
api_addr          = "https://tenure-0.tenure:8200"
cluster_addr      = "https://tenure-0.tenure:8201"
cluster_name      = "prod"
default_lease_ttl = "1h"
max_lease_ttl     = "10d"
log_level         = "debug"
log_format        = "json"
telemetry { prometheus_address = ":9102" }
disable_mlock     = true
ui                = false
"#;

#[test]
fn a_whole_configuration() {
    let config = load(FULL).unwrap();
    let listener = &config.listeners[0];
    assert_eq!(listener.address.to_string(), "10.0.0.5:8200");
    assert_eq!(listener.limits.request_bytes_max, 1 << 20);
    assert_eq!(
        listener.limits.request_duration_max,
        Duration::from_secs(30)
    );
    assert_eq!(listener.limits.connections_max, 100);
    assert_eq!(listener.health_address.unwrap().port(), 8202);
    let ListenerTls::Files(tls) = &listener.tls else {
        panic!("TLS is on")
    };
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert_eq!(
        tls.client_ca_file.as_deref(),
        Some(Path::new("/etc/tenure/ca.pem"))
    );
    assert_eq!(config.cluster_listen.to_string(), "10.0.0.5:8201");
    assert_eq!(config.cluster_addr.to_string(), "tenure-0.tenure:8201");
    assert_eq!(config.api_addr.to_string(), "https://tenure-0.tenure:8200");
    let storage = &config.storage;
    assert_eq!(storage.node_id.as_str(), "tenure-0");
    assert_eq!(storage.timing.election_max_ms, 1000);
    assert_eq!(storage.snapshot_threshold_bytes, 32 << 20);
    assert_eq!(storage.trailing_logs, 20_000);
    assert_eq!(
        storage.retry_join[0].peer_addr.to_string(),
        "tenure-1.tenure:8201"
    );
    assert_eq!(
        storage.retry_join[0].join_token_file.as_deref(),
        Some(Path::new("/run/join"))
    );
    assert_eq!(
        storage.retry_join[1].peer_addr.to_string(),
        "tenure-2.tenure:8201"
    );
    assert_eq!(config.default_lease_ttl, Duration::from_secs(3600));
    assert_eq!(config.max_lease_ttl, Duration::from_secs(864_000));
    assert_eq!(
        config.log,
        LogConfig {
            level: LogLevel::Debug,
            format: LogFormat::Json
        }
    );
    assert_eq!(
        config.telemetry.prometheus_address.unwrap().to_string(),
        "127.0.0.1:9102"
    );
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("tenure.hcl:39: disable_mlock: ignored"));
}

#[test]
fn the_json_form_is_the_same() {
    let json = r#"{
      "listener": [{"tcp": {"address": "127.0.0.1:8200", "tls_disable": 1}}],
      "storage": {"raft": {"path": "/d", "node_id": "a",
        "retry_join": [{"leader_peer_addr": "b:8201"}, {"leader_peer_addr": "c:8201"}]}},
      "max_lease_ttl": 3600
    }"#;
    let config = load_in(&[("a.json", json)], &Environment::default()).unwrap();
    assert_eq!(config.listeners[0].tls, ListenerTls::Disabled);
    assert_eq!(config.storage.retry_join.len(), 2);
    assert_eq!(
        config.default_lease_ttl,
        Duration::from_secs(3600),
        "lowered with the maximum"
    );
    assert_eq!(config.cluster_addr.to_string(), "127.0.0.1:8201");
    assert_eq!(config.api_addr.to_string(), "http://127.0.0.1:8200");
    assert!(
        config.warnings.iter().any(|w| w.contains("plain text")),
        "{:?}",
        config.warnings
    );
}

const PLAIN: &str = "listener \"tcp\" {\n tls_disable = true\n}\n";
const RAFT: &str = "storage \"raft\" {\n path = \"/d\"\n}\n";

#[test]
fn files_merge_and_the_environment_wins() {
    let a = format!("{PLAIN}{RAFT}log_level = \"warn\"\ncluster_name = \"a\"\n");
    let b = "log_level = \"error\"\nlistener \"tcp\" {\n address = \"127.0.0.1:9\"\n tls_disable = true\n}";
    let files = [("a.hcl", a.as_str()), ("b.hcl", b)];
    let config = load_in(&files, &Environment::of([], Some("h"))).unwrap();
    assert_eq!(config.log.level, LogLevel::Error);
    assert_eq!(config.cluster_name.as_deref(), Some("a"));
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.storage.node_id.as_str(), "h");
    let env = Environment::of(
        [
            ("TENURE_API_ADDR", "https://t:1"),
            ("VAULT_API_ADDR", "https://v:1"),
            ("TENURE_CLUSTER_ADDR", ""),
            ("VAULT_CLUSTER_ADDR", "https://v:2"),
            ("TENURE_RAFT_NODE_ID", "n"),
            ("VAULT_RAFT_PATH", "/p"),
        ],
        None,
    );
    let config = load_in(&files, &env).unwrap();
    assert_eq!(config.api_addr.to_string(), "https://t:1");
    assert_eq!(
        config.cluster_addr.to_string(),
        "v:2",
        "an empty variable is not set"
    );
    assert_eq!(config.storage.node_id.as_str(), "n");
    assert_eq!(config.storage.path, Path::new("/p"));
    let bad = Environment::of([("TENURE_API_ADDR", "nonsense")], Some("h"));
    let error = load_in(&files, &bad).unwrap_err().to_string();
    assert!(
        error.starts_with("environment variable TENURE_API_ADDR: api_addr:"),
        "{error}"
    );
}

#[test]
fn bad_input_is_refused_with_key_and_line() {
    let top = |extra: &str| format!("{PLAIN}{RAFT}{extra}\n");
    let listener =
        |extra: &str| format!("{RAFT}listener \"tcp\" {{\n tls_disable = true\n {extra}\n}}\n");
    let tls = |extra: &str| format!("{RAFT}listener \"tcp\" {{\n {extra}\n}}\n");
    let storage =
        |extra: &str| format!("{PLAIN}storage \"raft\" {{\n path = \"/d\"\n {extra}\n}}\n");
    let table: Vec<(String, &str)> = vec![
        (String::new(), "listener: at least one"),
        (PLAIN.into(), "storage: a storage"),
        ("listener \"tcp\" {".into(), "not valid HCL"),
        (top("bogus = 1"), "tenure.hcl:7: bogus: unknown key"),
        (
            top("api_addr = \"${x}\""),
            "tenure.hcl:7: api_addr: must be a string",
        ),
        (top("api_addr = 5"), "api_addr: must be a string"),
        (top("api_addr = \"host:1\""), "must begin with https://"),
        (
            top("log_level = \"loud\""),
            "log_level: \"loud\" is not one of",
        ),
        (
            top("log_level = \"info\"\nlog_level = \"warn\""),
            "tenure.hcl:8: not valid HCL",
        ),
        (top("ui = true"), "ui: not supported"),
        (
            top("seal \"awskms\" { }"),
            "only seal \"static\" and seal \"transit\"",
        ),
        (top("seal \"static\" { }"), "current_key_id: is needed"),
        (
            top(
                "seal \"static\" {\n current_key_id = \"a\"\n current_key = \"k\"\n previous_key = \"p\"\n}",
            ),
            "previous_key: goes with",
        ),
        (
            top("seal \"transit\" {\n address = \"ftp://x\"\n}"),
            "must begin with https",
        ),
        (
            top(
                "seal \"transit\" {\n address = \"https://x\"\n key_name = \"a/../b\"\n token = \"t\"\n}",
            ),
            "key_name: must be letters",
        ),
        (
            top(
                "seal \"transit\" {\n address = \"https://x\"\n key_name = \"k\"\n token = \"t\"\n tls_skip_verify = true\n}",
            ),
            "tls_skip_verify: not supported",
        ),
        (top("backend \"raft\" { }"), "backend: not supported"),
        (
            top("ha_storage \"consul\" { }"),
            "ha_storage: not supported",
        ),
        (
            top("default_lease_ttl = \"800h\"\nmax_lease_ttl = \"10h\""),
            "tenure.hcl:7: default_lease_ttl",
        ),
        (
            top("max_lease_ttl = 0"),
            "max_lease_ttl: 0ns is not between",
        ),
        (top("max_lease_ttl = -5"), "max_lease_ttl"),
        (top("max_lease_ttl = \"-5s\""), "must not be negative"),
        (
            top("max_lease_ttl = 1.5"),
            "max_lease_ttl: must be a duration; this is a fraction",
        ),
        (
            top("storage \"raft\" { path = \"/e\" }"),
            "there is a storage stanza before",
        ),
        (
            format!("{PLAIN}storage \"file\" {{\n path = \"/d\"\n}}"),
            "only storage \"raft\" and \"inmem\"",
        ),
        (
            format!("{PLAIN}storage {{\n path = \"/d\"\n}}"),
            "needs a type",
        ),
        (
            format!("{RAFT}listener \"unix\" {{ }}"),
            "only listener \"tcp\"",
        ),
        (
            tls("address = \"127.0.0.1:1\""),
            "tls_cert_file: is needed; without TLS say",
        ),
        (tls("tls_cert_file = \"/c\""), "tls_key_file: is needed"),
        (listener("tls_cert_file = \"/c\""), "which of the two"),
        (
            tls("tls_cert_file = \"/c\"\n tls_key_file = \"/k\"\n tls_min_version = \"tls10\""),
            "below 1.2",
        ),
        (
            tls(
                "tls_cert_file = \"/c\"\n tls_key_file = \"/k\"\n tls_require_and_verify_client_cert = true",
            ),
            "needs tls_client_ca_file",
        ),
        (
            listener("address = \"0.0.0.0:8200\""),
            "api_addr: is needed",
        ),
        (
            listener("address = \"nowhere\""),
            "tenure.hcl:6: listener \"tcp\": address:",
        ),
        (
            listener("max_request_size = 0"),
            "0 is not between 1024 and",
        ),
        (
            listener("max_request_size = 99999999999999999999999"),
            "max_request_size",
        ),
        (listener("max_connections = \"many\""), "not a whole number"),
        (
            listener("x_forwarded_for_authorized_addrs = \"10.0.0.0/8\""),
            "never believed",
        ),
        (listener("tls_dissable = true"), "tls_dissable: unknown key"),
        (storage("node_id = \"a/b\""), "node_id"),
        (
            storage("performance { heartbeat_ms = 200 }"),
            "at least three times",
        ),
        (
            storage("performance {\n election_min_ms = 600\n }"),
            "election_max_ms: must be above",
        ),
        (
            storage("retry_join { }"),
            "retry_join: leader_peer_addr: is needed",
        ),
        (
            storage("retry_join { auto_join = \"provider=aws\" }"),
            "retry_join: leader_peer_addr",
        ),
        (storage("retry_join \"x\" { }"), "too many labels"),
        (storage("retry_join = 5"), "must be a stanza"),
        (storage("snapshot_threshold_bytes = 1"), "is not between"),
        (storage("trailing_logs = 99"), "is not between"),
    ];
    for (text, expected) in table {
        match load(&text) {
            Ok(_) => panic!("accepted, expected {expected:?}:\n{text}"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error:?} lacks {expected:?}");
            }
        }
    }
}

#[test]
fn files_that_are_none() {
    let env = Environment::of([], Some("h"));
    let error = |files: &[(&str, &str)]| load_in(files, &env).unwrap_err().to_string();
    assert!(error(&[("a.txt", "")]).contains("holds no .hcl or .json"));
    assert!(error(&[("a.json", "[]")]).contains("is one object"));
    assert!(error(&[("a.json", "{")]).contains("not valid JSON"));
    let missing = Config::load(&[PathBuf::from("/nonexistent/x.hcl")], &env).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"));
    let big = format!("# {}", "x".repeat(2 << 20));
    assert!(error(&[("a.hcl", &big)]).contains("larger than"));
    // A parser must not be brought down by depth.
    let deep = format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(load_in(&[("a.hcl", &deep)], &env).is_err());
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(load_in(&[("a.json", &deep)], &env).is_err());
}

#[test]
fn vault_helm_chart_style_is_accepted() {
    let config = load(
        r#"
ui = false
disable_mlock = true
listener "tcp" {
  tls_disable = "true"
  address = "[::]:8200"
  cluster_address = "[::]:8201"
  telemetry { unauthenticated_metrics_access = true }
}
storage "raft" { path = "/vault/data" }
service_registration "kubernetes" {}
api_addr = "http://tenure:8200"
"#,
    )
    .unwrap();
    assert_eq!(config.cluster_listen.to_string(), "[::]:8201");
    assert_eq!(config.cluster_addr.to_string(), "tenure:8201");
    assert!(
        config
            .warnings
            .iter()
            .any(|w| w.contains("service_registration"))
    );
}

#[test]
fn dev_is_loopback_and_leaves_nothing() {
    let config = Config::dev(&DevOptions::default()).unwrap();
    assert!(config.listeners[0].address.ip().is_loopback());
    assert!(config.cluster_listen.ip().is_loopback());
    assert_eq!(config.listeners[0].tls, ListenerTls::Disabled);
    let path = config.storage.path.clone();
    assert!(path.is_dir());
    drop(config);
    assert!(!path.exists());
    let any = DevOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        cluster_port: 0,
        ..DevOptions::default()
    };
    let config = Config::dev(&any).unwrap();
    assert_ne!(config.listeners[0].address.port(), 0);
    assert_eq!(config.cluster_addr.port(), config.cluster_listen.port());
}

#[test]
fn data_in_memory_is_in_a_folder_that_goes() {
    let text = |stanza: &str| format!("listener \"tcp\" {{ tls_disable = true }}\n{stanza}");
    let config = load(&text("storage \"inmem\" {}")).unwrap();
    let path = config.storage.path.clone();
    assert!(path.is_dir());
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.contains("gone"))
    );
    drop(config);
    assert!(!path.exists());
    let refused = load(&text("storage \"inmem\" { path = \"/data\" }")).unwrap_err();
    assert!(refused.to_string().contains("unknown key"), "{refused}");
}

#[test]
fn a_seal_stanza_and_where_its_secrets_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        format!("file://{}", path.display())
    };
    let key = [7_u8; 32];
    let with = |source: &str| {
        let stanza = format!(
            "seal \"static\" {{\n current_key_id = \"a\"\n current_key = \"{source}\"\n \
             previous_key_id = \"b\"\n previous_key = \"env://NO_SUCH_VARIABLE\"\n}}\n"
        );
        match load(&format!("{FULL}{stanza}")).unwrap().seal.unwrap() {
            SealStanza::Static(stanza) => stanza,
            SealStanza::Transit(_) => panic!("another stanza"),
        }
    };
    let hex_of = hex::encode(key);
    for source in [
        file("raw", &key),
        file("hex", format!("{hex_of}\n").as_bytes()),
        file("base64", b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        hex_of.clone(),
    ] {
        assert_eq!(with(&source).current_key.key().unwrap().expose(), &key);
    }
    let short = with(&file("short", &key[..31]));
    assert!(short.current_key.key().is_err());
    assert!(with("file:///no/such/file").current_key.key().is_err());
    let (id, previous) = short.previous.unwrap();
    assert!(id == "b" && previous.key().is_err());
    // What is in the configuration itself isn't shown.
    let shown = format!(
        "{:?}",
        load(&format!(
            "{FULL}seal \"static\" {{\n current_key_id = \"a\"\n current_key = \"{hex_of}\"\n}}\n"
        ))
        .unwrap()
    );
    assert!(!shown.contains(&hex_of), "{shown}");
    let transit = "seal \"transit\" {\n address = \"https://bao:8200\"\n token = \"hvs.canary\"\n key_name = \
                   \"k\"\n mount_path = \"a/transit/\"\n disable_renewal = \"true\"\n tls_skip_verify = \"false\"\n}\n";
    let config = load(&format!("{FULL}{transit}")).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    match config.seal.unwrap() {
        SealStanza::Transit(stanza) => {
            assert_eq!(stanza.mount_path, "a/transit");
            assert!(stanza.disable_renewal && stanza.address.is_tls());
            assert_eq!(stanza.token.text().unwrap().expose(), "hvs.canary");
        }
        SealStanza::Static(_) => panic!("another stanza"),
    }
}
