//! The size limit of one message. gRPC announces each message's length, so a too large one is
//! refused before it is read, in unary calls and in streams alike. So is one for whose bytes the
//! process has no room: an announcement alone holds nothing. An HTTP body is one message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Request, Response, header::EXPECT};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::super::Edge;
use super::super::door::{Door, brings_file};
use super::super::refusal::{Applied, refusal};
use super::bodies::{BodyBudget, Share};
use super::{Next, Step};
use crate::limits::{EdgeLimits, HTTP_DRAIN_BYTES_MAX};
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
    async fn run<N: Next>(&self, request: Request<Body>, next: &N) -> Response<Body> {
        if Door::of(&request) == Door::Http && brings_file(&request) {
            // Never held: its pieces go on as they come.
            return next.take(request).await;
        }
        if Door::of(&request) == Door::Http {
            return self.whole(request, next).await;
        }
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
            metrics: self.metrics.clone(),
        };
        let response = next
            .take(request.map(|inner| Body::new(limited(inner))))
            .await;
        drop(share);
        response
    }
}

impl LimitMessages {
    /// The same for HTTP, where a request is one message.
    async fn whole<N: Next>(&self, request: Request<Body>, next: &N) -> Response<Body> {
        let max = self.message_bytes_max;
        let announced = http_body::Body::size_hint(request.body()).lower();
        let waits = request.headers().contains_key(EXPECT);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > max.saturating_add(HTTP_DRAIN_BYTES_MAX) || (announced > max && waits) {
            return too_large(max, Applied::No).into_http();
        }
        let share = self.bodies.share();
        let whole = |inner| Whole {
            inner,
            read: 0,
            max,
            share: share.clone(),
            metrics: self.metrics.clone(),
        };
        let response = next
            .take(request.map(|inner| Body::new(whole(inner))))
            .await;
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
        too_large(self.message_bytes_max, applied(self.messages))
    }
}

fn too_large(max: usize, applied: Applied) -> Status {
    let message = format!("a message is larger than {max} bytes");
    refusal(
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
        &message,
        applied,
    )
}

fn no_room(metrics: &Metrics, applied: Applied) -> Status {
    metrics.shed();
    let message = "the node is at its limit of request bytes; try again, or another node";
    refusal(Code::ResourceExhausted, "OVERLOADED", message, applied)
}

/// Messages of the same stream that came earlier may have been acted on.
fn applied(earlier: u64) -> Applied {
    match earlier {
        0 => Applied::No,
        _ => Applied::Maybe,
    }
}

/// The body of an HTTP request: one message, whose length may not be known before its end.
struct Whole {
    inner: Body,
    read: usize,
    max: usize,
    share: Share,
    metrics: Arc<Metrics>,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            let length = match &frame {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                _ => 0,
            };
            self.read = self.read.saturating_add(length);
            let over = self.read.saturating_sub(self.max);
            if matches!(frame, Some(Err(_))) {
                return Poll::Ready(frame);
            }
            if over == 0 {
                if !self.share.hold(self.read) {
                    return Poll::Ready(Some(Err(no_room(&self.metrics, Applied::No))));
                }
                return Poll::Ready(frame);
            }
            if frame.is_none() || over > HTTP_DRAIN_BYTES_MAX {
                return Poll::Ready(Some(Err(too_large(self.max, Applied::No))));
            }
            // Thrown away.
        }
    }

    fn is_end_stream(&self) -> bool {
        // The end of a too large body is its refusal.
        self.read <= self.max && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
        let applied = applied(self.frames.messages.saturating_sub(1));
        Err(no_room(&self.metrics, applied))
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

    /// Reads a body of `pieces` pieces of `length` bytes, of unknown length, under a limit of 100.
    async fn read_whole(pieces: usize, length: usize) -> (Result<usize, Status>, usize) {
        use http_body_util::{BodyExt, StreamBody};
        let given = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = given.clone();
        let frames = (0..pieces).map(move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, Status>(Frame::data(Bytes::from(vec![7; length])))
        });
        let whole = Whole {
            inner: Body::new(StreamBody::new(tokio_stream::iter(frames))),
            read: 0,
            max: 100,
            share: BodyBudget::default().share(),
            metrics: Arc::default(),
        };
        let read = whole.collect().await.map(|all| all.to_bytes().len());
        (read, given.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test]
    async fn an_http_body_of_unknown_length_is_bounded_and_thrown_away_in_bounds() {
        assert_eq!(read_whole(10, 10).await.0.unwrap(), 100);
        assert_eq!(read_whole(0, 0).await.0.unwrap(), 0);
        let (read, given) = read_whole(11, 10).await;
        assert_eq!(read.unwrap_err().code(), Code::ResourceExhausted);
        assert_eq!(given, 11, "all of it was read");
        let (read, given) = read_whole(100, 1 << 20).await;
        assert_eq!(read.unwrap_err().code(), Code::ResourceExhausted);
        assert!(given < 40, "{given} pieces of it were read");
    }
}
