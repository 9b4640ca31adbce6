//! The listeners: what reaches this process from outside passes here, bounded, before anything
//! looks at it. Decides nothing about tokens; knows no service but health.

mod accept;
mod conn;
mod door;
mod layers;
mod methods;
mod refusal;
mod stack;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

pub use accept::Drained;
pub use conn::ConnInfo;
pub use door::Door;
pub use layers::{BodyBudget, Deadline, RequestId};
pub use methods::{MethodName, Methods};
pub use refusal::{APPLIED_KEY, Applied, ERROR_DOMAIN, refusal, refusal_until};
pub use tls::{TlsError, TlsReload};

use crate::config::{ListenerConfig, ListenerTls};
use crate::ha::health::HealthService;
use crate::limits::EdgeLimits;
use crate::telemetry::Metrics;
use accept::Acceptor;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be had.
    #[error("listener {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate and key can't be used.
    #[error("listener {address}: {source}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// What is wrong with them.
        source: TlsError,
    },
}

/// What the edge needs from the process.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Where requests and connections are counted.
    pub metrics: Arc<Metrics>,
    /// The methods that exist.
    pub methods: Arc<Methods>,
    /// What the bodies of all calls may hold in memory.
    pub bodies: BodyBudget,
}

/// A client listener that is bound and not yet served.
#[derive(Debug)]
pub struct ClientListener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<TlsReload>,
    limits: EdgeLimits,
}

impl ClientListener {
    /// Binds the address and loads the certificate, so that a mistake shows at start.
    pub async fn bind(config: &ListenerConfig) -> Result<Self, ListenError> {
        let tls = match &config.tls {
            ListenerTls::Disabled => None,
            ListenerTls::Files(files) => {
                let files = files.clone();
                let loaded = tokio::task::spawn_blocking(move || TlsReload::load(files)).await;
                let tls = loaded.unwrap_or(Err(TlsError::Interrupted));
                Some(tls.map_err(|source| ListenError::Tls {
                    address: config.address,
                    source,
                })?)
            }
        };
        let (tcp, address) = bind(config.address).await?;
        if tls.is_none() {
            tracing::warn!(
                %address,
                "TLS IS OFF on this listener (tls_disable): whoever is on the path reads every token"
            );
        }
        Ok(Self {
            tcp,
            address,
            tls,
            limits: config.limits.clone(),
        })
    }

    /// Where it listens, the port resolved.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reloads its certificate (on SIGHUP); none in plain text.
    pub fn tls_reload(&self) -> Option<TlsReload> {
        self.tls.clone()
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let error = |source| ListenError::Bind { address, source };
    let tcp = TcpListener::bind(address).await.map_err(error)?;
    let bound = tcp.local_addr().map_err(error)?;
    Ok((tcp, bound))
}

/// Serves clients until `stop` is cancelled: then no new connection is accepted, the open ones get
/// a GOAWAY, calls in flight have the drain time to end, and what is left is cut.
///
/// `service` is any HTTP service, such as `tonic::service::Routes` or both doors; the stack of `stack.rs` is put
/// around it. When a deadline passes or a client goes away, the future of its call is dropped: what
/// must not stop half-way has to run in a task of its own.
pub async fn serve_clients<S>(
    listener: ClientListener,
    service: S,
    edge: Edge,
    stop: CancellationToken,
) -> Drained
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let acceptor = Acceptor {
        service: stack::client_stack(service, &listener.limits, &edge),
        tcp: listener.tcp,
        tls: listener.tls,
        limits: listener.limits,
        metrics: edge.metrics.listener("client"),
    };
    acceptor.run(stop).await
}

/// A plain-text listener that will serve `grpc.health.v1` and nothing else. (Orchestrators probe
/// without TLS; there is nothing to read here but three yes-or-no answers.)
#[derive(Debug)]
pub struct HealthListener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl HealthListener {
    /// Binds the address.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let (tcp, address) = bind(address).await?;
        Ok(Self { tcp, address })
    }

    /// Where it listens, the port resolved.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves health checks alone, under small limits, until `stop` is cancelled.
pub async fn serve_health(
    listener: HealthListener,
    health: HealthService,
    edge: Edge,
    stop: CancellationToken,
) -> Drained {
    let limits = EdgeLimits::health_only();
    let routes = tonic::service::Routes::new(health.into_server());
    let acceptor = Acceptor {
        service: stack::client_stack(routes, &limits, &edge),
        tcp: listener.tcp,
        tls: None,
        limits,
        metrics: edge.metrics.listener("health"),
    };
    acceptor.run(stop).await
}

#[cfg(test)]
mod tests;
