//! The deadline of a call: what the client asked for, at most what the operator allows. Streams
//! live as long as the client asked; without a wish, the age of their connection bounds them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};

use super::super::door::brings_file;
use super::super::refusal::{Applied, refusal};
use super::{Next, Step};
use crate::limits::{EdgeLimits, RESTORE_MS_MAX};

const TIMEOUT_HEADER: &str = "grpc-timeout";

/// When a call must be answered. In the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

#[derive(Clone, Debug)]
pub(in crate::listen) struct EnforceDeadline {
    duration_max: Duration,
}

impl EnforceDeadline {
    pub fn new(limits: &EdgeLimits) -> Self {
        Self {
            duration_max: limits.request_duration_max,
        }
    }
}

impl Step for EnforceDeadline {
    async fn run<N: Next>(&self, mut request: Request<Body>, next: &N) -> Response<Body> {
        let asked = match request.headers().get(TIMEOUT_HEADER).map(parse_timeout) {
            None => None,
            Some(Some(timeout)) => Some(timeout),
            Some(None) => {
                let message = "grpc-timeout must be 1 to 8 digits and one of H M S m u n";
                return refusal(Code::InvalidArgument, "BAD_TIMEOUT", message, Applied::No)
                    .into_http();
            }
        };
        let now = Instant::now();
        if asked == Some(Duration::ZERO) {
            return expired(Applied::No).into_http();
        }
        let longest = match brings_file(&request) {
            true => Duration::from_millis(RESTORE_MS_MAX),
            false => self.duration_max,
        };
        let head_by = now + asked.unwrap_or(Duration::MAX).min(longest);
        request.extensions_mut().insert(Deadline(head_by));
        let Ok(response) = tokio::time::timeout_at(head_by, next.take(request)).await else {
            // The handler had begun: from here nobody knows how far it came.
            return expired(Applied::Maybe).into_http();
        };
        match asked {
            Some(asked) if !http_body::Body::is_end_stream(response.body()) => {
                // Beyond a year a timer is of no use.
                let by = now + asked.min(Duration::from_secs(366 * 24 * 3600));
                response.map(|inner| {
                    Body::new(Expiring {
                        inner,
                        by: Box::pin(tokio::time::sleep_until(by)),
                        over: false,
                    })
                })
            }
            _ => response,
        }
    }
}

fn expired(applied: Applied) -> Status {
    let message = "the deadline passed before the call was answered";
    refusal(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        message,
        applied,
    )
}

/// Reads `grpc-timeout`: at most 8 digits, then a unit.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// An answer that ends with DEADLINE_EXCEEDED when its time is over.
struct Expiring {
    inner: Body,
    by: Pin<Box<Sleep>>,
    over: bool,
}

impl http_body::Body for Expiring {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.by.as_mut().poll(cx));
        self.over = true;
        let mut trailers = HeaderMap::new();
        match expired(Applied::Maybe).add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &str| parse_timeout(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for bad in [
            "",
            "S",
            "1",
            "-1S",
            "+1S",
            "123456789S",
            "1s",
            "1.5S",
            "1 S",
            "1µ",
            "\u{e4}",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
