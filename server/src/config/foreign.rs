//! The keys of Vault and OpenBao that Tenure doesn't have, and what is done about each: a warning
//! where doing nothing is harmless, an error where the operator would rely on an effect.

use super::section::Foreign::{Ignored, Refused, RefusedUnlessFalse};
use super::section::ForeignKeys;

const NO_CACHE: &str = "Tenure has no read cache to size or switch off";
const NO_PLUGINS: &str = "Tenure runs no external plugins";
const STDERR_LOGS: &str = "logs go to standard error; let the service manager keep them";
const NOT_BELIEVED: &str = "forwarded addresses are never believed";
const JSON_LIMITS: &str = "the limits of JSON bodies are fixed";
const RAFT_TUNING: &str = "Tenure's store has other knobs: see the performance stanza";
const AUTOPILOT: &str = "learners become voters when they have caught up";
const PINNED: &str = "nodes know each other by pinned keys";
const SINKS: &str = "only Prometheus is offered: set prometheus_address";

/// Top level of a file.
pub(super) const TOP: ForeignKeys = &[
    ("ui", RefusedUnlessFalse("there is no web interface")),
    (
        "disable_mlock",
        Ignored("keys are locked in memory where the system allows, and it goes on where not"),
    ),
    ("disable_cache", Ignored(NO_CACHE)),
    ("cache_size", Ignored(NO_CACHE)),
    (
        "disable_printable_check",
        Ignored("names are checked at the edge"),
    ),
    (
        "disable_performance_standby",
        Ignored("every unsealed standby reads"),
    ),
    (
        "disable_standby_reads",
        Ignored("standby reads are linearizable"),
    ),
    ("disable_sealwrap", Ignored("all that is stored is sealed")),
    (
        "disable_clustering",
        RefusedUnlessFalse("every node is part of a cluster; one node is a cluster of one"),
    ),
    (
        "service_registration",
        Ignored("use the gRPC health service on health_address"),
    ),
    (
        "enable_response_header_hostname",
        Ignored("answers don't name the host"),
    ),
    (
        "enable_response_header_raft_node_id",
        Ignored("answers don't name the node"),
    ),
    (
        "log_requests_level",
        Ignored("requests are logged at debug"),
    ),
    ("log_file", Refused(STDERR_LOGS)),
    ("log_rotate_bytes", Refused(STDERR_LOGS)),
    ("log_rotate_duration", Refused(STDERR_LOGS)),
    ("log_rotate_max_files", Refused(STDERR_LOGS)),
    (
        "detect_deadlocks",
        Ignored("a debugging aid of another program"),
    ),
    (
        "introspection_endpoint",
        RefusedUnlessFalse("there is no introspection endpoint"),
    ),
    (
        "raw_storage_endpoint",
        RefusedUnlessFalse("raw storage is never shown"),
    ),
    (
        "unsafe_allow_api_audit_creation",
        RefusedUnlessFalse("audit devices are not made this way"),
    ),
    (
        "allow_audit_log_prefixing",
        RefusedUnlessFalse("a prefix can turn an audit log into a program"),
    ),
    (
        "imprecise_lease_role_tracking",
        Ignored("leases are counted exactly"),
    ),
    ("license_path", Ignored("no licence is needed")),
    ("reporting", Ignored("nothing is reported to anyone")),
    ("experiments", Ignored("there are none")),
    (
        "user_lockout",
        Ignored("no auth method with passwords is enabled yet"),
    ),
    (
        "pid_file",
        Refused("let the service manager track the process"),
    ),
    ("plugin_directory", Refused(NO_PLUGINS)),
    ("plugin_tmpdir", Refused(NO_PLUGINS)),
    ("plugin_file_uid", Refused(NO_PLUGINS)),
    ("plugin_file_permissions", Refused(NO_PLUGINS)),
    ("plugin_auto_download", Refused(NO_PLUGINS)),
    ("plugin_auto_register", Refused(NO_PLUGINS)),
    ("plugin_download_behavior", Refused(NO_PLUGINS)),
    ("plugin", Refused(NO_PLUGINS)),
    (
        "kms_library",
        Refused("seal \"static\" and seal \"transit\" need no library"),
    ),
    ("entropy", Refused("randomness comes from the system")),
    (
        "initialize",
        Refused("initialise with `tenure operator init`"),
    ),
    (
        "audit",
        Refused(
            "audit devices are not available yet; starting without would leave requests unaudited",
        ),
    ),
    (
        "ha_storage",
        Refused("storage \"raft\" is highly available by itself"),
    ),
    ("backend", Refused("write storage \"raft\" { … }")),
    (
        "ha_backend",
        Refused("storage \"raft\" is highly available by itself"),
    ),
    (
        "administrative_namespace_path",
        Refused("there are no namespaces"),
    ),
    (
        "request_limiter",
        Ignored("set max_inflight_requests in the listener"),
    ),
    ("secret_sync", Refused("there is no secret sync")),
];

/// `listener "tcp"`.
pub(super) const LISTENER: ForeignKeys = &[
    (
        "tls_max_version",
        Ignored("the highest version that both sides know is used"),
    ),
    (
        "tls_cipher_suites",
        Refused("TLS 1.2 and 1.3 are offered with forward-secret AEAD suites only"),
    ),
    (
        "tls_prefer_server_cipher_suites",
        Ignored("obsolete in Vault too"),
    ),
    (
        "tls_disable_client_certs",
        Ignored("client certificates are asked for only with tls_client_ca_file"),
    ),
    ("tls_acme_domains", Refused("certificates come from files")),
    ("proxy_protocol_behavior", Refused(NOT_BELIEVED)),
    ("proxy_protocol_authorized_addrs", Refused(NOT_BELIEVED)),
    ("x_forwarded_for_authorized_addrs", Refused(NOT_BELIEVED)),
    ("x_forwarded_for_client_cert_header", Refused(NOT_BELIEVED)),
    (
        "x_forwarded_for_client_cert_header_decoders",
        Refused(NOT_BELIEVED),
    ),
    ("x_forwarded_for_hop_skips", Refused(NOT_BELIEVED)),
    (
        "x_forwarded_for_reject_not_authorized",
        Refused(NOT_BELIEVED),
    ),
    ("x_forwarded_for_reject_not_present", Refused(NOT_BELIEVED)),
    ("http_idle_timeout", Ignored("set max_connection_idle")),
    ("http_read_header_timeout", Ignored("set handshake_timeout")),
    ("http_read_timeout", Ignored("set max_request_duration")),
    ("http_write_timeout", Ignored("set max_request_duration")),
    ("max_request_json_memory", Ignored(JSON_LIMITS)),
    ("max_request_json_strings", Ignored(JSON_LIMITS)),
    ("max_json_depth", Ignored(JSON_LIMITS)),
    ("max_json_string_value_length", Ignored(JSON_LIMITS)),
    ("max_json_object_entry_count", Ignored(JSON_LIMITS)),
    ("max_json_array_element_count", Ignored(JSON_LIMITS)),
    (
        "require_request_header",
        Refused("there is no agent header to ask for yet"),
    ),
    ("chroot_namespace", Refused("there are no namespaces")),
    (
        "custom_response_headers",
        Ignored("there is no HTTP interface yet"),
    ),
    ("cors_enabled", Ignored("there is no HTTP interface yet")),
    (
        "telemetry",
        Ignored("metrics have their own address: telemetry { prometheus_address }"),
    ),
    ("profiling", Ignored("there is no profiling endpoint")),
    (
        "inflight_requests_logging",
        Ignored("requests in flight are a metric"),
    ),
    (
        "disable_replication_status_endpoints",
        Ignored("there are none"),
    ),
    (
        "redact_addresses",
        RefusedUnlessFalse("nothing is redacted yet"),
    ),
    (
        "redact_cluster_name",
        RefusedUnlessFalse("nothing is redacted yet"),
    ),
    (
        "redact_version",
        RefusedUnlessFalse("nothing is redacted yet"),
    ),
    (
        "disable_request_limiter",
        Refused("the limit on requests in flight can be raised, not removed"),
    ),
    ("role", Refused("a listener serves clients")),
    ("purpose", Refused("a listener serves clients")),
];

/// `storage "raft"`.
pub(super) const STORAGE: ForeignKeys = &[
    ("performance_multiplier", Ignored(RAFT_TUNING)),
    (
        "snapshot_threshold",
        Ignored("entries are not counted: set snapshot_threshold_bytes"),
    ),
    ("snapshot_interval", Ignored(RAFT_TUNING)),
    ("max_entry_size", Ignored("the size of an entry is fixed")),
    (
        "max_transaction_size",
        Ignored("the size of a transaction is fixed"),
    ),
    (
        "max_mount_and_namespace_table_entry_size",
        Ignored("the size of an entry is fixed"),
    ),
    ("autopilot_reconcile_interval", Ignored(AUTOPILOT)),
    ("autopilot_update_interval", Ignored(AUTOPILOT)),
    ("autopilot_upgrade_version", Ignored(AUTOPILOT)),
    (
        "autopilot_redundancy_zone",
        Refused("there are no redundancy zones"),
    ),
    (
        "retry_join_as_non_voter",
        RefusedUnlessFalse("a node that joins becomes a voter"),
    ),
    ("raft_wal", Ignored("the log is kept in RocksDB")),
    ("wal_log_backend", Ignored("the log is kept in RocksDB")),
    (
        "raft_log_verifier_enabled",
        Ignored("the log is verified always"),
    ),
];

/// `retry_join`.
pub(super) const RETRY_JOIN: ForeignKeys = &[
    (
        "auto_join",
        Refused("write one retry_join for each node; a headless service's names do"),
    ),
    ("auto_join_scheme", Refused("auto_join is not supported")),
    ("auto_join_port", Refused("auto_join is not supported")),
    ("leader_tls_servername", Ignored(PINNED)),
    ("leader_ca_cert", Ignored(PINNED)),
    ("leader_ca_cert_file", Ignored(PINNED)),
    ("leader_client_cert", Ignored(PINNED)),
    ("leader_client_cert_file", Ignored(PINNED)),
    (
        "leader_client_key",
        Refused("keys don't belong in a configuration; nodes have their own"),
    ),
    ("leader_client_key_file", Ignored(PINNED)),
];

/// `seal`.
pub(super) const SEAL: ForeignKeys = &[
    (
        "disabled",
        RefusedUnlessFalse("a cluster keeps the seal that it was initialised with"),
    ),
    (
        "tls_skip_verify",
        RefusedUnlessFalse("whoever answers would be given the root key: set tls_ca_cert"),
    ),
    ("priority", Refused("there is one seal")),
    ("name", Refused("there is one seal")),
    (
        "key_id_prefix",
        Ignored("the ciphertext names its key itself"),
    ),
    ("plugin", Refused(NO_PLUGINS)),
];

/// `telemetry`.
pub(super) const TELEMETRY: ForeignKeys = &[
    (
        "prometheus_retention_time",
        Ignored("metrics are kept as long as the process lives"),
    ),
    (
        "disable_hostname",
        Ignored("metrics never carry the host name"),
    ),
    (
        "enable_hostname_label",
        Ignored("let the scraper add the instance"),
    ),
    ("usage_gauge_period", Ignored("gauges are always current")),
    ("maximum_gauge_cardinality", Ignored("labels are bounded")),
    (
        "lease_metrics_epsilon",
        Ignored("leases are counted exactly"),
    ),
    (
        "num_lease_metrics_buckets",
        Ignored("leases are counted exactly"),
    ),
    (
        "add_lease_metrics_namespace_labels",
        Ignored("there are no namespaces"),
    ),
    (
        "add_mount_point_rollback_metrics",
        Ignored("there are no rollbacks"),
    ),
    ("filter_default", Ignored("filter in the scraper")),
    ("prefix_filter", Ignored("filter in the scraper")),
    ("metrics_prefix", Ignored("names begin with tenure_")),
    (
        "unauthenticated_metrics_access",
        Ignored("who reaches prometheus_address reads metrics"),
    ),
    ("statsd_address", Refused(SINKS)),
    ("statsite_address", Refused(SINKS)),
    ("dogstatsd_addr", Refused(SINKS)),
    ("dogstatsd_tags", Refused(SINKS)),
    ("circonus_api_token", Refused(SINKS)),
    ("stackdriver_project_id", Refused(SINKS)),
];
