//! The stack around every service, in one place, top to bottom.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;
use tower::{Service, ServiceBuilder};

use super::Edge;
use super::layers::{
    Admit, Bottom, EnforceDeadline, LimitMessages, Observe, Rescue, Scrub, Speak, Stack, StepLayer,
};
use crate::limits::EdgeLimits;

/// Puts the layers around `service`. A request passes them from the first to the last.
pub(super) fn client_stack<S>(
    service: S,
    limits: &EdgeLimits,
    edge: &Edge,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let stack = ServiceBuilder::new()
        // Names, times and counts everything below, refusals too: first, so that nothing escapes it.
        .layer(StepLayer(Observe::new(edge)))
        // Says in JSON what the layers below refuse, to those who speak HTTP.
        .layer(StepLayer(Speak))
        // Takes away what only nodes may say, before anything can believe it.
        .layer(StepLayer(Scrub))
        // Refuses what is too much, at once, before it costs anything.
        .layer(StepLayer(Admit::new(limits, edge)))
        // Starts the clock of what was admitted.
        .layer(StepLayer(EnforceDeadline::new(limits)))
        // Refuses a message by its announced length, before it is read into memory, and by what
        // all calls hold there.
        .layer(StepLayer(LimitMessages::new(limits, edge)))
        // A panic ends its own call alone; innermost, so that the layers above count and answer it.
        .layer(StepLayer(Rescue))
        .service(Bottom(service));
    Stack(Arc::new(stack))
}
