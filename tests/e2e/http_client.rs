//! HTTP/1.1 as plain clients speak it: one connection, kept alive, every byte as the test wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tenure_tests::server_cluster::{Outcome, ServerCluster};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::text;

/// An answer takes longer than this only from a node that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer of these tests is longer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, with the token that its requests show.
pub struct Http {
    stream: Box<dyn Stream>,
    token: Option<String>,
    left: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Its body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A text in its JSON, by pointer.
    pub fn text(&self, pointer: &str) -> Outcome<String> {
        let found = self.json();
        let found = found.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .ok_or_else(|| format!("no {pointer} in {self:?}"))
    }

    /// Fails unless it has this status.
    pub fn must_be(self, status: u16) -> Outcome<Self> {
        if self.status == status {
            Ok(self)
        } else {
            Err(format!("not {status}: {self:?}"))
        }
    }
}

impl Http {
    /// Connects to a node over TLS, as clients of HTTP/1.1 do.
    pub async fn to(cluster: &ServerCluster, index: usize, token: &str) -> Outcome<Self> {
        let address = cluster.node(index)?.api;
        let tcp = TcpStream::connect(address).await.map_err(text)?;
        Self::over_tls(cluster, tcp, token).await
    }

    /// The same from another address of this machine.
    pub async fn from(
        cluster: &ServerCluster,
        from: [u8; 4],
        index: usize,
        token: &str,
    ) -> Outcome<Self> {
        let socket = TcpSocket::new_v4().map_err(text)?;
        socket.bind((from, 0).into()).map_err(text)?;
        let tcp = socket
            .connect(cluster.node(index)?.api)
            .await
            .map_err(text)?;
        Self::over_tls(cluster, tcp, token).await
    }

    async fn over_tls(cluster: &ServerCluster, tcp: TcpStream, token: &str) -> Outcome<Self> {
        let address = tcp.peer_addr().map_err(text)?;
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(cluster.authority.pem().as_bytes());
        roots.add(ca.map_err(text)?).map_err(text)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(text)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::IpAddress(address.ip().into());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, tcp).await.map_err(text)?;
        let spoken = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        if spoken.as_deref() != Some(b"http/1.1") {
            return Err(format!("ALPN chose {spoken:?}"));
        }
        Ok(Self::over(tls, token))
    }

    /// Connects in plain text.
    pub async fn plain(address: SocketAddr, token: &str) -> Outcome<Self> {
        let tcp = TcpStream::connect(address).await.map_err(text)?;
        Ok(Self::over(tcp, token))
    }

    fn over(stream: impl Stream + 'static, token: &str) -> Self {
        Self {
            stream: Box::new(stream),
            token: (!token.is_empty()).then(|| token.to_owned()),
            left: Vec::new(),
        }
    }

    /// Changes the token.
    pub fn with(&mut self, token: &str) -> &mut Self {
        self.token = (!token.is_empty()).then(|| token.to_owned());
        self
    }

    /// A request under `/v1/`, on this connection.
    pub async fn ask(&mut self, verb: &str, path: &str, body: &str) -> Outcome<Answer> {
        let token = match &self.token {
            Some(token) => format!("x-vault-token: {token}\r\n"),
            None => String::new(),
        };
        self.send(verb, &format!("/v1/{path}"), &token, body).await
    }

    /// A request with headers of its own, each ended with CRLF.
    pub async fn send(
        &mut self,
        verb: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Outcome<Answer> {
        let length = match body {
            "" => String::new(),
            body => format!("content-length: {}\r\n", body.len()),
        };
        let request = format!("{verb} {target} HTTP/1.1\r\nhost: a\r\n{headers}{length}\r\n{body}");
        self.raw(request.as_bytes(), verb == "HEAD").await
    }

    /// These bytes, and the answer to them.
    pub async fn raw(&mut self, bytes: &[u8], without_body: bool) -> Outcome<Answer> {
        let exchange = async {
            self.stream.write_all(bytes).await.map_err(text)?;
            self.stream.flush().await.map_err(text)?;
            self.read(without_body).await
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.map_err(|_| "no answer in time".to_owned())?
    }

    /// Sends the head of a request with a token; its body is the caller's.
    pub async fn begin(&mut self, verb: &str, target: &str, headers: &str) -> Outcome<()> {
        let token = self.token.clone().unwrap_or_default();
        let head = format!(
            "{verb} {target} HTTP/1.1\r\nhost: a\r\nx-vault-token: {token}\r\n{headers}\r\n"
        );
        self.stream.write_all(head.as_bytes()).await.map_err(text)
    }

    /// A request whose answer is a file of any size. The connection ends with it.
    pub async fn download(&mut self, target: &str) -> Outcome<Vec<u8>> {
        self.begin("GET", target, "connection: close\r\n").await?;
        self.stream.flush().await.map_err(text)?;
        let mut all = Vec::new();
        self.stream.read_to_end(&mut all).await.map_err(text)?;
        let end = all.windows(4).position(|four| four == b"\r\n\r\n");
        let body = all.split_off(end.ok_or("no head")? + 4);
        let head = String::from_utf8_lossy(&all).to_lowercase();
        let is_file = head.starts_with("http/1.1 200") && head.contains("application/octet-stream");
        if !is_file {
            return Err(head);
        }
        match head.contains("transfer-encoding: chunked") {
            true => unchunked(&body),
            false => Ok(body),
        }
    }

    /// Sends a file of any size, and gives the answer to it.
    pub async fn upload(&mut self, verb: &str, target: &str, file: &[u8]) -> Outcome<Answer> {
        let length = format!("content-length: {}\r\n", file.len());
        self.begin(verb, target, &length).await?;
        // A node that refuses may answer before it has all.
        let _ = self.stream.write_all(file).await;
        let _ = self.stream.flush().await;
        let answer = tokio::time::timeout(PATIENCE, self.read(false)).await;
        answer.map_err(|_| "no answer in time".to_owned())?
    }

    async fn read(&mut self, without_body: bool) -> Outcome<Answer> {
        let head = loop {
            let end = self.left.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                break self.left.drain(..end + 4).collect::<Vec<u8>>();
            }
            self.more().await?;
        };
        let head = String::from_utf8(head).map_err(text)?.to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| format!("no status: {head}"))?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(Ok(0), |length| length.trim().parse::<usize>());
        let length = if without_body {
            0
        } else {
            length.map_err(text)?
        };
        while self.left.len() < length {
            self.more().await?;
        }
        let body = self.left.drain(..length).collect();
        Ok(Answer {
            status,
            head,
            body: String::from_utf8(body).map_err(text)?,
        })
    }

    async fn more(&mut self) -> Outcome<()> {
        let mut buffer = vec![0; 16 << 10];
        let count = self.stream.read(&mut buffer).await.map_err(text)?;
        if count == 0 {
            return Err("the connection ended".to_owned());
        }
        self.left.extend_from_slice(&buffer[..count]);
        if self.left.len() > ANSWER_BYTES_MAX {
            return Err("the answer has no end".to_owned());
        }
        Ok(())
    }
}

/// A body of chunks, without their lengths.
fn unchunked(mut body: &[u8]) -> Outcome<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n");
        let (length, rest) = body.split_at(end.ok_or("no chunk")?);
        let length = usize::from_str_radix(&String::from_utf8_lossy(length), 16).map_err(text)?;
        if length == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(rest.get(2..2 + length).ok_or("half a chunk")?);
        body = rest.get(4 + length..).ok_or("a chunk without its end")?;
    }
}
