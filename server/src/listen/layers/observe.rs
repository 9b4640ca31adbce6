//! Gives each request its id and span, and counts and times it to its last byte. Records the
//! method, the peer and the outcome; never a metadata value.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tracing::{Instrument, Span};

use super::super::Edge;
use super::super::conn::ConnInfo;
use super::super::methods::{MethodName, Methods};
use super::{Next, Step};
use crate::telemetry::{InflightGuard, Metrics};

/// The answer's header that names the request.
const ID_HEADER: &str = "x-request-id";
const STATUS_HEADER: &str = "grpc-status";

/// The name of a request: unique over processes, meaningless otherwise. In the extensions of each
/// request, in its log lines, and in the answer's `x-request-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    process: u64,
    number: u64,
}

impl RequestId {
    fn next() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let random = || {
            let mut bytes = [0; 8];
            // An id is for finding log lines: without randomness it is only less unique.
            let _ = aws_lc_rs::rand::fill(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        Self {
            process: *PROCESS.get_or_init(random),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In the shape of a UUID, which clients of Vault expect.
        let (p, n) = (self.process, self.number);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            p >> 32,
            p >> 16 & 0xffff,
            p & 0xffff,
            n >> 48,
            n & 0xffff_ffff_ffff
        )
    }
}

#[derive(Clone, Debug)]
pub(in crate::listen) struct Observe {
    metrics: Arc<Metrics>,
    methods: Arc<Methods>,
}

impl Observe {
    pub fn new(edge: &Edge) -> Self {
        Self {
            metrics: edge.metrics.clone(),
            methods: edge.methods.clone(),
        }
    }
}

impl Step for Observe {
    async fn run<N: Next>(&self, mut request: Request<Body>, next: &N) -> Response<Body> {
        let id = RequestId::next();
        let method = self.methods.name_of(&request);
        let conn = request.extensions().get::<ConnInfo>();
        let span = match conn {
            Some(conn) => {
                tracing::info_span!("request", %id, method = method.as_str(), peer = %conn.peer)
            }
            None => tracing::info_span!("request", %id, method = method.as_str()),
        };
        let open = conn.map(|conn| conn.activity.begin());
        request.extensions_mut().insert(id);
        let inflight = self.metrics.inflight();
        let mut record = Record {
            metrics: self.metrics.clone(),
            method,
            span: span.clone(),
            since: Instant::now(),
            done: false,
        };
        let mut response = next.take(request).instrument(span).await;
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(ID_HEADER, value);
        }
        // The HTTP door says it beside its answer: its status holds less.
        let said = response.extensions().get::<Code>().copied();
        let head_code = said.or_else(|| code_of(response.headers()));
        if http_body::Body::is_end_stream(response.body()) {
            record.finish(head_code.unwrap_or(Code::Unknown));
        }
        response.map(|inner| {
            Body::new(Observed {
                inner,
                head_code,
                record,
                _inflight: inflight,
                _open: open,
            })
        })
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(STATUS_HEADER)
        .map(|value| Code::from_bytes(value.as_bytes()))
}

/// The outcome of one call; a call that is dropped before its end was cancelled.
struct Record {
    metrics: Arc<Metrics>,
    method: MethodName,
    span: Span,
    since: Instant,
    done: bool,
}

impl Record {
    fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let took = self.since.elapsed();
        self.metrics.request(&self.method, code, took);
        let took_us = took.as_micros() as u64;
        let _in_span = self.span.enter();
        match code {
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::warn!(?code, took_us, "request failed");
            }
            _ => tracing::debug!(?code, took_us, "request done"),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

/// An answer that reports its end.
struct Observed<O> {
    inner: Body,
    head_code: Option<Code>,
    record: Record,
    _inflight: InflightGuard,
    _open: O,
}

impl<O: Unpin> http_body::Body for Observed<O> {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let code = match frame.trailers_ref() {
                    Some(trailers) => code_of(trailers),
                    // A body of known length is not asked again after its last byte.
                    None => self.head_code.filter(|_| self.inner.is_end_stream()),
                };
                if let Some(code) = code {
                    self.record.finish(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.record.finish(status.code()),
            Poll::Ready(None) => {
                let code = self.head_code.unwrap_or(Code::Unknown);
                self.record.finish(code);
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
