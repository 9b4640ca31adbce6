//! The calls of `SealService`. They are about one node, so they go to the first address
//! and to no other: [`Client::at`] picks another one.

use std::fmt;

use tenure_proto::v1::{self, seal_service_client::SealServiceClient};
use tonic::transport::Channel;
use zeroize::Zeroizing;

use crate::{
    call::{Client, ask},
    error::Error,
    secret::Secret,
};

fn service(channel: Channel) -> SealServiceClient<Channel> {
    SealServiceClient::new(channel)
}

/// What `init` shows once.
pub struct InitKeys {
    /// The shares of the key.
    pub shares: Vec<Zeroizing<Vec<u8>>>,
    /// The first root token.
    pub root_token: Secret,
    /// The shares of the recovery key, where a provider keeps the root key.
    pub recovery_shares: Vec<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for InitKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shares, recovery) = (self.shares.len(), self.recovery_shares.len());
        write!(
            f,
            "InitKeys({shares} shares, {recovery} recovery shares, [redacted])"
        )
    }
}

fn known(status: Option<v1::SealStatus>) -> Result<v1::SealStatus, Error> {
    status.ok_or_else(|| Error::protocol("the server's answer holds no seal status"))
}

impl Client {
    /// Makes a new cluster out of the node. Keep what it answers: it is shown once.
    pub async fn init(&self, shares: u32, threshold: u32) -> Result<InitKeys, Error> {
        self.init_with(v1::InitRequest {
            secret_shares: shares,
            secret_threshold: threshold,
            ..v1::InitRequest::default()
        })
        .await
    }

    /// As [`Client::init`], for nodes that a provider opens, too: with recovery shares.
    pub async fn init_with(&self, request: v1::InitRequest) -> Result<InitKeys, Error> {
        let answer = ask!(self, FirstNode, Once, init(request)).await?;
        Ok(InitKeys {
            shares: answer.shares.into_iter().map(Zeroizing::new).collect(),
            root_token: Secret::new(answer.root_token),
            recovery_shares: answer
                .recovery_shares
                .into_iter()
                .map(Zeroizing::new)
                .collect(),
        })
    }

    /// Shows whether the node is sealed.
    pub async fn seal_status(&self) -> Result<v1::SealStatus, Error> {
        let request = v1::GetSealStatusRequest {};
        let answer = ask!(self, FirstNode, Repeatable, get_seal_status(request)).await?;
        known(answer.status)
    }

    /// Gives the node one share of the key.
    pub async fn unseal(&self, share: &[u8]) -> Result<v1::SealStatus, Error> {
        self.send_unseal(v1::UnsealRequest {
            share: share.to_vec(),
            reset: false,
        })
        .await
    }

    /// Drops the shares that the node has been given so far.
    pub async fn reset_unseal(&self) -> Result<v1::SealStatus, Error> {
        self.send_unseal(v1::UnsealRequest {
            share: Vec::new(),
            reset: true,
        })
        .await
    }

    async fn send_unseal(&self, request: v1::UnsealRequest) -> Result<v1::SealStatus, Error> {
        // Not repeatable: the share that completes a wrong set resets the progress, and
        // sent again it would begin a new attempt.
        let answer = ask!(self, FirstNode, Once, unseal(request)).await?;
        known(answer.status)
    }

    /// Seals the node.
    pub async fn seal(&self) -> Result<(), Error> {
        let request = v1::SealRequest {};
        ask!(self, FirstNode, Once, seal(request)).await?;
        Ok(())
    }
}
