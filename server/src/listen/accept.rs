//! The accept loop of every listener: cap, handshake in time, drain. A flood costs what the cap
//! allows and no more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

use super::conn::{self, Activity, ConnInfo, End};
use super::tls::TlsReload;
use crate::limits::{ACCEPT_BACKOFF_MS, EdgeLimits};
use crate::telemetry::ListenerMetrics;

/// A full listener says so in the log at most this often.
const FULL_WARNING_EVERY: Duration = Duration::from_secs(10);

/// How a listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because the drain bound was over.
    pub cut: usize,
}

/// A bound listener with what it serves.
pub(super) struct Acceptor<S> {
    pub tcp: TcpListener,
    pub tls: Option<TlsReload>,
    pub limits: EdgeLimits,
    pub service: S,
    pub metrics: ListenerMetrics,
}

/// What each connection needs.
struct Shared<S> {
    tls: Option<TlsReload>,
    limits: EdgeLimits,
    service: S,
    metrics: ListenerMetrics,
    stop: CancellationToken,
    cut: CancellationToken,
    cut_count: AtomicUsize,
}

impl<S> Acceptor<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    /// Accepts until `stop`, then drains.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        let Self {
            tcp,
            tls,
            limits,
            service,
            metrics,
        } = self;
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        let drain_max = limits.drain_max;
        let cut = CancellationToken::new();
        let cut_count = AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            tls,
            limits,
            service,
            metrics,
            stop,
            cut,
            cut_count,
        });
        let connections = TaskTracker::new();
        let watcher = shared
            .tls
            .clone()
            .map(|tls| tokio::spawn(tls.watch(shared.stop.clone())));
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                accepted = tcp.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    shared.metrics.accept_failed();
                    accept_error(&error).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                // Dropped before the handshake: the cheapest answer there is.
                drop(stream);
                shared.metrics.rejected();
                if warned.is_none_or(|at| at.elapsed() >= FULL_WARNING_EVERY) {
                    warned = Some(Instant::now());
                    let max = shared.limits.connections_max;
                    tracing::warn!(%peer, max, "connection refused: the listener is full");
                }
                continue;
            };
            let shared = shared.clone();
            connections.spawn(async move {
                shared.connection(stream, peer).await;
                drop(slot);
            });
        }
        // New connections are refused by the system from here on.
        drop(tcp);
        connections.close();
        if tokio::time::timeout(drain_max, connections.wait())
            .await
            .is_err()
        {
            shared.cut.cancel();
            connections.wait().await;
        }
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        Drained {
            cut: shared.cut_count.load(Ordering::Relaxed),
        }
    }
}

/// The client's own errors are passed over; when the system is out of something (file
/// descriptors, memory), a pause keeps the loop from spinning.
async fn accept_error(error: &std::io::Error) {
    use std::io::ErrorKind;
    let of_client = matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    );
    if !of_client {
        tracing::error!(%error, "can't accept connections");
        tokio::time::sleep(Duration::from_millis(ACCEPT_BACKOFF_MS)).await;
    }
}

impl<S> Shared<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let _open = self.metrics.connection();
        // Small messages must not wait for more; a failure costs latency only.
        let _ = stream.set_nodelay(true);
        let mut info = ConnInfo {
            peer,
            local: stream.local_addr().ok(),
            tls: self.tls.is_some(),
            client_certificates: None,
            activity: Arc::new(Activity::new(Instant::now())),
        };
        let Some(tls) = &self.tls else {
            let end = conn::serve(
                stream,
                info,
                self.service.clone(),
                &self.limits,
                &self.stop,
                &self.cut,
            );
            return self.ended(end.await);
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let handshake = tokio::time::timeout(self.limits.handshake_max, handshake);
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    self.metrics.tls_failed("handshake");
                    tracing::debug!(%peer, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    self.metrics.tls_failed("timeout");
                    tracing::debug!(%peer, "TLS handshake took too long");
                    return;
                }
            },
        };
        info.client_certificates = stream.get_ref().1.peer_certificates().map(Into::into);
        let end = conn::serve(
            stream,
            info,
            self.service.clone(),
            &self.limits,
            &self.stop,
            &self.cut,
        );
        self.ended(end.await);
    }

    fn ended(&self, end: End) {
        match end {
            End::Closed => {}
            End::Cut => {
                self.cut_count.fetch_add(1, Ordering::Relaxed);
                self.metrics.cut();
            }
            End::NoPreface => self.metrics.silent(),
        }
    }
}
