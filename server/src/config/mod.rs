//! The configuration: HCL or JSON files with the stanzas that Vault's users know, merged, then
//! overridden by the environment, then checked into types. Opens no socket and makes no folder
//! (dev mode excepted); what comes out is valid as far as text can tell.

pub mod defaults;
mod env;
mod error;
mod foreign;
mod listener;
mod read;
mod seal;
mod section;
mod source;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use env::Environment;
pub use error::{ConfigError, Origin};
pub use seal::{KeySource, SealStanza, StaticSeal, TransitSeal};
pub use units::{ApiUrl, HostPort, NodeName, parse_duration};

use crate::limits::{EdgeLimits, TLS_RELOAD_POLL_MS};
use tenure_raft::options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES};

/// Everything that a node is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients are served; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// The replicated store of this node.
    pub storage: StorageConfig,
    /// Where clients reach this node (`api_addr`). Told to other nodes and shown in status.
    /// Default: the first listener's address, if it is not a wildcard.
    pub api_addr: ApiUrl,
    /// Where other nodes reach this node (`cluster_addr`). Default: the host of `api_addr` with
    /// the port of the first listener's `cluster_address`.
    pub cluster_addr: HostPort,
    /// Where the peer port listens: `cluster_address` of the first listener. Default: the
    /// listener's address, one port up.
    pub cluster_listen: SocketAddr,
    /// A name for people (`cluster_name`), as this node shows it. Give all nodes the same.
    pub cluster_name: Option<String>,
    /// TTL of tokens and leases for which none was asked (`default_lease_ttl`).
    pub default_lease_ttl: Duration,
    /// Longest TTL of tokens and leases (`max_lease_ttl`).
    pub max_lease_ttl: Duration,
    /// The `seal` stanza: who opens this node. Without one, key shares do.
    pub seal: Option<SealStanza>,
    /// `log_level` and `log_format`.
    pub log: LogConfig,
    /// The `telemetry` stanza.
    pub telemetry: TelemetryConfig,
    /// What was set and does nothing, or is unwise. To be logged once telemetry runs.
    pub warnings: Vec<String>,
}

/// A `listener "tcp"` stanza.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// `address`: IP and port. Default 127.0.0.1:8200.
    pub address: SocketAddr,
    /// `cluster_address`: where the peer port listens (only the first listener's counts).
    pub cluster_address: Option<SocketAddr>,
    /// Certificate and key, or plain text by name.
    pub tls: ListenerTls,
    /// `health_address`: a plain-text listener that serves health checks alone.
    pub health_address: Option<SocketAddr>,
    /// `max_request_size`, `max_request_duration`, `max_connections`, `max_connection_age`,
    /// `max_connection_idle`, `max_concurrent_streams`, `max_header_size`,
    /// `max_inflight_requests`, `handshake_timeout`, `drain_timeout`.
    pub limits: EdgeLimits,
    /// `disable_unauthed_rekey_endpoints`, `disable_unauthed_generate_root_endpoints`.
    pub open_calls: OpenCalls,
}

/// Calls that a listener takes from callers without a token, too. None, unless it is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCalls {
    /// `disable_unauthed_rekey_endpoints = false`: those that make shares anew.
    pub rekey: bool,
    /// `disable_unauthed_generate_root_endpoints = false`: those that make a root token.
    pub generate_root: bool,
}

/// How a listener is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerTls {
    /// TLS from files.
    Files(TlsFiles),
    /// `tls_disable = true`: plain text, tokens readable by everyone on the path.
    Disabled,
}

/// The TLS files of a listener. All are PEM and are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls_cert_file`: the server's certificate, then its intermediates.
    pub cert_file: PathBuf,
    /// `tls_key_file`: its private key.
    pub key_file: PathBuf,
    /// `tls_client_ca_file`: certificates of clients are checked against these.
    pub client_ca_file: Option<PathBuf>,
    /// `tls_require_and_verify_client_cert`: refuse clients without one.
    pub require_client_cert: bool,
    /// `tls_min_version`: "tls12" (default) or "tls13".
    pub min_version: TlsVersion,
    /// `tls_reload_interval`: how often the files are looked at.
    pub reload_interval: Duration,
}

impl TlsFiles {
    /// Certificate and key, everything else at its default.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            client_ca_file: None,
            require_client_cert: false,
            min_version: TlsVersion::Tls12,
            reload_interval: Duration::from_millis(TLS_RELOAD_POLL_MS),
        }
    }
}

/// The oldest TLS version that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// The `storage "raft"` stanza, or `storage "inmem"`.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// `storage "inmem"` and the development server: the data folder, which goes with the last clone
    /// of this.
    pub temporary: Option<Arc<TemporaryData>>,
    /// `path`: the data folder. It must exist or its parent must.
    pub path: PathBuf,
    /// `node_id`: the stable name of this node. Default: the host name.
    pub node_id: NodeName,
    /// `retry_join`, repeatable: nodes to ask until one lets this node in.
    pub retry_join: Vec<RetryJoin>,
    /// `performance { heartbeat_ms, election_min_ms, election_max_ms }`.
    pub timing: RaftTiming,
    /// `snapshot_threshold_bytes`: log bytes between snapshots.
    pub snapshot_threshold_bytes: u64,
    /// `trailing_logs`: log entries kept behind a snapshot.
    pub trailing_logs: u64,
}

/// The clockwork of elections. All nodes of a cluster must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// Leader to follower, every so often.
    pub heartbeat_ms: u64,
    /// Shortest silence before a follower stands for election.
    pub election_min_ms: u64,
    /// Longest silence, and the leader's lease.
    pub election_max_ms: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self {
            heartbeat_ms: defaults::HEARTBEAT_MS,
            election_min_ms: defaults::ELECTION_MIN_MS,
            election_max_ms: defaults::ELECTION_MAX_MS,
        }
    }
}

/// A node to join, at least one address set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryJoin {
    /// `leader_peer_addr`: its peer port. When only `leader_api_addr` is set: that host, one port
    /// above the API's, where Vault and Tenure put the peer port by default.
    pub peer_addr: HostPort,
    /// `leader_api_addr`: its client port, as Vault names it.
    pub api_addr: Option<ApiUrl>,
    /// `join_token_file`: a file with a join token; without one the unseal quorum proves the node.
    pub join_token_file: Option<PathBuf>,
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `log_level`. Default info.
    pub level: LogLevel,
    /// `log_format`. Default standard.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Requests, too.
    Debug,
    /// What operators want to know.
    Info,
    /// What may need a look.
    Warn,
    /// What needs one.
    Error,
}

impl LogLevel {
    /// Reads a name; Vault's spellings too.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" | "notice" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "err" => Ok(Self::Error),
            _ => Err(format!(
                "{text:?} is not one of trace, debug, info, warn, error"
            )),
        }
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Standard,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "standard" => Ok(Self::Standard),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is not one of standard, json")),
        }
    }
}

/// The `telemetry` stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// `prometheus_address`: where `/metrics` is served, in plain text. Off unless set; a bare
    /// port (":9102") means loopback.
    pub prometheus_address: Option<SocketAddr>,
}

impl Config {
    /// Loads files and directories in order (a later file wins over an earlier one; listeners add
    /// up), then the environment, then checks the whole.
    pub fn load(paths: &[PathBuf], env: &Environment) -> Result<Self, ConfigError> {
        let mut draft = read::Draft::default();
        for path in paths {
            for file in source::files_of(path)? {
                draft.merge(read::read(source::read(&file)?)?);
            }
        }
        env::apply(env, &mut draft)?;
        draft.check(env)
    }

    /// The configuration of `tenure server -dev`: plain text on loopback, data in a folder of its
    /// own that goes with it.
    pub fn dev(options: &DevOptions) -> std::io::Result<Self> {
        let data = TemporaryData::new()?;
        // Others must be told a real port, so "any" is resolved here.
        let resolved = |addr: SocketAddr| match addr.port() {
            0 => std::net::TcpListener::bind(addr)?.local_addr(),
            _ => Ok(addr),
        };
        let listen = resolved(options.address)?;
        let cluster_listen = resolved(([127, 0, 0, 1], options.cluster_port).into())?;
        let host = |addr: SocketAddr| {
            HostPort::new(&addr.ip().to_string(), addr.port()).map_err(std::io::Error::other)
        };
        let node_id = NodeName::parse("dev").map_err(std::io::Error::other)?;
        Ok(Self {
            listeners: vec![ListenerConfig {
                address: listen,
                cluster_address: Some(cluster_listen),
                tls: ListenerTls::Disabled,
                health_address: None,
                limits: EdgeLimits::default(),
                open_calls: OpenCalls::default(),
            }],
            storage: StorageConfig {
                path: data.path().to_owned(),
                temporary: Some(Arc::new(data)),
                node_id,
                retry_join: Vec::new(),
                timing: RaftTiming::default(),
                snapshot_threshold_bytes: SNAPSHOT_LOG_BYTES,
                trailing_logs: ENTRIES_KEPT,
            },
            api_addr: ApiUrl::new(false, host(listen)?),
            cluster_addr: host(cluster_listen)?,
            cluster_listen,
            cluster_name: Some("tenure-dev".to_owned()),
            default_lease_ttl: defaults::DEFAULT_LEASE_TTL,
            max_lease_ttl: defaults::MAX_LEASE_TTL,
            seal: None,
            log: options.log,
            telemetry: TelemetryConfig::default(),
            warnings: vec![
                "dev mode: plain text, one key share, data is gone at the end. Never in production"
                    .to_owned(),
            ],
        })
    }
}

/// What can be chosen in dev mode.
#[derive(Clone, Copy, Debug)]
pub struct DevOptions {
    /// Where clients are served; loopback unless the operator insists.
    pub address: SocketAddr,
    /// The peer port on loopback; 0 for any.
    pub cluster_port: u16,
    /// Logging.
    pub log: LogConfig,
}

impl Default for DevOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], defaults::API_PORT)),
            cluster_port: defaults::CLUSTER_PORT,
            log: LogConfig {
                level: LogLevel::Info,
                format: LogFormat::Standard,
            },
        }
    }
}

/// A data folder that is deleted when this is dropped.
#[derive(Debug)]
pub struct TemporaryData(tempfile::TempDir);

impl TemporaryData {
    fn new() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tenure-").tempdir()?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests;
