//! How a node comes into a cluster: by a short-lived token that an operator minted, or by
//! proving that its operator holds the unseal quorum. Ids are allocated by the log, so no
//! id is ever used twice; a node that comes back empty under the same name replaces its
//! old id (`duties` does that once it has caught up).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use tenure_proto::internal as wire;
use tonic::Status;
use wire::{join_request::Proof, join_service_client::JoinServiceClient};
use zeroize::Zeroizing;

use super::{Node, StartError, join_token::JoinToken};
use crate::{
    codec, files,
    identity::NodeIdentity,
    limits::FORMAT,
    peers::JoinPin,
    types::{Member, NodeId},
};

/// The layer above, asked about the quorum proof. A sealed node can't answer.
pub trait JoinGate: Send + Sync + 'static {
    /// A fresh challenge for the holder of `public_key`, stateless; `None` while sealed.
    fn challenge(&self, public_key: &[u8], now_ms: u64) -> Option<Bytes>;
    /// Whether `answer` opens `challenge`, which this cluster gave to `public_key`.
    fn verify(&self, public_key: &[u8], challenge: &[u8], answer: &[u8], now_ms: u64) -> bool;
    /// Proof to the new node that this cluster knows the quorum, too.
    fn prove(&self, answer: &[u8], cluster_id: &[u8; 16], membership: &[u8]) -> Option<Bytes>;
}

/// Lets nobody in by the quorum proof, but by join tokens: for a store without keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokensOnly;

impl JoinGate for TokensOnly {
    fn challenge(&self, _public_key: &[u8], _now_ms: u64) -> Option<Bytes> {
        None
    }

    fn verify(&self, _public_key: &[u8], _challenge: &[u8], _answer: &[u8], _now_ms: u64) -> bool {
        false
    }

    fn prove(&self, _answer: &[u8], _cluster_id: &[u8; 16], _membership: &[u8]) -> Option<Bytes> {
        None
    }
}

/// The joining side of the quorum proof.
pub trait ChallengeSolver: Send + Sync + 'static {
    /// Opens the challenge; `None` if the shares don't fit this cluster.
    fn solve(&self, public_key: &[u8], challenge: &[u8]) -> Option<Bytes>;
    /// Whether the cluster's proof is right.
    fn check(&self, answer: &[u8], cluster_id: &[u8; 16], membership: &[u8], proof: &[u8]) -> bool;
}

/// What a new node shows.
#[derive(Clone)]
pub enum JoinCredential {
    /// A join token.
    Token(Arc<Zeroizing<String>>),
    /// Knowledge of the unseal quorum.
    Quorum(Arc<dyn ChallengeSolver>),
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It belongs to a cluster already.
    #[error("this node already belongs to a cluster")]
    Initialized,
    /// The token isn't one.
    #[error("this is not a join token")]
    Malformed,
    /// No address of the cluster answered.
    #[error("no member could be reached: {0}")]
    Unreachable(String),
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// The shares don't fit the cluster, or the cluster doesn't know them.
    #[error("the shares do not fit this cluster")]
    WrongQuorum,
    /// The node could not start with what it was given.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Who was a member when this node joined, an encoded `Membership`.
const FIRST_MEMBERS_FILE: &str = "first-members";
/// How long one exchange with a member may take.
pub(super) const EXCHANGE_WAIT: Duration = Duration::from_secs(10);

impl Node {
    /// Joins a cluster through any of `addresses` (peer addresses, `host:port`), and starts
    /// raft. Call again if no member could be reached.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(
        &self,
        addresses: &[String],
        credential: &JoinCredential,
    ) -> Result<(), JoinError> {
        let _one_at_a_time = self.shared.founding.lock().await;
        if self.is_initialized() {
            return Err(JoinError::Initialized);
        }
        let mut last = JoinError::Unreachable("no address was given".to_owned());
        for address in addresses {
            match self.join_through(address, credential).await {
                Ok(answer) => return self.adopt(answer).await,
                Err(JoinError::Malformed) => return Err(JoinError::Malformed),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks the members at `addresses` for a challenge, without answering it.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn fetch_challenge(&self, addresses: &[String]) -> Result<Bytes, JoinError> {
        let mut last = JoinError::Unreachable("no address was given".to_owned());
        for address in addresses {
            let connect = self.shared.peers.join_channel(address, JoinPin::Unpinned);
            let channel = match connect.await {
                Ok((channel, _)) => channel,
                Err(error) => {
                    last = JoinError::Unreachable(format!("{address}: {error}"));
                    continue;
                }
            };
            let mut client = JoinServiceClient::new(channel);
            match client.challenge(within(wire::ChallengeRequest {})).await {
                Ok(given) => return Ok(given.into_inner().challenge),
                Err(status) => last = refused(status),
            }
        }
        Err(last)
    }

    async fn join_through(
        &self,
        address: &str,
        credential: &JoinCredential,
    ) -> Result<wire::JoinResponse, JoinError> {
        let token = match credential {
            JoinCredential::Token(text) => {
                Some(JoinToken::decode(text).ok_or(JoinError::Malformed)?)
            }
            JoinCredential::Quorum(_) => None,
        };
        let pin = match &token {
            Some(token) => JoinPin::Fingerprints(token.fingerprints.clone()),
            None => JoinPin::Unpinned,
        };
        let connect = self.shared.peers.join_channel(address, pin);
        let (channel, _key) = connect
            .await
            .map_err(|error| JoinError::Unreachable(format!("{address}: {error}")))?;
        let mut client = JoinServiceClient::new(channel);
        let (proof, answer) = match credential {
            JoinCredential::Token(_) => {
                let secret = token.as_ref().map(|token| token.secret.to_vec());
                (Proof::JoinToken(secret.unwrap_or_default().into()), None)
            }
            JoinCredential::Quorum(solver) => {
                let given = client
                    .challenge(within(wire::ChallengeRequest {}))
                    .await
                    .map_err(refused)?
                    .into_inner();
                let answer = solver
                    .solve(&self.public_key(), &given.challenge)
                    .ok_or(JoinError::WrongQuorum)?;
                let proof = wire::ChallengeProof {
                    challenge: given.challenge,
                    answer: answer.clone(),
                };
                (Proof::Challenge(proof), Some(answer))
            }
        };
        let member = self.shared.own_member();
        let request = wire::JoinRequest {
            format: FORMAT,
            name: member.name,
            peer_address: member.peer_address,
            api_address: member.api_address,
            proof: Some(proof),
            forwarded_public_key: Bytes::new(),
        };
        let joined = client.join(within(request)).await.map_err(refused)?;
        let joined = joined.into_inner();
        if let Some(token) = &token
            && joined.cluster_id != token.cluster_id.as_slice()
        {
            return Err(JoinError::Refused("it is another cluster".to_owned()));
        }
        if let (JoinCredential::Quorum(solver), Some(answer)) = (credential, answer) {
            let cluster_id = cluster_id(&joined)?;
            let membership = joined.membership.clone().unwrap_or_default();
            let proof = &joined.cluster_proof;
            if !solver.check(&answer, &cluster_id, &membership_bytes(&membership), proof) {
                return Err(JoinError::WrongQuorum);
            }
        }
        Ok(joined)
    }

    /// Takes on the identity that the cluster gave, and starts raft with it.
    async fn adopt(&self, joined: wire::JoinResponse) -> Result<(), JoinError> {
        let members = members_of(&joined.membership.clone().unwrap_or_default());
        let identity = NodeIdentity {
            cluster_id: cluster_id(&joined)?,
            node_id: joined.node_id,
            name: self.shared.config.name.clone(),
        };
        // Its own log knows no members yet; these are who may speak to it, after a restart too.
        let dir = &self.shared.config.data_dir;
        let membership = joined.membership.clone().unwrap_or_default();
        files::replace_file(&dir.join(FIRST_MEMBERS_FILE), &membership.encode_to_vec()).map_err(
            |source| StartError::Io {
                what: "keeping the members that the cluster named".to_owned(),
                source,
            },
        )?;
        identity.save(dir).map_err(StartError::from)?;
        self.shared.peers.update(&members);
        self.start_core(identity).await?;
        Ok(())
    }
}

fn members_of(membership: &wire::Membership) -> BTreeMap<NodeId, Member> {
    let members = membership.nodes.iter();
    members
        .map(|(id, node)| (*id, codec::member_from_proto(node)))
        .collect()
}

impl Node {
    /// Trusts the members that the cluster named when this node joined, until its own log
    /// names some.
    pub(super) fn trust_first_members(&self) {
        let path = self.shared.config.data_dir.join(FIRST_MEMBERS_FILE);
        let kept = std::fs::read(path).ok();
        if let Some(kept) = kept.and_then(|bytes| wire::Membership::decode(bytes.as_slice()).ok()) {
            self.shared.peers.update(&members_of(&kept));
        }
    }
}

fn cluster_id(joined: &wire::JoinResponse) -> Result<[u8; 16], JoinError> {
    <[u8; 16]>::try_from(joined.cluster_id.as_ref())
        .map_err(|_| JoinError::Refused("its answer has no cluster id".to_owned()))
}

/// A membership in one canonical form, for proofs: protobuf maps have no order.
pub(super) fn membership_bytes(membership: &wire::Membership) -> Vec<u8> {
    let nodes: BTreeMap<_, _> = membership.nodes.iter().collect();
    let mut bytes = Vec::new();
    for (id, node) in nodes {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend(node.encode_length_delimited_to_vec());
    }
    bytes
}

pub(super) fn within<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(EXCHANGE_WAIT);
    request
}

fn refused(status: Status) -> JoinError {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded => {
            JoinError::Unreachable(status.message().to_owned())
        }
        _ => JoinError::Refused(status.message().to_owned()),
    }
}
