//! One HTTP/1.1 connection that is kept alive, as OpenBao's own clients keep theirs.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tenure_tests::server_cluster::Outcome;
use tokio::net::TcpStream;

/// A connection.
pub struct Http {
    send: SendRequest<Full<Bytes>>,
    host: String,
}

impl Http {
    /// Opens one.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect(address: SocketAddr) -> Outcome<Self> {
        let failed = |error: &dyn std::fmt::Display| format!("connect to {address}: {error}");
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let opened = handshake(TokioIo::new(stream)).await;
        let (send, connection) = opened.map_err(|error| failed(&error))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            send,
            host: address.to_string(),
        })
    }

    /// One call; the status and the body.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: Bytes,
    ) -> Outcome<(u16, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host);
        if !token.is_empty() {
            request = request.header("x-vault-token", token);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let ready = self.send.ready().await;
        ready.map_err(|error| error.to_string())?;
        let answer = self.send.send_request(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, body))
    }

    /// One call whose answer must be good, as JSON (`null` when it is empty).
    ///
    /// # Errors
    /// It was refused, or the connection failed.
    pub async fn json(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Outcome<Value> {
        let sent = match body {
            Value::Null => Bytes::new(),
            body => body.to_string().into(),
        };
        let (status, body) = self.call(method, path, token, sent).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{path}: status {status}"));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))
    }

    /// The text at a path.
    ///
    /// # Errors
    /// It was refused, or the connection failed.
    pub async fn get(&mut self, path: &str) -> Outcome<String> {
        let (status, body) = self.call(Method::GET, path, "", Bytes::new()).await?;
        match status {
            200 => Ok(String::from_utf8_lossy(&body).into_owned()),
            status => Err(format!("{path}: status {status}")),
        }
    }
}
