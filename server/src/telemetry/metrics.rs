//! The metrics, all named `tenure_*` with their unit. One registry for the process; other modules
//! add theirs with [`Metrics::register`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

use super::{ExpirationMetrics, StoreMetrics};
use crate::listen::MethodName;

/// Upper ends of the latency buckets: from a cached read (0.1 ms) to a call that waits for an
/// election (a second) and the default deadline.
const LATENCY_SECONDS: [f64; 15] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    10.0, 90.0,
];

impl EncodeLabelValue for MethodName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        fmt::Write::write_str(encoder, self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: MethodName,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerReasonLabels {
    listener: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

type ByCall<M, C = fn() -> M> = Family<CallLabels, M, C>;

/// The metrics of the process.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: ByCall<Counter>,
    latency: ByCall<Histogram>,
    inflight: Gauge,
    shed: Counter,
    connections: Family<ListenerLabels, Gauge>,
    connections_opened: Family<ListenerLabels, Counter>,
    connections_refused: Family<ListenerReasonLabels, Counter>,
    tls_errors: Family<ListenerReasonLabels, Counter>,
    log_lines_dropped: Counter,
    store: StoreMetrics,
    expiration: ExpirationMetrics,
    forwarded: Family<MethodLabels, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes the registry with everything that the edge counts.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("tenure")),
            requests: Family::new_with_constructor(Counter::default),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS)),
            inflight: Gauge::default(),
            shed: Counter::default(),
            connections: Family::default(),
            connections_opened: Family::default(),
            connections_refused: Family::default(),
            tls_errors: Family::default(),
            log_lines_dropped: Counter::default(),
            store: StoreMetrics::default(),
            expiration: ExpirationMetrics::default(),
            forwarded: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "requests",
                "Requests by method and code",
                metrics.requests.clone(),
            );
            registry.register_with_unit(
                "request_duration",
                "Time from the head of a request to the last byte of its answer",
                Unit::Seconds,
                metrics.latency.clone(),
            );
            let inflight = metrics.inflight.clone();
            registry.register(
                "requests_inflight",
                "Requests not wholly answered",
                inflight,
            );
            registry.register(
                "requests_shed",
                "Requests refused by load",
                metrics.shed.clone(),
            );
            registry.register(
                "connections",
                "Open connections",
                metrics.connections.clone(),
            );
            let opened = metrics.connections_opened.clone();
            registry.register("connections_opened", "Accepted connections", opened);
            let refused = metrics.connections_refused.clone();
            registry.register(
                "connections_ended",
                "Connections ended by this side",
                refused,
            );
            registry.register(
                "tls_errors",
                "Failed TLS handshakes",
                metrics.tls_errors.clone(),
            );
            let dropped = metrics.log_lines_dropped.clone();
            registry.register(
                "log_lines_dropped",
                "Log lines lost to a slow output",
                dropped,
            );
            let forwarded = metrics.forwarded.clone();
            registry.register(
                "requests_forwarded",
                "Requests that this node passed on to the active one",
                forwarded,
            );
            metrics.store.register(registry);
            metrics.expiration.register(registry);
        });
        metrics
    }

    /// Adds metrics of another module. Names get the prefix `tenure_`; labels must come from
    /// closed sets and hold nothing that a user chose.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The gauges of the replicated store.
    pub fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// The metrics of expiry and clean-up.
    pub fn expiration(&self) -> &ExpirationMetrics {
        &self.expiration
    }

    /// The counter that the log output counts its losses in.
    pub(super) fn log_lines_dropped(&self) -> Counter {
        self.log_lines_dropped.clone()
    }

    /// Everything in the text format of Prometheus (OpenMetrics).
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Counts a finished request.
    pub(crate) fn request(&self, method: &MethodName, code: Code, took: Duration) {
        let labels = CallLabels {
            method: method.clone(),
            code: code_name(code),
        };
        self.requests.get_or_create(&labels).inc();
        self.latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts a request that is passed on to the active node.
    pub(crate) fn forwarded(&self, method: &'static str) {
        self.forwarded.get_or_create(&MethodLabels { method }).inc();
    }

    /// Counts a request that was refused by load.
    pub(crate) fn shed(&self) {
        self.shed.inc();
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn inflight(&self) -> InflightGuard {
        self.inflight.inc();
        InflightGuard(self.inflight.clone())
    }

    /// The counters of one listener.
    pub(crate) fn listener(self: &Arc<Self>, name: &'static str) -> ListenerMetrics {
        ListenerMetrics {
            metrics: self.clone(),
            name,
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InflightGuard(Gauge);

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    metrics: Arc<Metrics>,
    name: &'static str,
}

impl ListenerMetrics {
    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn connection(&self) -> ConnectionGuard {
        let labels = ListenerLabels {
            listener: self.name,
        };
        self.metrics.connections_opened.get_or_create(&labels).inc();
        let gauge = self.metrics.connections.get_or_create_owned(&labels);
        gauge.inc();
        ConnectionGuard(gauge)
    }

    fn ended(&self, reason: &'static str) {
        let labels = ListenerReasonLabels {
            listener: self.name,
            reason,
        };
        self.metrics
            .connections_refused
            .get_or_create(&labels)
            .inc();
    }

    /// A connection above the cap.
    pub(crate) fn rejected(&self) {
        self.ended("full");
    }

    /// A connection that was cut with calls on it.
    pub(crate) fn cut(&self) {
        self.ended("cut");
    }

    /// A connection that said nothing in time.
    pub(crate) fn silent(&self) {
        self.ended("silent");
    }

    /// The system refused an accept.
    pub(crate) fn accept_failed(&self) {
        self.ended("accept_failed");
    }

    /// A handshake that failed.
    pub(crate) fn tls_failed(&self, reason: &'static str) {
        let labels = ListenerReasonLabels {
            listener: self.name,
            reason,
        };
        self.metrics.tls_errors.get_or_create(&labels).inc();
    }
}

/// An open connection.
#[derive(Debug)]
pub struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
