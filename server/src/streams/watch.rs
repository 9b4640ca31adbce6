//! Watch: shows events from this node's own state, each once and in order, as long as the
//! caller may see them.
//!
//! **Invariant:** whoever is shown an event may see it in a state that holds what it tells; the
//! events of one revision go in one message, so that a watch resumes behind whole revisions.

use std::{sync::Arc, time::Duration};

use tenure_core::{
    event::{WatchLeases, Watched},
    state::{Event, View},
    token::authorize,
};
use tenure_proto::v1;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    Leaderless, Outlet,
    shared::{Part, Told},
    slots::Slot,
};
use crate::{
    api::grpc::event_on_wire,
    error::Error,
    limits::{
        REQUEST_DURATION_MAX_MS, STREAM_CHECK_MS, WATCH_MESSAGE_BYTES, WATCH_PACE_MS,
        WATCH_PROGRESS_MS,
    },
    pipeline::{Context, Pipeline, Scope, StateView},
};

/// What is sent on a watch.
pub type WatchStream = ReceiverStream<Result<v1::WatchResponse, Status>>;

/// Starts a watch that the pipeline has allowed, from behind the revision `after`.
///
/// # Errors
/// A watch too many, or it isn't allowed any more.
pub async fn watch(
    pipeline: Arc<Pipeline>,
    context: Context,
    action: WatchLeases,
    after: u64,
) -> Result<WatchStream, Error> {
    let deadline = context.deadline;
    let (watched, token) = pipeline
        .look(&context, deadline, |scope| {
            let permit = authorize(scope.context, scope.caller, action.clone())?;
            Ok((Watched::open(&permit)?, *scope.caller.entry().hash()))
        })
        .await?;
    let slot = pipeline.streams.slots.enter(token)?;
    let (outlet, stream) = Outlet::new()?;
    tokio::spawn(async move {
        let mut task = Task {
            pipeline: &pipeline,
            context,
            action,
            watched,
            shown_to: after,
            checked: Instant::now(),
            leaderless: Leaderless(None),
            _slot: slot,
        };
        let ended = task.run(&outlet).await;
        drop(task);
        if pipeline.streams.slots.is_empty() {
            pipeline.streams.shared.clear();
        }
        outlet.end(ended.map_err(Status::from));
    });
    Ok(stream)
}

struct Task<'a> {
    pipeline: &'a Pipeline,
    context: Context,
    action: WatchLeases,
    watched: Watched,
    /// Up to here all is shown.
    shown_to: u64,
    /// When the caller was looked at last.
    checked: Instant,
    leaderless: Leaderless,
    _slot: Slot,
}

impl Task<'_> {
    async fn run(&mut self, outlet: &Outlet<v1::WatchResponse>) -> Result<(), Error> {
        let mut applied = self.pipeline.node.watch_applied()?;
        if !outlet.send(self.progress()).await? {
            return Ok(());
        }
        let mut sent_at = Instant::now();
        loop {
            if self.pipeline.streams.stop.is_cancelled() {
                return Err(Error::stopping());
            }
            if outlet.messages.is_closed() {
                return Ok(());
            }
            applied.borrow_and_update();
            let before = self.shown_to;
            for message in self.next().await? {
                // A reader that keeps it waiting, at once or bit by bit, is shown nothing that it may
                // not see any more.
                if self.checked.elapsed() > Duration::from_millis(STREAM_CHECK_MS) {
                    if self.pipeline.streams.stop.is_cancelled() {
                        return Err(Error::stopping());
                    }
                    self.checked = Instant::now();
                    self.check().await?;
                }
                if !outlet.send(message).await? {
                    return Ok(());
                }
                sent_at = Instant::now();
            }
            self.leaderless.check(self.pipeline)?;
            if sent_at.elapsed() >= Duration::from_millis(WATCH_PROGRESS_MS) {
                if !outlet.send(self.progress()).await? {
                    return Ok(());
                }
                sent_at = Instant::now();
            }
            if self.shown_to > before {
                sleep(Duration::from_millis(WATCH_PACE_MS)).await;
                continue;
            }
            tokio::select! {
                () = self.pipeline.streams.stop.cancelled() => return Err(Error::stopping()),
                () = outlet.messages.closed() => return Ok(()),
                changed = applied.changed() => {
                    changed.map_err(|_| Error::stopping())?;
                    sleep(Duration::from_millis(WATCH_PACE_MS)).await;
                }
                () = sleep(Duration::from_millis(STREAM_CHECK_MS)) => {}
            }
        }
    }

    fn progress(&self) -> v1::WatchResponse {
        v1::WatchResponse {
            events: Vec::new(),
            revision: self.shown_to,
        }
    }

    /// Whether the caller may still see it all.
    async fn check(&self) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(REQUEST_DURATION_MAX_MS);
        let look = self
            .pipeline
            .look(&self.context, deadline, |scope| self.allow(scope));
        look.await
    }

    fn allow(&self, scope: &Scope<'_>) -> Result<(), Error> {
        let permit = authorize(scope.context, scope.caller, self.action.clone())?;
        Ok(self.watched.still_allowed(&permit)?)
    }

    /// What is to be shown next. Where there is nothing, its caller is looked at now and then.
    async fn next(&mut self) -> Result<Vec<v1::WatchResponse>, Error> {
        let due = self.checked.elapsed() >= Duration::from_millis(STREAM_CHECK_MS);
        if !due && let Some(to) = self.nothing_up_to()? {
            self.shown_to = to;
            return Ok(Vec::new());
        }
        self.checked = Instant::now();
        self.look().await
    }

    /// How far there is nothing to show; `None` if there may be something.
    fn nothing_up_to(&self) -> Result<Option<u64>, Error> {
        let state = StateView(self.pipeline.node.view()?);
        // After the state is pinned: apply has given these keys all terms that are in it.
        let keys = self.pipeline.keys.get().ok_or_else(Error::sealed)?;
        let view = View::new(&state, &keys.barrier);
        let part = self.pipeline.streams.shared.after(&view, self.shown_to)?;
        let Part::Events(told, to) = part else {
            return Ok(None);
        };
        let mut events = told.iter().flat_map(|told| told.events.iter());
        Ok((!events.any(|event| self.watched.may_show(event))).then_some(to))
    }

    /// What is to be shown next, of one state that also says that it may be.
    async fn look(&mut self) -> Result<Vec<v1::WatchResponse>, Error> {
        let deadline = Instant::now() + Duration::from_millis(REQUEST_DURATION_MAX_MS);
        let (after, shared) = (self.shown_to, &self.pipeline.streams.shared);
        let look = self.pipeline.look(&self.context, deadline, |scope| {
            self.allow(scope)?;
            let (told, to) = match shared.after(scope.context.view, after)? {
                Part::Events(told, to) => (told, to),
                Part::Compacted { oldest } => return Err(Error::compacted(oldest)),
            };
            let mut messages = Messages::default();
            for Told { revision, events } in told {
                let mut shown = Vec::new();
                for event in events.iter() {
                    if self.watched.shows(scope.context, event)? {
                        shown.push(event);
                    }
                }
                messages.add(revision, &shown);
            }
            Ok((messages.done(to), to))
        });
        let (messages, to) = look.await?;
        self.shown_to = to;
        Ok(messages)
    }
}

/// Events on their way into messages.
#[derive(Default)]
struct Messages {
    full: Vec<v1::WatchResponse>,
    open: v1::WatchResponse,
    bytes: usize,
}

impl Messages {
    fn add(&mut self, revision: u64, events: &[&Event]) {
        if events.is_empty() {
            return;
        }
        for event in events {
            let event = event_on_wire(event, revision);
            self.bytes += prost::Message::encoded_len(&event);
            self.open.events.push(event);
        }
        self.open.revision = revision;
        if self.bytes >= WATCH_MESSAGE_BYTES {
            self.full.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
    }

    /// The messages; the last one goes as far as all was looked at.
    fn done(mut self, to: u64) -> Vec<v1::WatchResponse> {
        if !self.open.events.is_empty() {
            self.full.push(self.open);
        }
        if let Some(last) = self.full.last_mut() {
            last.revision = to;
        }
        self.full
    }
}
