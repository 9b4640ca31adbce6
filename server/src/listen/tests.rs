//! The edge against good and bad clients, over real sockets.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt;

use super::*;
use crate::config::{LogConfig, LogFormat, LogLevel, TlsFiles};
use crate::ha::health::{DiskProbe, HealthState};
use crate::telemetry::{LogTarget, start_logs};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the bodies of all calls may hold.
const BODIES_BYTES: usize = 4 << 20;

/// What the test service does is asked for in the `service` field of a health check.
#[derive(Clone, Default)]
struct Play {
    release: Arc<Notify>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    headers: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl Health for Play {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let names = request.metadata().keys().map(|key| format!("{key:?}"));
        *self.headers.lock().unwrap() = names.collect();
        assert!(request.extensions().get::<RequestId>().is_some());
        assert!(request.extensions().get::<Deadline>().is_some());
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let running = self.running.clone();
        let _count = Guard(running);
        self.most.fetch_max(now, Ordering::SeqCst);
        match request.get_ref().service.as_str() {
            "wait" => self.release.notified().await,
            "pause" => tokio::time::sleep(Duration::from_millis(50)).await,
            "panic" => panic!(
                "{}",
                request.get_ref().service.replace("panic", "hvs.canary")
            ),
            _ => {}
        }
        Ok(tonic::Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Ok(tonic::Response::new(tokio_stream::pending()))
    }
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Play {
    /// `/test.Play/…` is the test service; everything else is as it is.
    fn service(
        &self,
    ) -> impl Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        use tower::ServiceExt;
        let routes = tonic::service::Routes::new(HealthServer::new(self.clone()));
        routes.map_request(|mut request: Request<Body>| {
            let path = request
                .uri()
                .path()
                .replace("/test.Play/", "/grpc.health.v1.Health/");
            *request.uri_mut() = path.parse().unwrap();
            request
        })
    }
}

fn edge() -> Edge {
    let mut methods = Methods::default();
    methods.add("/test.Play/Check");
    methods
        .add_descriptors(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .unwrap();
    assert_eq!(
        methods.name("/grpc.health.v1.Health/Watch").as_str(),
        "/grpc.health.v1.Health/Watch"
    );
    Edge {
        metrics: Arc::new(Metrics::new()),
        methods: Arc::new(methods),
        bodies: BodyBudget::new(BODIES_BYTES),
    }
}

struct Server {
    address: SocketAddr,
    play: Play,
    edge: Edge,
    stop: CancellationToken,
    tls: Option<TlsReload>,
    done: tokio::task::JoinHandle<Drained>,
}

async fn serve(tls: ListenerTls, limits: EdgeLimits) -> Server {
    let config = ListenerConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        cluster_address: None,
        tls,
        health_address: None,
        limits,
        open_calls: crate::config::OpenCalls::default(),
    };
    let listener = ClientListener::bind(&config).await.unwrap();
    let (address, tls) = (listener.address(), listener.tls_reload());
    let (play, edge, stop) = (Play::default(), edge(), CancellationToken::new());
    let done = tokio::spawn(serve_clients(
        listener,
        play.service(),
        edge.clone(),
        stop.clone(),
    ));
    Server {
        address,
        play,
        edge,
        stop,
        tls,
        done,
    }
}

async fn plain(limits: EdgeLimits) -> Server {
    serve(ListenerTls::Disabled, limits).await
}

impl Server {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    fn metric(&self, line: &str) -> bool {
        self.edge
            .metrics
            .encode()
            .unwrap()
            .lines()
            .any(|l| l == line)
    }
}

async fn call_path(
    channel: Channel,
    path: &'static str,
    request: tonic::Request<HealthCheckRequest>,
) -> Result<tonic::Response<HealthCheckResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|e| Status::unavailable(e.to_string()))?;
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    grpc.unary(request, http::uri::PathAndQuery::from_static(path), codec)
        .await
}

fn ask(what: &str) -> tonic::Request<HealthCheckRequest> {
    tonic::Request::new(HealthCheckRequest {
        service: what.to_owned(),
    })
}

async fn call(
    channel: Channel,
    what: &str,
) -> Result<tonic::Response<HealthCheckResponse>, Status> {
    call_path(channel, "/test.Play/Check", ask(what)).await
}

async fn until(what: &str, mut good: impl FnMut() -> bool) {
    let by = tokio::time::Instant::now() + PATIENCE;
    while !good() {
        assert!(tokio::time::Instant::now() < by, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: &str, applied: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        ("tenure", reason)
    );
    assert_eq!(
        info.metadata.get("applied").map(String::as_str),
        Some(applied)
    );
}

/// Reads until the other side hangs up.
async fn hung_up(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_call_is_answered_named_and_counted() {
    let server = plain(EdgeLimits::default()).await;
    let mut request = ask("");
    for header in ["x-tenure-internal-node", "x-forwarded-for", "forwarded"] {
        request
            .metadata_mut()
            .insert(header, "1.2.3.4".parse().unwrap());
    }
    let answer = call_path(server.channel().await, "/test.Play/Check", request)
        .await
        .unwrap();
    assert!(answer.metadata().get("x-request-id").is_some());
    let seen = server.play.headers.lock().unwrap().join(" ");
    assert!(
        !seen.contains("forwarded") && !seen.contains("internal"),
        "{seen}"
    );
    until("the count", || {
        server.metric("tenure_requests_total{method=\"/test.Play/Check\",code=\"OK\"} 1")
    })
    .await;
    // A path that a stranger made up never becomes a label.
    let error = call_path(server.channel().await, "/made.Up/Path", ask(""))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    until("the count", || {
        server.metric("tenure_requests_total{method=\"unknown\",code=\"UNIMPLEMENTED\"} 1")
    })
    .await;
}

#[tokio::test]
async fn connections_above_the_cap_are_dropped_and_good_ones_return() {
    let server = plain(EdgeLimits {
        connections_max: 2,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    call(channel.clone(), "").await.unwrap();
    let second = TcpStream::connect(server.address).await.unwrap();
    until("two connections", || {
        server.metric("tenure_connections{listener=\"client\"} 2")
    })
    .await;
    for _ in 0..20 {
        hung_up(TcpStream::connect(server.address).await.unwrap()).await;
    }
    call(channel.clone(), "").await.unwrap();
    assert!(
        server.metric("tenure_connections_ended_total{listener=\"client\",reason=\"full\"} 20")
    );
    drop(second);
    until("a free slot", || {
        server.metric("tenure_connections{listener=\"client\"} 1")
    })
    .await;
    call(server.channel().await, "").await.unwrap();
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_the_connection_goes_on() {
    let server = plain(EdgeLimits {
        request_bytes_max: 64,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    for size in [65, 1 << 20] {
        let error = call(channel.clone(), &"x".repeat(size)).await.unwrap_err();
        assert_refused(&error, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "no");
    }
    call(channel, &"x".repeat(60)).await.unwrap();
}

#[tokio::test]
async fn headers_above_the_limit_are_refused_and_the_connection_goes_on() {
    let server = plain(EdgeLimits {
        header_bytes_max: 4 << 10,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    let mut request = ask("");
    request
        .metadata_mut()
        .insert("x-large", "x".repeat(8 << 10).parse().unwrap());
    assert!(
        call_path(channel.clone(), "/test.Play/Check", request)
            .await
            .is_err()
    );
    call(channel, "").await.unwrap();
}

#[tokio::test]
async fn silent_and_slow_clients_are_cut() {
    let limits = EdgeLimits {
        handshake_max: Duration::from_millis(100),
        ..EdgeLimits::default()
    };
    let server = plain(limits.clone()).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"PRI * HTTP").await.unwrap();
    hung_up(silent).await;
    hung_up(slow).await;
    until("both counted", || {
        server.metric("tenure_connections_ended_total{listener=\"client\",reason=\"silent\"} 2")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (files, _) = certificate(dir.path());
    let server = serve(ListenerTls::Files(files), limits).await;
    hung_up(TcpStream::connect(server.address).await.unwrap()).await;
    until("a timeout", || {
        server.metric("tenure_tls_errors_total{listener=\"client\",reason=\"timeout\"} 1")
    })
    .await;
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    hung_up(garbage).await;
    until("a failure", || {
        server.metric("tenure_tls_errors_total{listener=\"client\",reason=\"handshake\"} 1")
    })
    .await;
}

/// Sends bytes of HTTP/1.1 and reads until the server hangs up, or has nothing more to say.
async fn http1(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http1_clients_are_answered_in_json_and_bounded() {
    let limits = EdgeLimits {
        connection_idle_max: Duration::from_millis(300),
        handshake_max: Duration::from_millis(100),
        request_bytes_max: 64,
        header_bytes_max: 8 << 10,
        ..EdgeLimits::default()
    };
    let server = plain(limits).await;
    // A request may be shorter than the preface of HTTP/2: it isn't silence.
    let answer = http1(server.address, b"GET /a HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let silent = "tenure_connections_ended_total{listener=\"client\",reason=\"silent\"} 1";
    assert!(!server.metric(silent));
    // Answered twice over one connection, which ends when it has been idle.
    let twice = "GET /a HTTP/1.1\r\n\r\n".repeat(2);
    let answer = http1(server.address, twice.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    assert!(answer.contains("{\"errors\":["), "{answer}");
    // Half a head doesn't hold a connection.
    http1(server.address, b"GET /a HTTP/1.1\r\nhost: a\r\nx-half").await;
    // A body above the limit: by its announced length, and by what comes.
    let waits = "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 65\r\n\r\n";
    let answer = http1(server.address, waits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let long = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n";
    let answer = http1(server.address, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // A head above the limit.
    let head = format!("GET /a HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(9 << 10));
    let answer = http1(server.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /a HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(101));
    let answer = http1(server.address, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn idle_and_old_connections_end() {
    let idle = EdgeLimits {
        connection_idle_max: Duration::from_millis(100),
        ..EdgeLimits::default()
    };
    let old = EdgeLimits {
        connection_age_max: Duration::from_millis(100),
        ..EdgeLimits::default()
    };
    for limits in [idle, old] {
        let server = plain(limits).await;
        let channel = server.channel().await;
        call(channel.clone(), "").await.unwrap();
        until("the end", || {
            server.metric("tenure_connections{listener=\"client\"} 0")
        })
        .await;
        // The client connects again and notices nothing.
        call(channel, "").await.unwrap();
    }
}

#[tokio::test]
async fn streams_above_the_limit_wait() {
    let server = plain(EdgeLimits {
        concurrent_streams_max: 2,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    call(channel.clone(), "").await.unwrap();
    let calls = (0..10).map(|_| call(channel.clone(), "pause"));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert!(server.play.most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn overload_is_refused_at_once_and_health_is_not() {
    let server = plain(EdgeLimits {
        inflight_requests_max: 1,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    let busy = tokio::spawn(call(channel.clone(), "wait"));
    until("a busy node", || {
        server.play.running.load(Ordering::SeqCst) == 1
    })
    .await;
    let error = call(channel.clone(), "").await.unwrap_err();
    assert_refused(&error, Code::ResourceExhausted, "OVERLOADED", "no");
    call_path(channel.clone(), "/grpc.health.v1.Health/Check", ask(""))
        .await
        .unwrap();
    assert!(server.metric("tenure_requests_shed_total 1"));
    server.play.release.notify_one();
    busy.await.unwrap().unwrap();
    call(channel, "").await.unwrap();
}

/// Sends the beginning of a message, and no more.
fn half_sent(announced: u32, sent: usize) -> Request<Body> {
    use futures_util::StreamExt;
    let prefix = [&[0][..], &announced.to_be_bytes()].concat();
    let pieces = std::iter::once(prefix).chain((0..sent >> 10).map(|_| vec![7; 1 << 10]));
    let frames = pieces.map(|piece| Ok::<_, Status>(http_body::Frame::data(piece.into())));
    let body = futures_util::stream::iter(frames).chain(futures_util::stream::pending());
    let body = Body::new(http_body_util::StreamBody::new(body));
    Request::post("/test.Play/Check")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

/// Planted bug: nothing is taken from the budget. Caught: none was refused.
#[tokio::test]
async fn half_sent_bodies_share_a_budget_and_small_calls_go_on() {
    const SENT: usize = 512 << 10;
    let server = plain(EdgeLimits::default()).await;
    let mut half = tokio::task::JoinSet::new();
    let calls = 64;
    for _ in 0..calls {
        let mut channel = server.channel().await;
        half.spawn(async move {
            std::future::poll_fn(|cx| channel.poll_ready(cx))
                .await
                .unwrap();
            channel.call(half_sent(4 << 20, SENT)).await.unwrap()
        });
    }
    // No more can be let in than fit; all others are refused.
    let fit = BODIES_BYTES / SENT;
    for _ in 0..calls - fit {
        let answer = tokio::time::timeout(PATIENCE, half.join_next()).await;
        let answer = answer.expect("a refusal").unwrap().unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "no");
    }
    let channel = server.channel().await;
    call(channel.clone(), "").await.unwrap();
    half.shutdown().await;
    until("the bytes are given back", || {
        server.metric("tenure_requests_inflight 0")
    })
    .await;
    call(channel, &"x".repeat(2 << 20)).await.unwrap();
}

#[tokio::test]
async fn open_streams_are_bounded_and_given_back() {
    let server = plain(EdgeLimits {
        open_calls_max: 1,
        ..EdgeLimits::default()
    })
    .await;
    let channel = server.channel().await;
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/test.Play/Watch");
    let stream = grpc.server_streaming(ask(""), path, codec).await.unwrap();
    let error = call(channel.clone(), "").await.unwrap_err();
    assert_refused(&error, Code::ResourceExhausted, "OVERLOADED", "no");
    drop(stream);
    until("the stream's end", || {
        server.metric("tenure_requests_inflight 0")
    })
    .await;
    call(channel, "").await.unwrap();
}

#[tokio::test]
async fn deadlines_end_calls() {
    let limits = EdgeLimits {
        request_duration_max: Duration::from_millis(50),
        ..EdgeLimits::default()
    };
    let server = plain(limits.clone()).await;
    let error = call(server.channel().await, "wait").await.unwrap_err();
    assert_refused(&error, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "maybe");
    until("the handler's end", || {
        server.play.running.load(Ordering::SeqCst) == 0
    })
    .await;
    // What a client asks for, seen without a client that keeps its own clock.
    for (timeout, code, applied) in [
        ("20m", Code::DeadlineExceeded, "maybe"),
        ("0S", Code::DeadlineExceeded, "no"),
        ("1s", Code::InvalidArgument, "no"),
        ("99999999H", Code::DeadlineExceeded, "maybe"),
    ] {
        let service = stack::client_stack(server.play.service(), &limits, &edge());
        let mut request = Request::new(Body::new(http_body_util::Full::from(
            &b"\0\0\0\0\x06\x0a\x04wait"[..],
        )));
        *request.uri_mut() = Uri::from_static("/test.Play/Check");
        *request.method_mut() = http::Method::POST;
        request
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        request
            .headers_mut()
            .insert("grpc-timeout", timeout.parse().unwrap());
        let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (status.code(), info.metadata["applied"].as_str()),
            (code, applied),
            "{timeout}"
        );
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_call_alone() {
    let server = plain(EdgeLimits::default()).await;
    let channel = server.channel().await;
    let error = call(channel.clone(), "panic").await.unwrap_err();
    assert_refused(&error, Code::Internal, "INTERNAL", "maybe");
    assert!(!format!("{error:?}").contains("canary"));
    call(channel, "").await.unwrap();
}

#[tokio::test]
async fn shutdown_drains_what_is_in_flight() {
    let server = plain(EdgeLimits {
        drain_max: PATIENCE,
        ..EdgeLimits::default()
    })
    .await;
    let busy = tokio::spawn(call(server.channel().await, "wait"));
    until("a call", || server.play.running.load(Ordering::SeqCst) == 1).await;
    server.stop.cancel();
    let by = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < by, "still accepts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!server.done.is_finished());
    server.play.release.notify_one();
    busy.await.unwrap().unwrap();
    let drained = tokio::time::timeout(PATIENCE, server.done)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(drained, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_end() {
    let limits = EdgeLimits {
        drain_max: Duration::from_millis(100),
        ..EdgeLimits::default()
    };
    let server = plain(limits).await;
    let busy = tokio::spawn(call(server.channel().await, "wait"));
    until("a call", || server.play.running.load(Ordering::SeqCst) == 1).await;
    server.stop.cancel();
    let drained = tokio::time::timeout(PATIENCE, server.done)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(drained, Drained { cut: 1 });
    assert!(busy.await.unwrap().is_err());
}

/// Writes a new certificate for localhost.
fn certificate(dir: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles::new(dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    (
        files,
        CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap(),
    )
}

/// A call over TLS, trusting one certificate.
async fn call_tls(address: SocketAddr, trusted: &CertificateDer<'static>) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint
        .connect_with_connector(connect)
        .await
        .map_err(|e| e.to_string())?;
    call(channel, "").await.map(drop).map_err(|e| e.to_string())
}

#[tokio::test]
async fn certificates_are_replaced_while_running_and_bad_ones_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, first) = certificate(dir.path());
    files.reload_interval = Duration::from_secs(3600);
    let server = serve(ListenerTls::Files(files.clone()), EdgeLimits::default()).await;
    let reload = server.tls.clone().unwrap();
    call_tls(server.address, &first).await.unwrap();
    // A certificate whose key is not there yet.
    let key = std::fs::read(&files.key_file).unwrap();
    let (_, second) = certificate(dir.path());
    let new_key = std::fs::read(&files.key_file).unwrap();
    std::fs::write(&files.key_file, key).unwrap();
    assert!(matches!(reload.reload().await, Err(TlsError::Mismatch(_))));
    call_tls(server.address, &first).await.unwrap();
    std::fs::write(&files.key_file, new_key).unwrap();
    reload.reload().await.unwrap();
    call_tls(server.address, &second).await.unwrap();
    assert!(call_tls(server.address, &first).await.is_err());
    let key_text = std::fs::read_to_string(&files.key_file).unwrap();
    std::fs::write(&files.key_file, "hvs.canary").unwrap();
    let error = reload.reload().await.unwrap_err().to_string();
    assert!(
        error.contains("tls_key_file") && !error.contains("canary"),
        "{error}"
    );
    std::fs::write(&files.key_file, key_text).unwrap();
    std::fs::remove_file(&files.cert_file).unwrap();
    assert!(matches!(
        reload.reload().await,
        Err(TlsError::Read {
            key: "tls_cert_file",
            ..
        })
    ));
    call_tls(server.address, &second).await.unwrap();
}

#[tokio::test]
async fn certificates_are_replaced_when_the_files_change() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, _) = certificate(dir.path());
    files.reload_interval = Duration::from_millis(20);
    let server = serve(ListenerTls::Files(files), EdgeLimits::default()).await;
    let (_, second) = certificate(dir.path());
    let by = tokio::time::Instant::now() + PATIENCE;
    while call_tls(server.address, &second).await.is_err() {
        assert!(
            tokio::time::Instant::now() < by,
            "the new certificate is not in use"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn client_certificates_can_be_demanded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, own) = certificate(dir.path());
    files.client_ca_file = Some(files.cert_file.clone());
    let server = serve(ListenerTls::Files(files.clone()), EdgeLimits::default()).await;
    call_tls(server.address, &own).await.unwrap();
    files.require_client_cert = true;
    let server = serve(ListenerTls::Files(files), EdgeLimits::default()).await;
    assert!(call_tls(server.address, &own).await.is_err());
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// One thread: the subscriber is the thread's own.
#[tokio::test]
async fn no_metadata_value_reaches_the_log_at_trace() {
    // In a process of its own: which callsites interest a subscriber is kept for the whole
    // process, and the tests on other threads have others or none.
    const ALONE: &str = "TENURE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "listen::tests::no_metadata_value_reaches_the_log_at_trace";
        let alone = std::process::Command::new(own)
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let captured = Captured::default();
    let config = LogConfig {
        level: LogLevel::Trace,
        format: LogFormat::Json,
    };
    let target = LogTarget::Writer(Box::new(captured.clone()));
    let (subscriber, handle) = start_logs(config, target, &Metrics::new()).unwrap();
    let _installed = tracing::subscriber::set_default(subscriber);
    let limits = EdgeLimits {
        request_bytes_max: 64,
        ..EdgeLimits::default()
    };
    let server = plain(limits).await;
    let channel = server.channel().await;
    for what in ["", "panic", &"hvs.canary".repeat(20)] {
        for path in ["/test.Play/Check", "/hvs.canary/hvs.canary"] {
            let mut request = ask(what);
            let metadata = request.metadata_mut();
            metadata.insert("authorization", "Bearer hvs.canary".parse().unwrap());
            metadata.insert("x-vault-token", "hvs.canary".parse().unwrap());
            metadata.insert("x-other", "hvs.canary".parse().unwrap());
            metadata.insert("x-request-id", "hvs.canary".parse().unwrap());
            let _ = call_path(channel.clone(), path, request).await;
        }
    }
    // The same at the other door: in the path, the query, the headers and the body.
    for verb in ["GET", "POST", "hvs.canary"] {
        let request = format!(
            "{verb} /v1/hvs.canary?token=hvs.canary HTTP/1.1\r\nhost: hvs.canary\r\nconnection: \
             close\r\nx-vault-token: hvs.canary\r\nauthorization: Bearer hvs.canary\r\nx-other: \
             hvs.canary\r\ncontent-length: 12\r\n\r\n\"hvs.canary\""
        );
        http1(server.address, request.as_bytes()).await;
    }
    server.stop.cancel();
    server.done.await.unwrap();
    handle.flush();
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("request done") && text.contains("TLS IS OFF"),
        "{text}"
    );
    assert!(text.contains("\"method\":\"/test.Play/Check\""), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

struct GoodDisk;

impl DiskProbe for GoodDisk {
    fn probe(&self) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn the_health_listener_serves_health_alone() {
    let (_state, state) = watch::channel(HealthState {
        ready: true,
        active: false,
    });
    let stop = CancellationToken::new();
    let health = HealthService::new(state, Arc::new(GoodDisk), stop.clone()).unwrap();
    let listener = HealthListener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.address();
    let done = tokio::spawn(serve_health(listener, health, edge(), stop.clone()));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let check = "/grpc.health.v1.Health/Check";
    for (service, status) in [("", 1), ("tenure.ready", 1), ("tenure.active", 2)] {
        let answer = call_path(channel.clone(), check, ask(service))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status, status, "{service}");
    }
    let other = call_path(channel.clone(), "/tenure.v1.TokenService/Create", ask("")).await;
    assert_eq!(other.unwrap_err().code(), Code::Unimplemented);
    let error = call_path(channel, check, ask(&"x".repeat(2048)))
        .await
        .unwrap_err();
    assert_refused(&error, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "no");
    stop.cancel();
    tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_are_served_over_http() {
    use crate::telemetry::{MetricsListener, serve_metrics};
    let listener = MetricsListener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listener.address();
    let metrics = Arc::new(Metrics::new());
    metrics.store().term.set(7);
    let stop = CancellationToken::new();
    let done = tokio::spawn(serve_metrics(listener, metrics, stop.clone()));
    for (request, expected) in [
        (
            "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n",
            "tenure_raft_term 7",
        ),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "404 Not Found"),
        (
            "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            "405 Method",
        ),
        ("nonsense\r\n\r\n", "400 Bad Request"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        assert!(text.contains(expected), "{text}");
    }
    stop.cancel();
    tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
}
