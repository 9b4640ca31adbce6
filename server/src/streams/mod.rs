//! Streams: Watch and KeepAlive. A stream is opened like any call; from then on it acts for its
//! token only as long as a look at this node's own state shows that it may. What it keeps in
//! memory is bounded, and gone when the last stream ends. It decides nothing about rights itself.

mod keep_alive;
mod shared;
mod slots;
mod watch;

use std::time::Duration;

use tokio::{
    sync::mpsc::{OwnedPermit, Receiver, Sender, channel},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use self::{
    keep_alive::{KeepAliveStream, keep_alive},
    watch::{WatchStream, watch},
};
use self::{shared::Shared, slots::Slots};
use crate::{
    error::Error,
    limits::{STREAM_LEADERLESS_MS_MAX, STREAM_QUEUE_MESSAGES, STREAM_SEND_MS_MAX},
    pipeline::Pipeline,
};

/// What all streams of a node share.
#[derive(Default)]
pub struct Streams {
    slots: Slots,
    shared: Shared,
    stop: CancellationToken,
}

impl Streams {
    /// Ends all streams: the node stops.
    pub fn close(&self) {
        self.stop.cancel();
    }
}

/// Our end of a stream to a client.
struct Outlet<M> {
    messages: Sender<Result<M, Status>>,
    /// There is always room for the reason of the end.
    last: OwnedPermit<Result<M, Status>>,
}

impl<M> Outlet<M> {
    fn new() -> Result<(Self, ReceiverStream<Result<M, Status>>), Error> {
        let (messages, queue): (_, Receiver<_>) = channel(STREAM_QUEUE_MESSAGES + 1);
        let last = messages
            .clone()
            .try_reserve_owned()
            .map_err(|_| Error::internal("a new queue has no room"))?;
        Ok((Self { messages, last }, ReceiverStream::new(queue)))
    }

    /// Whether there is room for a message, once there is. False: the client is gone.
    async fn send(&self, message: M) -> Result<bool, Error> {
        let wait = Duration::from_millis(STREAM_SEND_MS_MAX);
        match timeout(wait, self.messages.send(Ok(message))).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(Error::slow_consumer()),
        }
    }

    /// Ends the stream and says why.
    fn end(self, why: Result<(), Status>) {
        if let Err(status) = why {
            self.last.send(Err(status));
        }
    }
}

/// Follows whether this node still hears of a leader.
struct Leaderless(Option<Instant>);

impl Leaderless {
    fn check(&mut self, pipeline: &Pipeline) -> Result<(), Error> {
        let node = &pipeline.node;
        if node.is_active() || node.has_live_leader() {
            self.0 = None;
            return Ok(());
        }
        let since = *self.0.get_or_insert_with(Instant::now);
        match since.elapsed() > Duration::from_millis(STREAM_LEADERLESS_MS_MAX) {
            true => Err(Error::no_active_node()),
            false => Ok(()),
        }
    }
}
