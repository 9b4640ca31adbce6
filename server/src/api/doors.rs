//! Both doors behind one port. Looks at the content type of a request and at nothing else of it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{Request, Response};
use futures_util::future::{BoxFuture, Either};
use tonic::{body::Body, service::Routes};
use tower::Service;

use super::{grpc::Services, http};
use crate::{config::OpenCalls, listen::Door};

/// gRPC and HTTP.
#[derive(Clone)]
pub struct Doors {
    grpc: Routes,
    http: Arc<Services>,
    open_calls: OpenCalls,
}

impl Doors {
    /// The doors to `services`; `grpc` are its routes with what else speaks gRPC. `open_calls` is
    /// the listener's.
    pub fn new(grpc: Routes, services: Services, open_calls: OpenCalls) -> Self {
        Self {
            grpc,
            http: Arc::new(services),
            open_calls,
        }
    }
}

impl Service<Request<Body>> for Doors {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        <Routes as Service<Request<Body>>>::Future,
        BoxFuture<'static, Result<Response<Body>, Infallible>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Routes as Service<Request<Body>>>::poll_ready(&mut self.grpc, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.open_calls);
        match Door::of(&request) {
            Door::Grpc => Either::Left(self.grpc.call(request)),
            Door::Http => {
                let services = Arc::clone(&self.http);
                let answer = async move { Ok(http::answer(services, request).await) };
                Either::Right(Box::pin(answer))
            }
        }
    }
}
