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
use std::sync::Arc;
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

/// What takes a request to its answer: a layer with all below it, or the service at the bottom.
pub(super) trait Next: Send + Sync + 'static {
    /// Takes it there.
    fn take(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// One layer as one async function.
pub(super) trait Step: Send + Sync + 'static {
    /// Handles a request, by `next` or by itself.
    fn run<N: Next>(
        &self,
        request: Request<Body>,
        next: &N,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Makes a tower layer of a step.
#[derive(Clone, Debug)]
pub(super) struct StepLayer<M>(pub M);

impl<M: Clone, N> Layer<N> for StepLayer<M> {
    type Service = Stepped<M, N>;

    fn layer(&self, inner: N) -> Self::Service {
        Stepped {
            step: self.0.clone(),
            inner,
        }
    }
}

/// A step with what comes after it.
#[derive(Debug)]
pub(super) struct Stepped<M, N> {
    step: M,
    inner: N,
}

impl<M: Step, N: Next> Next for Stepped<M, N> {
    fn take(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        self.step.run(request, &self.inner)
    }
}

/// The service at the bottom.
#[derive(Debug)]
pub(super) struct Bottom<S>(pub S);

impl<S> Next for Bottom<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    async fn take(&self, request: Request<Body>) -> Response<Body> {
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The whole stack as a service. Clones are the same one, and a call is one future, however many
/// layers there are.
#[derive(Debug)]
pub(super) struct Stack<N>(pub Arc<N>);

impl<N> Clone for Stack<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Next> Service<Request<Body>> for Stack<N> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // No layer holds requests back: too much is refused in `call`.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stack = Arc::clone(&self.0);
        Box::pin(async move { Ok(stack.take(request).await) })
    }
}
