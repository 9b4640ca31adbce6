//! Every client is answered in its own language: what the layers and services below refuse in gRPC
//! reaches an HTTP client as a status and JSON. Decides nothing else.

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;

use super::super::door::Door;
use super::{Next, Step};
use crate::api::http::refusal_reply;

#[derive(Clone, Debug)]
pub(in crate::listen) struct Speak;

impl Step for Speak {
    async fn run<N: Next>(&self, request: Request<Body>, next: &N) -> Response<Body> {
        let door = Door::of(&request);
        let response = next.take(request).await;
        if door == Door::Grpc {
            return response;
        }
        match Status::from_header_map(response.headers()) {
            Some(status) => refusal_reply(&status, ""),
            None => response,
        }
    }
}
