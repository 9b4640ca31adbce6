//! How a node without a cluster finds one: by the addresses of its configuration, with a
//! join token, or by collecting shares for the proof of the quorum.

use std::{sync::PoisonError, time::Duration};

use tenure_proto::v1::{self, seal_service_client::SealServiceClient};
use tenure_raft::node::{JoinCredential, JoinError};
use tokio::time::sleep;
use tonic::{Code, transport::Endpoint};
use zeroize::Zeroizing;

use super::{
    Candidate, Sealer,
    keys::{Challenge, ProofOf},
    open_itself::open_stored,
};
use crate::{
    api::grpc::join_error,
    config::{ApiUrl, HostPort, defaults::CLUSTER_PORT},
    error::Error,
};

/// How soon the addresses are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a member may take to tell its peer address.
const ASK_WAIT: Duration = Duration::from_secs(10);
/// Largest join token file, bytes.
const JOIN_TOKEN_BYTES_MAX: u64 = 64 << 10;

impl Sealer {
    /// Follows `retry_join` of the configuration until the node belongs to a cluster.
    pub async fn retry_join(&self) {
        if self.retry_join.is_empty() {
            return;
        }
        let addresses: Vec<String> = self
            .retry_join
            .iter()
            .map(|target| target.peer_addr.to_string())
            .collect();
        while !self.node.is_initialized() {
            let mut told = None;
            for target in &self.retry_join {
                let Some(file) = &target.join_token_file else {
                    continue;
                };
                let token = match read_token(file).await {
                    Ok(token) => token,
                    Err(error) => {
                        tracing::debug!(%error, "the join token file can't be read");
                        continue;
                    }
                };
                let to = [target.peer_addr.to_string()];
                let credential = JoinCredential::Token(token.into());
                match self.node.join(&to, &credential).await {
                    Ok(()) => break,
                    Err(error) => told = Some(error),
                }
            }
            if self.node.is_initialized() {
                break;
            }
            if self
                .retry_join
                .iter()
                .any(|target| target.join_token_file.is_none())
                && let Err(error) = self.join_by_quorum(addresses.clone()).await
            {
                tracing::debug!(reason = error.reason, "no cluster answers yet");
            }
            if let Some(error) = told {
                tracing::info!(%error, "the cluster could not be joined yet");
            }
            sleep(RETRY_AFTER).await;
        }
        tracing::info!("this node belongs to a cluster");
    }

    /// Asks a cluster for its challenge, to learn how many shares are to be collected; the
    /// shares that come then prove the quorum. Where a provider opens nodes, the key that it
    /// gives proves it at once.
    ///
    /// # Errors
    /// The node belongs to a cluster already, or none of the addresses answers.
    pub async fn join_by_quorum(&self, addresses: Vec<String>) -> Result<(), Error> {
        if self.node.is_initialized() {
            return Err(join_error(&JoinError::Initialized));
        }
        let challenge = self.node.fetch_challenge(&addresses).await;
        let challenge = challenge.map_err(|error| join_error(&error))?;
        let challenge = Challenge::parse(&challenge)
            .ok_or_else(|| Error::internal("the cluster's challenge is malformed"))?;
        let (shares, threshold) = match (challenge.proof, &self.provider) {
            (ProofOf::Shares(shares, threshold), None) => (shares, threshold),
            (ProofOf::Provider(stored), Some(provider)) => {
                let opened = open_stored(provider.as_ref(), &stored).await?;
                return self.join_with(&addresses, &opened.root).await;
            }
            (ProofOf::Shares(..), Some(_)) => {
                return Err(other_seal(
                    "that cluster is opened by key shares: this node's seal stanza \
                     has to go",
                ));
            }
            (ProofOf::Provider(stored), None) => {
                let message = format!(
                    "that cluster is opened by seal {:?}: this node needs the same stanza",
                    stored.provider
                );
                return Err(other_seal(message));
            }
        };
        let candidate = Candidate {
            addresses,
            shares,
            threshold,
        };
        *self
            .candidate
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(candidate);
        Ok(())
    }
}

fn other_seal(message: impl Into<String>) -> Error {
    Error::new(Code::FailedPrecondition, "OTHER_SEAL", message)
}

/// The peer address of the cluster that a client address (URL) leads to. A node without TLS is
/// asked for it; of another one, the peer port is the one after its port, as in `retry_join`.
///
/// # Errors
/// It is no address, or no member answers there.
pub async fn peer_address_of(api_address: &str) -> Result<String, Error> {
    let wrong = |problem: &dyn std::fmt::Display| {
        Error::invalid_argument(format!("leader_api_address: {problem}"))
    };
    let api = ApiUrl::parse(api_address).map_err(|error| wrong(&error))?;
    let at = api.host_port();
    if api.is_tls() {
        let port = at.port().checked_add(1).unwrap_or(CLUSTER_PORT);
        let peer = HostPort::new(at.host(), port).map_err(|error| wrong(&error))?;
        return Ok(peer.to_string());
    }
    let unreachable = |why: String| join_error(&JoinError::Unreachable(why));
    let endpoint = Endpoint::from_shared(format!("http://{at}"));
    let endpoint = endpoint.map_err(|error| wrong(&error))?.timeout(ASK_WAIT);
    let channel = endpoint.connect_timeout(ASK_WAIT).connect().await;
    let channel = channel.map_err(|_| unreachable(format!("{at}: no connection")))?;
    let mut client = SealServiceClient::new(channel);
    let asked = client.get_seal_status(v1::GetSealStatusRequest {});
    let status = asked
        .await
        .map_err(|_| unreachable(format!("{at}: no answer")))?;
    let ha = status.into_inner().status.and_then(|status| status.ha);
    let peer = ha.map_or_else(String::new, |ha| ha.leader_cluster_address);
    match peer.is_empty() {
        true => Err(unreachable(format!("{at}: it knows no leader"))),
        false => Ok(peer),
    }
}

async fn read_token(path: &std::path::Path) -> std::io::Result<Zeroizing<String>> {
    if tokio::fs::metadata(path).await?.len() > JOIN_TOKEN_BYTES_MAX {
        return Err(std::io::Error::other("the file is too large for a token"));
    }
    Ok(Zeroizing::new(tokio::fs::read_to_string(path).await?))
}
