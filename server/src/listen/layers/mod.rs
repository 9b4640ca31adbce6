//! The layers of the stack, one file each. A layer sees heads and sizes, never messages.

mod admit;
mod bodies;
mod deadline;
mod message;
mod observe;
mod rescue;
mod scrub;
mod speak;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt};

pub(super) use admit::Admit;
pub use bodies::BodyBudget;
pub use deadline::Deadline;
pub(super) use deadline::EnforceDeadline;
pub(super) use message::LimitMessages;
pub(super) use observe::Observe;
pub use observe::RequestId;
pub(super) use rescue::Rescue;
pub(super) use scrub::Scrub;
pub(super) use speak::Speak;

/// What comes after a layer.
pub(super) trait Next:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static
{
}

impl<S> Next for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Send
        + 'static
{
}

/// One layer as one async function.
pub(super) trait Step: Clone + Send + Sync + 'static {
    /// Handles a request, by `next` or by itself.
    fn run<N: Next>(
        self,
        request: Request<Body>,
        next: N,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Passes a request on.
pub(super) async fn pass<N: Next>(next: N, request: Request<Body>) -> Response<Body> {
    match next.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Makes a tower layer of a step.
#[derive(Clone, Debug)]
pub(super) struct StepLayer<M>(pub M);

impl<M: Clone, S> Layer<S> for StepLayer<M> {
    type Service = Stepped<M, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stepped {
            step: self.0.clone(),
            inner,
        }
    }
}

/// A step with what comes after it.
#[derive(Clone, Debug)]
pub(super) struct Stepped<M, S> {
    step: M,
    inner: S,
}

impl<M, S> Service<Request<Body>> for Stepped<M, S>
where
    M: Step,
    S: Next + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // No layer holds requests back: too much is refused in `call`.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (step, next) = (self.step.clone(), self.inner.clone());
        Box::pin(async move { Ok(step.run(request, next).await) })
    }
}
