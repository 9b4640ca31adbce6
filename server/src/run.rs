//! The main path of the process: configuration → store → pipeline → listeners, until it is
//! told to stop; then leadership is handed over, calls drain, keys are forgotten.

mod dev;
mod signals;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tenure_core::{
    token::{TtlConfig, TtlConfigError},
    types::{Ttl, TtlError},
};
use tenure_proto::v1;
use tenure_raft::{
    clock::SystemClock,
    node::{Node, NodeConfig, StartError},
    options::Timing,
    tls::PeerTlsOptions,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::dev::{Dev, DevReady};
use self::signals::{Signals, until_stopped};
use crate::{
    api::{Doors, grpc::Services, http},
    backup::Saves,
    config::{Config, ConfigError, Environment},
    expiration::{self, DueHead, hold_of},
    ha::{
        forward::Receiver,
        health::{DiskProbe, HealthService, HealthState},
        leadership,
    },
    limits,
    listen::{
        BodyBudget, ClientListener, Edge, HealthListener, ListenError, Methods, serve_clients,
        serve_health,
    },
    pipeline::{Observer, Pipeline, RateGate, Revoked, StateView},
    process,
    seal::{Keys, Sealer, provider_of, rotation},
    telemetry::{
        LogTarget, Metrics, MetricsListener, install_panic_hook, serve_metrics, start_logs,
    },
};

/// How often health and metrics are brought up to date.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the hand-over of leadership may take when the process is told to stop.
const HAND_OVER_WAIT: Duration = Duration::from_millis(limits::HAND_OVER_MS_MAX);

/// Why the server didn't start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `default_lease_ttl` or `max_lease_ttl`.
    #[error("default_lease_ttl, max_lease_ttl: {0}")]
    Ttl(String),
    /// The `seal` stanza isn't that of the cluster.
    #[error("seal: {0}")]
    Seal(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StartError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// A fault of this build.
    #[error("{0}")]
    Build(String),
    /// Dev mode could not be set up.
    #[error("dev mode: {0}")]
    Dev(String),
    /// The store stopped by itself.
    #[error("the replicated store has stopped; see the log")]
    Stopped,
}

/// Runs a server with these configuration files or folders until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`].
pub fn serve(paths: &[PathBuf]) -> Result<(), RunError> {
    let config = Config::load(paths, &Environment::of_process())?;
    with_runtime(run(config, None))
}

/// Runs a development server until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`].
pub fn dev(dev: Dev) -> Result<(), RunError> {
    let config = Config::dev(&dev.options).map_err(|source| RunError::Io {
        what: "making a folder for dev mode",
        source,
    })?;
    with_runtime(run(config, Some(dev)))
}

fn with_runtime(main: impl Future<Output = Result<(), RunError>>) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Io {
            what: "starting threads",
            source,
        })?;
    let result = runtime.block_on(main);
    runtime.shutdown_timeout(Duration::from_millis(limits::RUNTIME_END_MS_MAX));
    result
}

struct Probe(Node);

impl DiskProbe for Probe {
    fn probe(&self) -> Result<(), String> {
        self.0.probe_disk().map_err(|error| error.to_string())
    }
}

fn ttl_config(config: &Config) -> Result<TtlConfig, RunError> {
    let ttl = |duration: Duration| Ttl::from_seconds(duration.as_secs());
    let made = || -> Result<TtlConfig, TtlErrors> {
        Ok(TtlConfig::new(
            ttl(config.default_lease_ttl)?,
            ttl(config.max_lease_ttl)?,
        )?)
    };
    made().map_err(|error| RunError::Ttl(error.to_string()))
}

#[derive(Debug, thiserror::Error)]
enum TtlErrors {
    #[error(transparent)]
    Ttl(#[from] TtlError),
    #[error(transparent)]
    Config(#[from] TtlConfigError),
}

fn node_config(config: &Config) -> NodeConfig {
    let timing = &config.storage.timing;
    NodeConfig {
        data_dir: config.storage.path.clone(),
        name: config.storage.node_id.as_str().to_owned(),
        peer_listen: config.cluster_listen,
        peer_address: config.cluster_addr.to_string(),
        api_address: config.api_addr.to_string(),
        timing: Timing {
            heartbeat_ms: timing.heartbeat_ms,
            election_min_ms: timing.election_min_ms,
            election_max_ms: timing.election_max_ms,
        },
        snapshot_log_bytes: config.storage.snapshot_threshold_bytes,
        entries_kept: config.storage.trailing_logs,
        clock: Arc::new(SystemClock),
        tls: PeerTlsOptions::default(),
    }
}

async fn run(config: Config, dev: Option<Dev>) -> Result<(), RunError> {
    let metrics = Arc::new(Metrics::new());
    let started = start_logs(config.log, LogTarget::Stderr, &metrics);
    let (subscriber, logs) = started.map_err(|source| RunError::Io {
        what: "starting the log",
        source,
    })?;
    // A second server in one process keeps the first one's log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    install_panic_hook();
    process::harden();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let result = run_logged(config, dev, metrics).await;
    if let Err(error) = &result {
        tracing::error!(%error, "the server ends");
    }
    logs.flush();
    result
}

async fn run_logged(
    config: Config,
    dev: Option<Dev>,
    metrics: Arc<Metrics>,
) -> Result<(), RunError> {
    let ttl = ttl_config(&config)?;
    let keys = Arc::new(Keys::default());
    let revoked = Arc::new(Revoked::default());
    let due = Arc::new(DueHead::default());
    let rates = Arc::new(RateGate::default());
    // The peer port is served before there is a pipeline to forward to.
    let slot: Arc<OnceLock<Arc<Pipeline>>> = Arc::default();
    let receiver = Receiver(Arc::clone(&slot)).service();
    let node = Node::start(
        node_config(&config),
        Arc::new(Observer {
            keys: Arc::clone(&keys),
            revoked: Arc::clone(&revoked),
            due: Arc::clone(&due),
            rates: Arc::clone(&rates),
        }),
        Arc::clone(&keys) as Arc<_>,
        tonic::service::Routes::new(receiver),
    )
    .await?;
    let cluster_name = config
        .cluster_name
        .clone()
        .unwrap_or_else(|| "tenure".to_owned());
    let provider = config.seal.as_ref().map(provider_of);
    let pipeline = Arc::new(Pipeline {
        node: node.clone(),
        keys: Arc::clone(&keys),
        revoked,
        due,
        streams: Arc::default(),
        attempts: Arc::default(),
        share_rate: Arc::default(),
        provider: provider.clone(),
        rates,
        ttl,
        saves: Saves::default(),
        cluster_name: cluster_name.clone(),
        metrics: Arc::clone(&metrics),
    });
    let _ = slot.set(Arc::clone(&pipeline));
    let sealer = Arc::new(Sealer::new(
        node.clone(),
        Arc::clone(&keys),
        cluster_name,
        config.storage.retry_join.clone(),
        provider,
    ));
    sealer.check_stanza().map_err(RunError::Seal)?;
    let services = Services {
        pipeline: Arc::clone(&pipeline),
        sealer: Arc::clone(&sealer),
    };

    // From here on a signal ends the server in order.
    let signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let reloads = listen(&config, &services, &node, &metrics, &stop, &mut tasks).await?;
    tasks.spawn(leadership::run(
        node.clone(),
        Arc::clone(&keys),
        {
            let pipeline = Arc::clone(&pipeline);
            move |end| {
                // What quorums began here ends when this node is active no more.
                let (attempts, ended) = (Arc::clone(&pipeline.attempts), end.clone());
                tokio::spawn(async move {
                    ended.cancelled().await;
                    attempts.clear();
                });
                rotation::start(&pipeline, end.clone());
                expiration::start(&pipeline, end);
            }
        },
        stop.clone(),
    ));
    let (watched, of) = (Arc::clone(&keys), node.clone());
    let stopped = stop.clone();
    tasks.spawn(async move {
        // The store goes on without the keys, as that of any sealed node.
        let follow = async {
            loop {
                watched.lost().await;
                // It may have been opened with other keys since.
                if watched.is_sealed() {
                    of.set_unsealed(false).await;
                }
            }
        };
        stopped.run_until_cancelled(follow).await;
    });
    let opener = Arc::clone(&sealer);
    let stopped = stop.clone();
    tasks.spawn(async move {
        stopped.run_until_cancelled(opener.open_itself()).await;
    });
    let joiner = Arc::clone(&sealer);
    let stopped = stop.clone();
    tasks.spawn(async move {
        stopped.run_until_cancelled(joiner.retry_join()).await;
    });
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = config.storage.node_id.as_str(),
        "the server is up"
    );
    if let Some(dev) = dev {
        dev::set_up(&sealer, &pipeline, &config, dev).await?;
    }

    let result = until_stopped(signals, &node, reloads).await;
    tracing::info!("the server stops");
    // Leadership first, while peers and clients are still served; then calls drain.
    let _ = timeout(HAND_OVER_WAIT, node.hand_over(None)).await;
    pipeline.streams.close();
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    keys.close();
    node.shutdown().await;
    result
}

/// Opens the listeners and serves them until `stop`.
async fn listen(
    config: &Config,
    services: &Services,
    node: &Node,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<crate::listen::TlsReload>, RunError> {
    let build = |error: &dyn std::fmt::Display| RunError::Build(error.to_string());
    let mut methods = Methods::default();
    for set in [
        v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ] {
        methods
            .add_descriptors(set)
            .map_err(|error| build(&error))?;
    }
    methods.add_patterns(http::patterns(), http::pattern_of);
    let edge = Edge {
        metrics: Arc::clone(metrics),
        methods: Arc::new(methods),
        bodies: BodyBudget::default(),
    };
    let (state, watched) = watch::channel(HealthState::default());
    let health = HealthService::new(watched, Arc::new(Probe(node.clone())), stop.clone());
    let health = health.map_err(|source| RunError::Io {
        what: "starting the disk probe",
        source,
    })?;
    let mut reloads = Vec::new();
    for listener in &config.listeners {
        let bound = ClientListener::bind(listener).await?;
        tracing::info!(address = %bound.address(), "clients are served here");
        reloads.extend(bound.tls_reload());
        let grpc = services
            .routes()
            .map_err(|error| build(&error))?
            .add_service(health.clone().into_server());
        let doors = Doors::new(grpc, services.clone(), listener.open_calls);
        let serving = serve_clients(bound, doors, edge.clone(), stop.clone());
        tasks.spawn(async move {
            let drained = serving.await;
            tracing::info!(cut = drained.cut, "a client listener has ended");
        });
        if let Some(address) = listener.health_address {
            let bound = HealthListener::bind(address).await?;
            tracing::info!(address = %bound.address(), "health is served here, in plain text");
            let serving = serve_health(bound, health.clone(), edge.clone(), stop.clone());
            tasks.spawn(async move {
                serving.await;
            });
        }
    }
    if let Some(address) = config.telemetry.prometheus_address {
        let bound = MetricsListener::bind(address)
            .await
            .map_err(|source| RunError::Io {
                what: "listening for metrics",
                source,
            })?;
        tasks.spawn(serve_metrics(bound, Arc::clone(metrics), stop.clone()));
    }
    let look = look_after(services.pipeline.clone(), Arc::clone(metrics), state);
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(look).await;
    });
    Ok(reloads)
}

/// Keeps health and the gauges of the store up to date.
async fn look_after(
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    state: watch::Sender<HealthState>,
) {
    let node = &pipeline.node;
    let mut ticks = interval(LOOK_EVERY);
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    loop {
        ticks.tick().await;
        let unsealed = !pipeline.keys.is_sealed();
        let active = unsealed && node.is_active();
        let leads = node.leadership().borrow().is_leader;
        let ready = unsealed && (active || (!leads && node.has_live_leader()));
        state.send_if_modified(|known| {
            let now = HealthState { ready, active };
            std::mem::replace(known, now) != now
        });
        let gauges = metrics.store();
        gauges.active.set(i64::from(active));
        gauges.unsealed.set(i64::from(unsealed));
        metrics.expiration().set_pending(&pipeline.revoked.now());
        if let Some(status) = node.status() {
            gauges.term.set(number(status.term));
            gauges.leader_id.set(number(status.leader.unwrap_or(0)));
            gauges.applied_index.set(number(status.applied_index));
            gauges.revision.set(number(status.revision));
            gauges.clock_skew_ms.set(status.clock_skew_ms);
            gauges.log_bytes.set(number(status.log_bytes));
            gauges.proposed.set(status.proposed);
            gauges.set_rows_read(status.rows_read);
            let held = node.view().ok().map(|view| hold_of(&StateView(view)));
            let held = held.is_some_and(|held| matches!(held, Ok(Some(_))));
            gauges.expiration_held.set(i64::from(held));
            let voters = status.members.iter().filter(|member| member.voter).count();
            gauges.voters.set(i64::try_from(voters).unwrap_or(i64::MAX));
        }
    }
}
