//! Renewing many leases over one stream, across nodes and failovers. What was sent and not
//! answered is sent again: renewing twice is as good as once.

use std::time::Duration;

use tenure_proto::v1;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::{
    call::Client,
    error::Error,
    leases::service,
    limits::{KEEP_ALIVE_ANSWER_MS, KEEP_ALIVE_LEASES_MAX},
    retry::{Effect, backoff, may_repeat},
};

/// Why the server renewed a lease not, though it can be: the message was full.
const NOT_TRIED: &str = "NOT_TRIED";

/// A keep-alive stream: see [`Client::keep_alive`].
pub struct KeepAlive {
    client: Client,
    open: Option<Open>,
}

struct Open {
    send: mpsc::Sender<v1::KeepAliveRequest>,
    answers: Streaming<v1::KeepAliveResponse>,
    address: String,
}

impl Client {
    /// A stream over which leases are renewed by the thousand. It is opened with the first
    /// renewal.
    pub fn keep_alive(&self) -> KeepAlive {
        KeepAlive {
            client: self.clone(),
            open: None,
        }
    }
}

impl KeepAlive {
    /// Renews leases, in as many messages as it takes, and says of each what came of it, in
    /// order. No lease may be named twice.
    ///
    /// # Errors
    /// What a second try can't mend, or the client's deadline has passed: some of the leases may
    /// be renewed. What is wrong with a single lease is in its answer.
    pub async fn renew(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
    ) -> Result<Vec<v1::LeaseRenewed>, Error> {
        self.renew_within(renewals, self.client.deadline()).await
    }

    /// The same with another deadline.
    pub(crate) async fn renew_within(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
        deadline: Duration,
    ) -> Result<Vec<v1::LeaseRenewed>, Error> {
        let last_start = Instant::now() + deadline;
        let mut results: Vec<v1::LeaseRenewed> = Vec::with_capacity(renewals.len());
        let mut failures = 0;
        while let Some(left) = renewals
            .get(results.len()..)
            .filter(|left| !left.is_empty())
        {
            let message = left.iter().take(KEEP_ALIVE_LEASES_MAX).cloned().collect();
            let asked = left.len().min(KEEP_ALIVE_LEASES_MAX);
            let left = last_start.saturating_duration_since(Instant::now());
            let error = match self.send(message, left).await {
                Ok(answer) if answer.results.len() == asked => {
                    // The rest of a message that was full is sent again.
                    let tried = answer.results.into_iter();
                    let before = results.len();
                    results.extend(tried.take_while(|result| result.reason != NOT_TRIED));
                    if results.len() == before {
                        return Err(Error::protocol("no lease of a message was tried"));
                    }
                    failures = 0;
                    continue;
                }
                Ok(_) => return Err(Error::protocol("an answer for each lease was asked for")),
                Err(error) => error,
            };
            self.open = None;
            if !may_repeat(Effect::Repeatable, &error) {
                return Err(error);
            }
            self.client.prefer_next();
            let next = Instant::now()
                + if failures == 0 {
                    Duration::ZERO
                } else {
                    backoff(failures - 1)
                };
            failures += 1;
            if next >= last_start {
                return Err(error);
            }
            sleep_until(next).await;
        }
        Ok(results)
    }

    async fn send(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
        left: Duration,
    ) -> Result<v1::KeepAliveResponse, Error> {
        // It is put back with its answer alone: the answer to a call that was given up must not be
        // taken for that of the next one.
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.reopen(left).await?,
        };
        let wait = Duration::from_millis(KEEP_ALIVE_ANSWER_MS).min(left);
        // A stream that ended says why where answers are read.
        let _ = open.send.send(v1::KeepAliveRequest { renewals }).await;
        match timeout(wait, open.answers.message()).await {
            Ok(Ok(Some(answer))) => {
                self.open = Some(open);
                Ok(answer)
            }
            Ok(Ok(None)) => {
                let ended = Status::new(Code::Unavailable, "the stream ended");
                Err(Error::from_status(&ended, &open.address))
            }
            Ok(Err(status)) => Err(Error::from_status(&status, &open.address)),
            Err(_) => Err(Error::deadline(wait, &open.address)),
        }
    }

    async fn reopen(&self, left: Duration) -> Result<Open, Error> {
        let (send, messages) = mpsc::channel(1);
        let (answers, address) = self
            .client
            .with_deadline(left)
            .open(|channel, sign| {
                let request = sign.request(ReceiverStream::new(messages));
                async move { service(channel).keep_alive(request?).await }
            })
            .await?;
        Ok(Open {
            send,
            answers,
            address,
        })
    }
}
