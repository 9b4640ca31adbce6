//! Replication: one stream of requests to a follower and one of answers back, with many
//! requests under way.
//!
//! openraft drops the answers when it is done with a session and then waits for the lock
//! that its request stream may hold. So the request stream must be gone by then, and not
//! at some later time when HTTP/2 notices: both ends here share it, and the answers' end
//! takes it away.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use openraft::{
    RPCTypes,
    base::BoxStream,
    errors::RPCError,
    network::RPCOption,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tenure_proto::internal;
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::{Network, malformed, wire};
use crate::{limits::APPEND_STALL_MS, peers::Lane, types::TypeConfig};

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Opens the stream. What comes back yields one answer for each request, in order.
pub(super) async fn stream_append<'s, S>(
    network: &'s mut Network,
    input: S,
    option: RPCOption,
) -> Result<BoxStream<'s, Answer>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    // The pause after a failure is inside of openraft's request stream. To ask for a request
    // before a connection is what makes a dead peer cost a try each pause, not a busy loop.
    let mut input = input;
    let Some(first) = input.next().await else {
        return Ok(stream::empty().boxed());
    };
    let input = stream::iter([first]).chain(input);
    let stall = match network.append_lane {
        Lane::Log => option
            .soft_ttl()
            .max(Duration::from_millis(APPEND_STALL_MS)),
        Lane::Calls | Lane::Snapshot => option.soft_ttl(),
    };
    let mut client = network.client(network.append_lane)?;
    let (sent, watch_sent) = watch::channel(0);
    let source = Arc::new(Mutex::new(Some(Source { input, sent })));
    // From here on the input is dropped with the answers, or when this call fails.
    let lease = SourceLease(source.clone());
    let opening = client.append(Feed(source));
    let answers = match tokio::time::timeout(stall, opening).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(network.failed(RPCTypes::AppendEntries, stall, &status)),
        Err(_) => return Err(network.timed_out(RPCTypes::AppendEntries, stall).into()),
    };
    let session = Session {
        network,
        answers,
        sent: watch_sent,
        answered: 0,
        stall,
        _lease: lease,
    };
    let answers = stream::unfold(Some(session), |session| async {
        let mut session = session?;
        match session.next().await {
            // A request that was refused ends the session, as an error does.
            Some(answer @ Ok(Ok(_))) => Some((answer, Some(session))),
            Some(last) => Some((last, None)),
            None => None,
        }
    });
    Ok(answers.boxed())
}

/// openraft's requests, and how many were handed to the transport.
struct Source<S> {
    input: S,
    sent: watch::Sender<u64>,
}

type Shared<S> = Arc<Mutex<Option<Source<S>>>>;

fn lock<S>(source: &Shared<S>) -> MutexGuard<'_, Option<Source<S>>> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The transport's end.
struct Feed<S>(Shared<S>);

impl<S> Stream for Feed<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    type Item = internal::AppendRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut guard = lock(&self.0);
        let Some(source) = guard.as_mut() else {
            return Poll::Ready(None);
        };
        match source.input.poll_next_unpin(cx) {
            Poll::Ready(Some(request)) => {
                source.sent.send_modify(|sent| *sent += 1);
                drop(guard);
                Poll::Ready(Some(wire::append_request_to_proto(&request)))
            }
            Poll::Ready(None) => {
                *guard = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The answers' end: takes the requests away when it is dropped.
struct SourceLease<S>(Shared<S>);

impl<S> Drop for SourceLease<S> {
    fn drop(&mut self) {
        let source = lock(&self.0).take();
        drop(source);
    }
}

struct Session<'s, S> {
    network: &'s Network,
    answers: Streaming<internal::AppendResponse>,
    sent: watch::Receiver<u64>,
    answered: u64,
    stall: Duration,
    _lease: SourceLease<S>,
}

impl<S> Session<'_, S> {
    /// The next answer. While one is owed it must come within the stall limit; while none
    /// is, the stream may rest for any time.
    async fn next(&mut self) -> Option<Answer> {
        loop {
            if *self.sent.borrow_and_update() > self.answered {
                let message = tokio::time::timeout(self.stall, self.answers.message()).await;
                return match message {
                    Ok(message) => self.receive(message),
                    Err(_) => {
                        let error = self.network.timed_out(RPCTypes::AppendEntries, self.stall);
                        Some(Err(error.into()))
                    }
                };
            }
            tokio::select! {
                // In this order: an answer is never put off for a count.
                biased;
                message = self.answers.message() => return self.receive(message),
                changed = self.sent.changed() => {
                    if changed.is_err() {
                        // All was sent and answered; the peer ends the stream now.
                        let message = tokio::time::timeout(self.stall, self.answers.message());
                        return match message.await {
                            Ok(message) => self.receive(message),
                            Err(_) => None,
                        };
                    }
                }
            }
        }
    }

    fn receive(
        &mut self,
        message: Result<Option<internal::AppendResponse>, Status>,
    ) -> Option<Answer> {
        match message {
            Ok(Some(answer)) => {
                self.answered += 1;
                Some(wire::append_response_from_proto(&answer).map_err(|e| malformed(&e)))
            }
            Ok(None) if *self.sent.borrow() > self.answered => {
                let status = Status::unavailable("the peer ended the stream before it answered");
                Some(Err(self.network.failed(
                    RPCTypes::AppendEntries,
                    self.stall,
                    &status,
                )))
            }
            Ok(None) => None,
            Err(status) => Some(Err(self.network.failed(
                RPCTypes::AppendEntries,
                self.stall,
                &status,
            ))),
        }
    }
}
