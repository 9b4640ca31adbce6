//! One JSON request over HTTP/1.1, with TLS unless the address says otherwise. It follows no redirect
//! and keeps no connection; what it sends and gets is never logged, and is wiped where it is ours: the
//! HTTP and TLS libraries have buffers of their own, which go with the connection.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

use crate::{
    config::TransitSeal,
    limits::{SEAL_ANSWER_BYTES_MAX, SEAL_REQUEST_MS_MAX},
};

/// Why a request failed. It never quotes what was sent.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer in time.
    #[error("no answer within {SEAL_REQUEST_MS_MAX} ms")]
    Late,
    /// No connection.
    #[error("{0}: {1}")]
    Connect(String, io::Error),
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The token can't be read, or can't be sent.
    #[error("token: {0}")]
    Token(String),
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke off")]
    Broken,
    /// The server said no.
    #[error("the server answered {0}")]
    Status(StatusCode),
}

/// Posts `body` to `/v1/<path>`, and gives the body of a good answer.
pub async fn post(
    to: &TransitSeal,
    path: &str,
    body: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, HttpError> {
    let whole = async {
        let at = to.address.host_port();
        let name = format!("{}:{}", at.host(), at.port());
        let host = at.host().trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, at.port()))
            .await
            .map_err(|error| HttpError::Connect(name.clone(), error))?;
        let request = request(to, path, &name, body)?;
        if !to.address.is_tls() {
            return send(tcp, request).await;
        }
        let config = tls(to).map_err(HttpError::Tls)?;
        let server = to.tls_server_name.as_deref().unwrap_or(host).to_owned();
        let server = ServerName::try_from(server);
        let server = server.map_err(|error| HttpError::Tls(error.to_string()))?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(server, tcp)
            .await
            .map_err(|error| HttpError::Connect(name, error))?;
        send(stream, request).await
    };
    match timeout(Duration::from_millis(SEAL_REQUEST_MS_MAX), whole).await {
        Ok(done) => done,
        Err(_) => Err(HttpError::Late),
    }
}

fn request(
    to: &TransitSeal,
    path: &str,
    host: &str,
    body: Zeroizing<Vec<u8>>,
) -> Result<Request<Full<Bytes>>, HttpError> {
    let token = to.token.text().map_err(HttpError::Token)?;
    let token = Zeroizing::new(token.expose().as_bytes().to_vec());
    let mut token = HeaderValue::from_maybe_shared(Bytes::from_owner(token))
        .map_err(|_| HttpError::Token("it holds characters that no token has".to_owned()))?;
    token.set_sensitive(true);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/{path}"))
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-vault-request", "true")
        .header("x-vault-token", token);
    if let Some(namespace) = &to.namespace {
        request = request.header("x-vault-namespace", namespace);
    }
    request
        .body(Full::new(Bytes::from_owner(body)))
        .map_err(|_| HttpError::Broken)
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Zeroizing<Vec<u8>>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| HttpError::Broken)?;
    let talk = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|_| HttpError::Broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), SEAL_ANSWER_BYTES_MAX).collect();
        let mut body = body.await.map_err(|_| HttpError::Broken)?.aggregate();
        if !status.is_success() {
            return Err(HttpError::Status(status));
        }
        let mut bytes = Zeroizing::new(vec![0; body.remaining()]);
        body.copy_to_slice(&mut bytes);
        Ok(bytes)
    };
    // The connection lives as long as the talk.
    tokio::pin!(talk);
    tokio::select! {
        done = &mut talk => done,
        _ = connection => talk.await,
    }
}

fn tls(to: &TransitSeal) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &to.tls_ca_cert {
        Some(path) => {
            for certificate in certificates("tls_ca_cert", path)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("tls_ca_cert: {error}"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (_, _) = roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        return Err("there is no authority to check the server by: set tls_ca_cert".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match &to.tls_client {
        None => Ok(config.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates("tls_client_cert", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("tls_client_key: {error}"))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| error.to_string())
        }
    }
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|error| format!("{name}: {}: {error}", path.display()))
}
