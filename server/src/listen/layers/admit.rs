//! Load shedding: what can't be worked on now is refused now. A queue would answer too late.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::Semaphore;
use tonic::Code;
use tonic::body::Body;

use super::super::Edge;
use super::super::door::Door;
use super::super::refusal::{Applied, refusal};
use super::{Next, Step};
use crate::limits::{EdgeLimits, HEALTH_CALLS_MAX};
use crate::telemetry::Metrics;

/// Health has a bound of its own: a busy node must not look like a dead one, and who asks for
/// health alone must not be able to fill it.
fn is_health(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    match Door::of(request) {
        Door::Grpc => matches!(
            path,
            "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch"
        ),
        Door::Http => {
            path == "/v1/sys/health" && matches!(*request.method(), Method::GET | Method::HEAD)
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::listen) struct Admit {
    running: Arc<Semaphore>,
    open: Arc<Semaphore>,
    health: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Admit {
    pub fn new(limits: &EdgeLimits, edge: &Edge) -> Self {
        Self {
            running: Arc::new(Semaphore::new(limits.inflight_requests_max)),
            open: Arc::new(Semaphore::new(limits.open_calls_max)),
            health: Arc::new(Semaphore::new(HEALTH_CALLS_MAX)),
            metrics: edge.metrics.clone(),
        }
    }
}

impl Step for Admit {
    async fn run<N: Next>(&self, request: Request<Body>, next: &N) -> Response<Body> {
        if is_health(&request) {
            let Ok(_asking) = self.health.try_acquire() else {
                return shed(&self.metrics);
            };
            return next.take(request).await;
        }
        // `running` is given back with the head of the answer, `open` with its last byte: a stream
        // that waits for events holds the second only.
        let (Ok(open), Ok(running)) = (
            Arc::clone(&self.open).try_acquire_owned(),
            self.running.try_acquire(),
        ) else {
            return shed(&self.metrics);
        };
        let response = next.take(request).await;
        drop(running);
        if http_body::Body::is_end_stream(response.body()) {
            return response;
        }
        response.map(|body| {
            Body::new(Holding {
                inner: body,
                _held: open,
            })
        })
    }
}

fn shed(metrics: &Metrics) -> Response<Body> {
    metrics.shed();
    let message = "the node is at its limit of requests; try again, or another node";
    refusal(Code::ResourceExhausted, "OVERLOADED", message, Applied::No).into_http()
}

/// An answer that holds something (a permit) until its last byte.
struct Holding<T> {
    inner: Body,
    _held: T,
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_about_health_are_kept_apart() {
        let asks = |verb: &str, path: &str, kind: Option<&str>| {
            let mut request = Request::builder().method(verb).uri(path);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            is_health(&request.body(Body::empty()).unwrap())
        };
        let grpc = Some("application/grpc");
        assert!(asks("POST", "/grpc.health.v1.Health/Check", grpc));
        assert!(asks("POST", "/grpc.health.v1.Health/Watch", grpc));
        assert!(asks("GET", "/v1/sys/health", None));
        assert!(asks("HEAD", "/v1/sys/health?standbyok=true", None));
        // Whatever reads a body or asks the pipeline is a request like others.
        for verb in ["POST", "PUT", "PATCH", "DELETE", "LIST"] {
            assert!(!asks(verb, "/v1/sys/health", None), "{verb}");
        }
        assert!(!asks("POST", "/grpc.health.v1.Health/Other", grpc));
        assert!(!asks("POST", "/grpc.health.v1.Health/Check", None));
        assert!(!asks("GET", "/v1/sys/health", grpc));
        assert!(!asks("GET", "/v1/sys/health/", None));
    }
}
