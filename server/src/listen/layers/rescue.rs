//! No call ends without a reason that programs can read. A panic in a handler ends its own call
//! with INTERNAL (what it said is not told to the client), and what the gRPC library refuses by
//! itself, before any handler, gets our details.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};

use super::super::refusal::{Applied, refusal};
use super::{Next, Step};

#[derive(Clone, Debug)]
pub(in crate::listen) struct Rescue;

impl Step for Rescue {
    async fn run<N: Next>(&self, request: Request<Body>, next: &N) -> Response<Body> {
        // Safe to go on: a handler shares only what its own locks and transactions guard.
        match AssertUnwindSafe(next.take(request)).catch_unwind().await {
            Ok(response) => explained(response),
            Err(_) => {
                let message = "an internal error ended the call";
                refusal(Code::Internal, "INTERNAL", message, Applied::Maybe).into_http()
            }
        }
    }
}

/// Gives details to a refusal that has none: the library made it before a handler began, so that
/// nothing was changed. Undecodable messages are the caller's mistake, not ours.
fn explained(response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    let (code, reason) = match status.code() {
        Code::Ok => return response,
        Code::Internal => (Code::InvalidArgument, "MALFORMED_MESSAGE"),
        Code::OutOfRange => (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        Code::Unimplemented => (Code::Unimplemented, "UNKNOWN_METHOD"),
        code => (code, "REFUSED"),
    };
    refusal(code, reason, status.message(), Applied::No).into_http()
}
