//! Watching what happens to leases, across nodes and failovers. It must never leave out or
//! repeat an event: it resumes behind the last revision that was wholly shown.

use std::{sync::Arc, time::Duration};

use tenure_proto::v1;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status, Streaming};

use crate::{
    call::Client,
    error::Error,
    leases::service,
    limits::WATCH_SILENT_MS,
    retry::{Effect, backoff, may_repeat},
};

/// A watch: see [`Client::watch`].
pub struct Watch {
    client: Client,
    request: v1::WatchRequest,
    /// Up to here all is shown; `None` before the first message of a watch from now on.
    revision: Option<u64>,
    open: Option<Open>,
}

struct Open {
    messages: Streaming<v1::WatchResponse>,
    address: Arc<str>,
}

impl Client {
    /// Watches what happens to leases. Nothing is sent before [`Watch::next`].
    pub fn watch(&self, request: v1::WatchRequest) -> Watch {
        Watch {
            client: self.clone(),
            revision: request
                .start_revision
                .and_then(|start| start.checked_sub(1)),
            request,
            open: None,
        }
    }
}

impl Watch {
    /// The next message: events, or only how far the watch is. A stream that breaks is resumed,
    /// at this or at another node, within the client's deadline. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// What resuming can't mend: [`Error::is_compacted`] (list the leases and start anew), a
    /// token or a policy that is gone, a request that is wrong. Where only the deadline has
    /// passed, or a rate limit refuses ([`Error::is_transient`]), it may be called again and goes on;
    /// after a rate limit wait a moment.
    pub async fn next(&mut self) -> Result<v1::WatchResponse, Error> {
        let last_start = Instant::now() + self.client.deadline();
        let mut failures = 0;
        loop {
            let error = match self.step().await {
                Ok(message) => {
                    self.revision = Some(message.revision);
                    return Ok(message);
                }
                Err(error) => error,
            };
            self.open = None;
            if !may_repeat(Effect::Repeatable, &error) {
                return Err(error);
            }
            self.client.prefer_next();
            let wait = match failures {
                0 => Duration::ZERO,
                round => backoff(round - 1),
            };
            failures += 1;
            let next = Instant::now() + wait;
            if next >= last_start {
                return Err(error);
            }
            sleep_until(next).await;
        }
    }

    /// Up to which revision all is shown: a watch may be started behind it at any time.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    async fn step(&mut self) -> Result<v1::WatchResponse, Error> {
        let silent = Duration::from_millis(WATCH_SILENT_MS);
        if self.open.is_none() {
            self.open = Some(self.reopen().await?);
        }
        let Some(open) = &mut self.open else {
            return Err(Error::protocol("a watch has no stream"));
        };
        match timeout(silent, open.messages.message()).await {
            Ok(Ok(Some(message))) => Ok(message),
            // The server always says why: whatever ended it without, it is gone.
            Ok(Ok(None)) => {
                let ended = Status::new(Code::Unavailable, "the stream ended");
                Err(Error::from_status(&ended, &open.address))
            }
            Ok(Err(status)) => Err(Error::from_status(&status, &open.address)),
            Err(_) => Err(Error::deadline(silent, &open.address)),
        }
    }

    async fn reopen(&self) -> Result<Open, Error> {
        let request = v1::WatchRequest {
            start_revision: match self.revision {
                Some(shown) => Some(shown.saturating_add(1)),
                None => self.request.start_revision,
            },
            ..self.request.clone()
        };
        let (messages, address) = self
            .client
            .open(|channel, sign| {
                let request = sign.request(request.clone());
                async move { service(channel).watch(request?).await }
            })
            .await?;
        Ok(Open {
            messages,
            address: address.into(),
        })
    }
}
