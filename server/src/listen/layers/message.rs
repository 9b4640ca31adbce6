//! The size limit of one message. gRPC announces each message's length, so a too large one is
//! refused before it is read, in unary calls and in streams alike. So is one for whose bytes the
//! process has no room: an announcement alone holds nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::super::Edge;
use super::super::refusal::{Applied, refusal};
use super::bodies::{BodyBudget, Share};
use super::{Next, Step, pass};
use crate::limits::EdgeLimits;
use crate::telemetry::Metrics;

/// One byte of flags and four of length, before each message.
const PREFIX_BYTES: usize = 5;

#[derive(Clone, Debug)]
pub(in crate::listen) struct LimitMessages {
    message_bytes_max: usize,
    bodies: BodyBudget,
    metrics: Arc<Metrics>,
}

impl LimitMessages {
    pub fn new(limits: &EdgeLimits, edge: &Edge) -> Self {
        Self {
            message_bytes_max: limits.request_bytes_max,
            bodies: edge.bodies.clone(),
            metrics: edge.metrics.clone(),
        }
    }
}

impl Step for LimitMessages {
    async fn run<N: Next>(self, request: Request<Body>, next: N) -> Response<Body> {
        let frames = Framing {
            message_bytes_max: self.message_bytes_max,
            ..Framing::default()
        };
        // The message outlives its body: the call holds its share until the head of the answer.
        let share = self.bodies.share();
        let limited = |inner| Limited {
            inner,
            frames,
            share: share.clone(),
            metrics: self.metrics,
        };
        let response = pass(next, request.map(|inner| Body::new(limited(inner)))).await;
        drop(share);
        response
    }
}

/// Follows the message prefixes in a stream of bytes.
#[derive(Debug, Default)]
struct Framing {
    message_bytes_max: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_filled: usize,
    payload: usize,
    payload_left: usize,
    messages: u64,
}

impl Framing {
    fn follow(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.payload_left > 0 {
                let step = self.payload_left.min(data.len());
                self.payload_left -= step;
                data.advance(step);
                continue;
            }
            self.prefix[self.prefix_filled] = data[0];
            self.prefix_filled += 1;
            data.advance(1);
            if self.prefix_filled == PREFIX_BYTES {
                self.prefix_filled = 0;
                let [_, length @ ..] = self.prefix;
                let length = u32::from_be_bytes(length) as usize;
                if length > self.message_bytes_max {
                    return Err(self.too_large());
                }
                (self.payload, self.payload_left) = (length, length);
                self.messages += 1;
            }
        }
        Ok(())
    }

    /// How much of the newest message has arrived.
    fn arrived(&self) -> usize {
        self.payload - self.payload_left
    }

    fn too_large(&self) -> Status {
        let applied = applied(self.messages);
        let message = format!("a message is larger than {} bytes", self.message_bytes_max);
        refusal(
            Code::ResourceExhausted,
            "MESSAGE_TOO_LARGE",
            &message,
            applied,
        )
    }
}

/// Messages of the same stream that came earlier may have been acted on.
fn applied(earlier: u64) -> Applied {
    match earlier {
        0 => Applied::No,
        _ => Applied::Maybe,
    }
}

struct Limited {
    inner: Body,
    frames: Framing,
    share: Share,
    metrics: Arc<Metrics>,
}

impl Limited {
    fn look_at(&mut self, data: &[u8]) -> Result<(), Status> {
        self.frames.follow(data)?;
        if self.share.hold(self.frames.arrived()) {
            return Ok(());
        }
        self.metrics.shed();
        let message = "the node is at its limit of request bytes; try again, or another node";
        let applied = applied(self.frames.messages.saturating_sub(1));
        Err(refusal(
            Code::ResourceExhausted,
            "OVERLOADED",
            message,
            applied,
        ))
    }
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.look_at(data)
        {
            return Poll::Ready(Some(Err(status)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(PREFIX_BYTES + length, 7);
        bytes
    }

    #[test]
    fn lengths_are_found_however_the_bytes_are_cut() {
        let stream = [message(3), message(0), message(10), message(11)].concat();
        let good = stream.len() - message(11).len();
        for cut in 1..=stream.len() {
            let mut frames = Framing {
                message_bytes_max: 10,
                ..Framing::default()
            };
            let mut seen = 0;
            let result = stream.chunks(cut).try_for_each(|piece| {
                seen += piece.len();
                frames.follow(piece)
            });
            assert_eq!(
                result.unwrap_err().code(),
                Code::ResourceExhausted,
                "cut {cut}"
            );
            assert!(seen >= good + PREFIX_BYTES);
            let mut frames = Framing {
                message_bytes_max: 11,
                ..Framing::default()
            };
            stream
                .chunks(cut)
                .try_for_each(|piece| frames.follow(piece))
                .unwrap();
            assert_eq!(frames.messages, 4);
        }
    }
}
