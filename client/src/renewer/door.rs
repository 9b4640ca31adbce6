//! What a renewer asks of the cluster. A seam: the tests of the schedule answer themselves.

use std::{future::Future, time::Duration};

use tenure_proto::v1;

use crate::{call::Client, error::Error, keep_alive::KeepAlive, limits::DURATION_SECONDS_MAX};

/// What came of renewing the token.
#[derive(Debug)]
pub(super) struct Granted {
    /// How long it lives now. `None`: without end.
    pub(super) life: Option<Duration>,
    /// What was granted otherwise than asked for.
    pub(super) warnings: Vec<String>,
}

/// What a renewer asks. Each question is given up after its limit.
pub(super) trait Door: Send + 'static {
    /// Renews leases, at most as many as one message names, and answers for each, in order.
    fn leases(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<v1::LeaseRenewed>, Error>> + Send;

    /// Renews the token.
    fn token(
        &mut self,
        increment: Option<Duration>,
        limit: Duration,
    ) -> impl Future<Output = Result<Granted, Error>> + Send;

    /// How long the token lives. `None`: without end.
    fn token_life(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;
}

/// The cluster of a client.
pub(super) struct Cluster {
    client: Client,
    keep_alive: KeepAlive,
}

impl Cluster {
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            keep_alive: client.keep_alive(),
        }
    }
}

impl Door for Cluster {
    async fn leases(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
        limit: Duration,
    ) -> Result<Vec<v1::LeaseRenewed>, Error> {
        self.keep_alive.renew_within(renewals, limit).await
    }

    async fn token(
        &mut self,
        increment: Option<Duration>,
        limit: Duration,
    ) -> Result<Granted, Error> {
        let answer = self
            .client
            .with_deadline(limit)
            .renew_self(increment)
            .await
            .inspect_err(|_| self.client.prefer_next())?;
        Ok(Granted {
            life: answer.lease_duration.map(life),
            warnings: answer.warnings,
        })
    }

    async fn token_life(&mut self, limit: Duration) -> Result<Option<Duration>, Error> {
        let answer = self.client.with_deadline(limit).lookup_self().await?;
        Ok(answer.ttl.map(life))
    }
}

/// A life as the contract has it, at most as long as the contract can say.
pub(super) fn life(duration: prost_types::Duration) -> Duration {
    let most = Duration::from_secs(DURATION_SECONDS_MAX);
    Duration::try_from(duration).unwrap_or_default().min(most)
}
