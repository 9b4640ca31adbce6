//! A panic in a handler ends its own call with INTERNAL. What it said is not told to the client.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::{Request, Response};
use tonic::Code;
use tonic::body::Body;

use super::super::refusal::{Applied, refusal};
use super::{Next, Step, pass};

#[derive(Clone, Debug)]
pub(in crate::listen) struct Rescue;

impl Step for Rescue {
    async fn run<N: Next>(self, request: Request<Body>, next: N) -> Response<Body> {
        // Safe to go on: a handler shares only what its own locks and transactions guard.
        match AssertUnwindSafe(pass(next, request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                let message = "an internal error ended the call";
                refusal(Code::Internal, "INTERNAL", message, Applied::Maybe).into_http()
            }
        }
    }
}
