//! One connection: preface in time, age, idleness, the polite end and the hard one. Knows HTTP/1.1
//! and HTTP/2, and nothing of what is asked.

use std::convert::Infallible;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Service, ServiceExt};

use crate::limits::{self, EdgeLimits};

/// Bytes of the HTTP/2 connection preface.
const PREFACE_BYTES: u64 = 24;
/// After a polite end of an idle connection, time for the client to hang up.
const IDLE_GRACE: Duration = Duration::from_secs(5);

/// What is known of a connection. In the extensions of each of its requests.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// Who is at the other end of the TCP connection. Nothing in a header changes it.
    pub peer: SocketAddr,
    /// Our end.
    pub local: Option<SocketAddr>,
    /// Whether it is encrypted.
    pub tls: bool,
    /// The client's certificates, verified against `tls_client_ca_file`.
    pub client_certificates: Option<Arc<[CertificateDer<'static>]>>,
    pub(super) activity: Arc<Activity>,
}

/// What a connection has done, to tell an idle or silent one.
#[derive(Debug)]
pub(super) struct Activity {
    since: Instant,
    bytes_read: AtomicU64,
    called: AtomicBool,
    open_calls: AtomicUsize,
    last_call_ended_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            bytes_read: AtomicU64::new(0),
            called: AtomicBool::new(false),
            open_calls: AtomicUsize::new(0),
            last_call_ended_ms: AtomicU64::new(0),
        }
    }

    /// Counts a call until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> OpenCall {
        self.called.store(true, Ordering::Relaxed);
        self.open_calls.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// Whether nothing came yet that looks like HTTP. A request of HTTP/1.1 may be shorter than
    /// the preface of HTTP/2.
    fn is_silent(&self) -> bool {
        self.bytes_read.load(Ordering::Relaxed) < PREFACE_BYTES
            && !self.called.load(Ordering::Relaxed)
    }

    fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_millis(self.last_call_ended_ms.load(Ordering::Acquire));
        (self.open_calls.load(Ordering::Acquire) == 0).then(|| self.since + ended)
    }
}

/// A call that is not wholly answered.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<Activity>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = self.0.since.elapsed().as_millis() as u64;
        self.0.last_call_ended_ms.fetch_max(now, Ordering::AcqRel);
        self.0.open_calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts what the peer sent.
pub(super) struct Counted<IO> {
    inner: IO,
    activity: Arc<Activity>,
}

impl<IO> Counted<IO> {
    pub(super) fn new(inner: IO, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        self.activity
            .bytes_read
            .fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// The HTTP settings of a listener: both versions on one port, told apart by how a client begins.
fn http(limits: &EdgeLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let head_bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let head_wait = Duration::from_millis(limits::HTTP1_HEAD_MS_MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_wait.min(limits.connection_idle_max))
        .max_headers(limits::HTTP1_HEADERS_MAX)
        .max_buf_size(head_bytes.max(limits::HTTP1_BUFFER_BYTES_MIN));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.concurrent_streams_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_frame_size(limits::HTTP2_FRAME_BYTES_MAX)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::HTTP2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::HTTP2_ERROR_RESETS_MAX)
        .keep_alive_interval(Duration::from_millis(limits::HTTP2_PING_INTERVAL_MS))
        .keep_alive_timeout(Duration::from_millis(limits::HTTP2_PING_TIMEOUT_MS));
    builder
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By the client, or by both after a GOAWAY.
    Closed,
    /// By us, with calls or bytes still on the way.
    Cut,
    /// By us: nothing that looks like HTTP came in time.
    NoPreface,
}

/// Serves a connection until it ends. `stop` asks for the polite end, `cut` for the hard one.
pub(super) async fn serve<IO, S>(
    io: IO,
    info: ConnInfo,
    service: S,
    limits: &EdgeLimits,
    stop: &CancellationToken,
    cut: &CancellationToken,
) -> End
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let activity = info.activity.clone();
    let opened = Instant::now();
    let preface_by = opened + limits.handshake_max;
    let old_at = opened + jittered(limits.connection_age_max, info.peer);
    let tcp = TcpConnectInfo {
        local_addr: info.local,
        remote_addr: Some(info.peer),
    };
    let service = service.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(tcp.clone());
        request.extensions_mut().insert(info.clone());
        request
    });
    let builder = http(limits);
    let io = TokioIo::new(Counted::new(io, activity.clone()));
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(service)));
    // Once the polite end was asked for: when patience is over.
    let mut cut_at: Option<Instant> = None;
    let mut stopping = false;
    loop {
        let look_at = cut_at.unwrap_or_else(|| next_look(&activity, limits, preface_by, old_at));
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended with an error");
                }
                return End::Closed;
            }
            () = cut.cancelled() => return End::Cut,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                // From here the drain bound of the listener rules.
                cut_at = Some(Instant::now() + limits.drain_max + IDLE_GRACE);
            }
            () = tokio::time::sleep_until(look_at) => {
                let now = Instant::now();
                if cut_at.is_some() {
                    return End::Cut;
                }
                if activity.is_silent() {
                    if now >= preface_by {
                        return End::NoPreface;
                    }
                } else if now >= old_at {
                    connection.as_mut().graceful_shutdown();
                    cut_at = Some(now + limits.connection_age_grace);
                } else if activity.idle_since().is_some_and(|t| now >= t + limits.connection_idle_max) {
                    connection.as_mut().graceful_shutdown();
                    cut_at = Some(now + IDLE_GRACE);
                }
            }
        }
    }
}

/// When something may have to be done about the connection.
fn next_look(
    activity: &Activity,
    limits: &EdgeLimits,
    preface_by: Instant,
    old_at: Instant,
) -> Instant {
    let now = Instant::now();
    let idle_at = activity.idle_since().unwrap_or(now) + limits.connection_idle_max;
    let next = idle_at.min(old_at);
    if activity.is_silent() && now < preface_by {
        // It may say something meanwhile; while it doesn't, only the preface's time counts.
        return if next > now {
            next.min(preface_by)
        } else {
            preface_by
        };
    }
    // Never a busy loop, whatever the clock says.
    next.max(now + Duration::from_millis(10))
}

/// Plus or minus a tenth, so that the connections of one moment don't all end at one moment.
fn jittered(age: Duration, peer: SocketAddr) -> Duration {
    let random = std::hash::RandomState::new().hash_one(peer) % 200;
    age.mul_f64(0.9 + random as f64 / 1000.0)
}
