//! From stanzas to a draft, from merged drafts to a checked configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenure_raft::options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES};

use super::env::Environment;
use super::error::{ConfigError, Origin};
use super::listener::{self, ListenerDraft};
use super::section::{Section, Set, as_duration, as_number, as_string};
use super::source::{Source, Value};
use super::units::{ApiUrl, HostPort, NodeName, parse_listen_address};
use super::{
    Config, ListenerConfig, LogConfig, LogFormat, LogLevel, RaftTiming, RetryJoin, SealStanza,
    StorageConfig, TelemetryConfig, TemporaryData, defaults, foreign, seal,
};

/// Longest TTL that a configuration may set: ten years.
const LEASE_TTL_CEILING: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// What files and environment set so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub listeners: Vec<ListenerDraft>,
    pub storage: Option<StorageDraft>,
    pub api_addr: Option<Set<ApiUrl>>,
    pub cluster_addr: Option<Set<HostPort>>,
    pub cluster_name: Option<Set<String>>,
    pub default_lease_ttl: Option<Set<Duration>>,
    pub max_lease_ttl: Option<Set<Duration>>,
    pub default_max_request_duration: Option<Set<Duration>>,
    pub log_level: Option<Set<LogLevel>>,
    pub log_format: Option<Set<LogFormat>>,
    pub prometheus_address: Option<Set<SocketAddr>>,
    pub seal: Option<SealStanza>,
    pub node_id_env: Option<Set<NodeName>>,
    pub path_env: Option<Set<PathBuf>>,
    pub warnings: Vec<String>,
}

/// What `storage "inmem"` means, which the peers keep in memory.
const INMEM: &str =
    "storage \"inmem\": the data is in a temporary folder, and gone when the server ends";

/// A `storage` stanza as written.
#[derive(Debug)]
pub(super) struct StorageDraft {
    /// `storage "inmem"`.
    temporary: bool,
    path: Option<PathBuf>,
    node_id: Option<NodeName>,
    retry_join: Vec<RetryJoin>,
    timing: RaftTiming,
    snapshot_threshold_bytes: u64,
    trailing_logs: u64,
}

impl StorageDraft {
    fn in_memory() -> Self {
        Self {
            temporary: true,
            path: None,
            node_id: None,
            retry_join: Vec::new(),
            timing: RaftTiming::default(),
            snapshot_threshold_bytes: SNAPSHOT_LOG_BYTES,
            trailing_logs: ENTRIES_KEPT,
        }
    }
}

impl Draft {
    /// Adds a later file: its values win, its listeners are added.
    pub fn merge(&mut self, later: Draft) {
        fn win<T>(slot: &mut Option<T>, later: Option<T>) {
            if later.is_some() {
                *slot = later;
            }
        }
        self.listeners.extend(later.listeners);
        self.warnings.extend(later.warnings);
        win(&mut self.storage, later.storage);
        win(&mut self.api_addr, later.api_addr);
        win(&mut self.cluster_addr, later.cluster_addr);
        win(&mut self.cluster_name, later.cluster_name);
        win(&mut self.default_lease_ttl, later.default_lease_ttl);
        win(&mut self.max_lease_ttl, later.max_lease_ttl);
        win(
            &mut self.default_max_request_duration,
            later.default_max_request_duration,
        );
        win(&mut self.log_level, later.log_level);
        win(&mut self.log_format, later.log_format);
        win(&mut self.prometheus_address, later.prometheus_address);
        win(&mut self.seal, later.seal);
    }

    /// Fills in defaults and checks what only the whole can tell.
    pub fn check(mut self, env: &Environment) -> Result<Config, ConfigError> {
        let request_duration = self
            .default_max_request_duration
            .as_ref()
            .map(|set| set.value);
        let listeners: Vec<ListenerConfig> = self
            .listeners
            .drain(..)
            .map(|draft| draft.build(request_duration))
            .collect();
        let Some(first) = listeners.first() else {
            return Err(ConfigError::Missing {
                key: "listener",
                problem: "at least one listener \"tcp\" { … } is needed",
            });
        };
        if listeners.len() > defaults::LISTENERS_MAX {
            return Err(ConfigError::Missing {
                key: "listener",
                problem: "there are more than 16",
            });
        }
        self.warn_of_plain_text(&listeners);
        let cluster_listen = cluster_listen(first)?;
        let api_addr = self.api_addr(first)?;
        let cluster_addr = match self.cluster_addr.take() {
            Some(set) => set.value,
            None => HostPort::new(api_addr.host_port().host(), cluster_listen.port())
                .map_err(|problem| derived("cluster_addr", problem))?,
        };
        let (default_lease_ttl, max_lease_ttl) = self.lease_ttls()?;
        let storage = self.storage(env)?;
        let standard = LogFormat::Standard;
        Ok(Config {
            storage,
            api_addr,
            cluster_addr,
            cluster_listen,
            cluster_name: self.cluster_name.map(|set| set.value),
            default_lease_ttl,
            max_lease_ttl,
            seal: self.seal,
            log: LogConfig {
                level: self.log_level.map_or(LogLevel::Info, |set| set.value),
                format: self.log_format.map_or(standard, |set| set.value),
            },
            telemetry: TelemetryConfig {
                prometheus_address: self.prometheus_address.map(|set| set.value),
            },
            warnings: self.warnings,
            listeners,
        })
    }

    fn warn_of_plain_text(&mut self, listeners: &[ListenerConfig]) {
        for listener in listeners {
            if listener.tls == super::ListenerTls::Disabled {
                self.warnings.push(format!(
                    "listener {}: tls_disable is set: tokens cross the network in plain text",
                    listener.address
                ));
            }
        }
    }

    fn api_addr(&mut self, first: &ListenerConfig) -> Result<ApiUrl, ConfigError> {
        if let Some(set) = self.api_addr.take() {
            return Ok(set.value);
        }
        let address = first.address;
        if address.ip().is_unspecified() {
            return Err(ConfigError::Missing {
                key: "api_addr",
                problem: "is needed when the listener's address is a wildcard: how do clients reach \
                          this node?",
            });
        }
        let at = HostPort::new(&address.ip().to_string(), address.port())
            .map_err(|problem| derived("api_addr", problem))?;
        Ok(ApiUrl::new(first.tls != super::ListenerTls::Disabled, at))
    }

    fn lease_ttls(&self) -> Result<(Duration, Duration), ConfigError> {
        let max = self
            .max_lease_ttl
            .as_ref()
            .map_or(defaults::MAX_LEASE_TTL, |set| set.value);
        let default = match &self.default_lease_ttl {
            // Lowering the maximum alone lowers the default with it.
            None => return Ok((defaults::DEFAULT_LEASE_TTL.min(max), max)),
            Some(set) => set,
        };
        if default.value > max {
            return Err(ConfigError::Key {
                origin: default.origin.clone(),
                key: "default_lease_ttl".into(),
                problem: format!("{:?} is longer than max_lease_ttl {max:?}", default.value),
            });
        }
        Ok((default.value, max))
    }

    fn storage(&mut self, env: &Environment) -> Result<StorageConfig, ConfigError> {
        let Some(draft) = self.storage.take() else {
            return Err(ConfigError::Missing {
                key: "storage",
                problem: "a storage \"raft\" { path = … } stanza is needed",
            });
        };
        let path = self.path_env.take().map(|set| set.value).or(draft.path);
        let (path, temporary) = match (path, draft.temporary) {
            // A path from the environment is no reason to keep what was to be forgotten.
            (_, true) => {
                let data = TemporaryData::new().map_err(|source| ConfigError::Read {
                    path: std::env::temp_dir(),
                    source,
                })?;
                (data.path().to_owned(), Some(Arc::new(data)))
            }
            (Some(path), false) => (path, None),
            (None, false) => {
                return Err(ConfigError::Missing {
                    key: "storage \"raft\": path",
                    problem: "is needed (or TENURE_RAFT_PATH)",
                });
            }
        };
        let node_id = match self
            .node_id_env
            .take()
            .map(|set| set.value)
            .or(draft.node_id)
        {
            Some(name) => name,
            None => env
                .host_name()
                .and_then(|name| NodeName::parse(name).ok())
                .ok_or(ConfigError::Missing {
                    key: "storage \"raft\": node_id",
                    problem: "is needed (or TENURE_RAFT_NODE_ID): the host name can't be used",
                })?,
        };
        Ok(StorageConfig {
            path,
            temporary,
            node_id,
            retry_join: draft.retry_join,
            timing: draft.timing,
            snapshot_threshold_bytes: draft.snapshot_threshold_bytes,
            trailing_logs: draft.trailing_logs,
        })
    }
}

fn derived(key: &str, problem: String) -> ConfigError {
    ConfigError::Key {
        origin: Origin::Default,
        key: key.to_owned(),
        problem,
    }
}

fn cluster_listen(first: &ListenerConfig) -> Result<SocketAddr, ConfigError> {
    if let Some(address) = first.cluster_address {
        return Ok(address);
    }
    // Port 0 (any) stays any.
    match first.address.port() {
        0 => Ok(first.address),
        port => port
            .checked_add(1)
            .map(|port| SocketAddr::new(first.address.ip(), port))
            .ok_or(ConfigError::Missing {
                key: "listener \"tcp\": cluster_address",
                problem: "is needed: there is no port above 65535",
            }),
    }
}

/// Reads the top level of one file.
pub(super) fn read(source: Source) -> Result<Draft, ConfigError> {
    let mut top = Section::top(source.path, source.entries);
    let mut draft = Draft::default();
    for (kind, section) in top.stanzas("listener", true)? {
        if kind != "tcp" {
            return Err(section.error("type", "only listener \"tcp\" is supported"));
        }
        draft
            .listeners
            .push(listener::read(section, &mut draft.warnings)?);
    }
    for (kind, section) in top.stanzas("storage", true)? {
        if draft.storage.is_some() {
            return Err(section.error("type", "there is a storage stanza before it"));
        }
        draft.storage = Some(match kind.as_str() {
            "raft" => read_storage(section, &mut draft.warnings)?,
            "inmem" => {
                section.finish(&[], &mut draft.warnings)?;
                draft.warnings.push(INMEM.to_owned());
                StorageDraft::in_memory()
            }
            _ => {
                let problem = "only storage \"raft\" and \"inmem\" are supported";
                return Err(section.error("type", problem));
            }
        });
    }
    for (kind, section) in top.stanzas("seal", true)? {
        if draft.seal.is_some() {
            return Err(section.error("type", "there is a seal stanza before it"));
        }
        draft.seal = Some(seal::read(&kind, section, &mut draft.warnings)?);
    }
    for (_, section) in top.stanzas("telemetry", false)? {
        draft.prometheus_address = read_telemetry(section, &mut draft.warnings)?;
    }
    let ttl = |v: &Value| as_duration(v, Duration::from_secs(1), LEASE_TTL_CEILING);
    let cluster = |text: &str| HostPort::parse(text, Some(defaults::CLUSTER_PORT));
    draft.api_addr = top.parse("api_addr", |v| ApiUrl::parse(&as_string(v)?))?;
    draft.cluster_addr = top.parse("cluster_addr", |v| cluster(&as_string(v)?))?;
    draft.cluster_name = top.parse("cluster_name", cluster_name)?;
    draft.default_lease_ttl = top.parse("default_lease_ttl", ttl)?;
    draft.max_lease_ttl = top.parse("max_lease_ttl", ttl)?;
    draft.default_max_request_duration =
        top.parse("default_max_request_duration", listener::request_duration)?;
    draft.log_level = top.parse("log_level", |v| LogLevel::parse(&as_string(v)?))?;
    draft.log_format = top.parse("log_format", |v| LogFormat::parse(&as_string(v)?))?;
    top.finish(foreign::TOP, &mut draft.warnings)?;
    Ok(draft)
}

fn cluster_name(value: &Value) -> Result<String, String> {
    let name = as_string(value)?;
    if name.chars().count() > defaults::CLUSTER_NAME_CHARS_MAX || name.chars().any(char::is_control)
    {
        return Err("must be at most 128 characters, none of them a control character".into());
    }
    Ok(name)
}

fn read_telemetry(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<Option<Set<SocketAddr>>, ConfigError> {
    let address = section.parse("prometheus_address", |v| {
        let text = as_string(v)?;
        // Metrics are plain text: a bare port stays on this machine.
        let text = if text.starts_with(':') {
            format!("127.0.0.1{text}")
        } else {
            text
        };
        parse_listen_address(&text)
    })?;
    if let Some(set) = &address
        && !set.value.ip().is_loopback()
    {
        warnings.push(format!(
            "{}: telemetry: prometheus_address: {} is reachable from other machines, in plain text",
            set.origin, set.value
        ));
    }
    section.finish(foreign::TELEMETRY, warnings)?;
    Ok(address)
}

fn read_storage(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<StorageDraft, ConfigError> {
    let path = section.parse("path", |v| as_string(v).map(PathBuf::from))?;
    let node_id = section.parse("node_id", |v| NodeName::parse(&as_string(v)?))?;
    let range = defaults::SNAPSHOT_THRESHOLD_BYTES_RANGE;
    let bytes = section.parse("snapshot_threshold_bytes", |v| {
        as_number(v, *range.start(), *range.end())
    })?;
    let range = defaults::TRAILING_LOGS_RANGE;
    let trailing = section.parse("trailing_logs", |v| {
        as_number(v, *range.start(), *range.end())
    })?;
    let mut timing = RaftTiming::default();
    for (_, stanza) in section.stanzas("performance", false)? {
        timing = read_timing(stanza, warnings)?;
    }
    let mut retry_join = Vec::new();
    for (_, stanza) in section.stanzas("retry_join", false)? {
        retry_join.push(read_retry_join(stanza, warnings)?);
    }
    if retry_join.len() > defaults::RETRY_JOIN_MAX {
        return Err(section.error("retry_join", "there are more than 64"));
    }
    section.finish(foreign::STORAGE, warnings)?;
    Ok(StorageDraft {
        temporary: false,
        path: path.map(|set| set.value),
        node_id: node_id.map(|set| set.value),
        retry_join,
        timing,
        snapshot_threshold_bytes: bytes.map_or(SNAPSHOT_LOG_BYTES, |set| set.value),
        trailing_logs: trailing.map_or(ENTRIES_KEPT, |set| set.value),
    })
}

fn read_timing(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<RaftTiming, ConfigError> {
    let (min, max) = (*defaults::TIMING_MS.start(), *defaults::TIMING_MS.end());
    let mut timing = RaftTiming::default();
    for (key, slot) in [
        ("heartbeat_ms", &mut timing.heartbeat_ms),
        ("election_min_ms", &mut timing.election_min_ms),
        ("election_max_ms", &mut timing.election_max_ms),
    ] {
        if let Some(set) = section.parse(key, |v| as_number(v, min, max))? {
            *slot = set.value;
        }
    }
    if timing.election_min_ms < timing.heartbeat_ms * defaults::HEARTBEATS_PER_ELECTION_MIN {
        return Err(section.error(
            "election_min_ms",
            "must be at least three times heartbeat_ms",
        ));
    }
    if timing.election_max_ms <= timing.election_min_ms {
        return Err(section.error("election_max_ms", "must be above election_min_ms"));
    }
    section.finish(&[], warnings)?;
    Ok(timing)
}

fn read_retry_join(
    mut section: Section,
    warnings: &mut Vec<String>,
) -> Result<RetryJoin, ConfigError> {
    let peer = section.parse("leader_peer_addr", |v| {
        HostPort::parse(&as_string(v)?, Some(defaults::CLUSTER_PORT))
    })?;
    let api = section.parse("leader_api_addr", |v| ApiUrl::parse(&as_string(v)?))?;
    let token = section.parse("join_token_file", |v| as_string(v).map(PathBuf::from))?;
    let api_addr = api.map(|set| set.value);
    let peer_addr = match (peer, &api_addr) {
        (Some(set), _) => set.value,
        (None, Some(api)) => {
            let at = api.host_port();
            let port = at.port().checked_add(1).unwrap_or(defaults::CLUSTER_PORT);
            HostPort::new(at.host(), port).map_err(|e| section.error("leader_api_addr", e))?
        }
        (None, None) => {
            return Err(section.error("leader_peer_addr", "is needed, or leader_api_addr"));
        }
    };
    section.finish(foreign::RETRY_JOIN, warnings)?;
    Ok(RetryJoin {
        peer_addr,
        api_addr,
        join_token_file: token.map(|set| set.value),
    })
}
