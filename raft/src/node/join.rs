//! How a node comes into a cluster: by a short-lived token that an operator minted, or by
//! proving that its operator holds the unseal quorum. Ids are allocated by the log, so no
//! id is ever used twice; a node that comes back empty under the same name replaces its
//! old id (`duties` does that once it has caught up).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use prost::Message;
use tenure_proto::internal as wire;
use tokio::time::Instant;
use tonic::Status;
use wire::{join_request::Proof, join_service_client::JoinServiceClient};
use zeroize::Zeroizing;

use super::{Node, StartError};
use crate::{
    batch::SubmitError,
    codec, files,
    identity::NodeIdentity,
    limits::FORMAT,
    peers::JoinPin,
    tls::fingerprint,
    txn::{Op, ReadSet, Record, Txn},
    types::{Member, NodeId},
    view::{View, ViewError},
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

/// The raft crate's own records in the state (see the data folder's layout).
const LAST_NODE_ID: &[u8] = b"\x01n";
const JOIN_TOKENS: &[u8] = b"\x01j";
const JOIN_TOKENS_END: &[u8] = b"\x01k";
/// Who was a member when this node joined, an encoded `Membership`.
const FIRST_MEMBERS_FILE: &str = "first-members";
const TOKEN_PREFIX: &str = "tenure-join.";
const SECRET_BYTES: usize = 32;
/// Join tokens alive at one time.
const JOIN_TOKENS_MAX: usize = 256;
/// Longest name and address of a node, bytes.
const NAME_BYTES_MAX: usize = 255;
/// How long one exchange with a member may take.
const EXCHANGE_WAIT: Duration = Duration::from_secs(10);
const CONFLICT_RETRIES: usize = 16;

fn token_key(secret: &[u8]) -> Bytes {
    let mut key = JOIN_TOKENS.to_vec();
    key.extend_from_slice(digest(&SHA256, secret).as_ref());
    key.into()
}

/// A join token as text: cluster id, secret, and the fingerprints of the members' keys, by
/// which the new node knows whom it talks to.
struct JoinToken {
    cluster_id: [u8; 16],
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    fingerprints: Vec<[u8; 32]>,
}

impl JoinToken {
    fn encode(&self) -> String {
        let mut bytes = Zeroizing::new(self.cluster_id.to_vec());
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend(self.fingerprints.iter().flatten());
        format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(&*bytes))
    }

    fn decode(text: &str) -> Option<Self> {
        let encoded = text.trim().strip_prefix(TOKEN_PREFIX)?;
        let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?);
        let (cluster_id, rest) = bytes.split_first_chunk::<16>()?;
        let (secret, rest) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let (fingerprints, tail) = rest.as_chunks::<32>();
        (!fingerprints.is_empty() && tail.is_empty()).then(|| Self {
            cluster_id: *cluster_id,
            secret: Zeroizing::new(*secret),
            fingerprints: fingerprints.to_vec(),
        })
    }
}

impl Node {
    /// Makes a join token that ends after `ttl`. Active node only.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn mint_join_token(
        &self,
        ttl: Duration,
        deadline: Instant,
    ) -> Result<Zeroizing<String>, SubmitError> {
        let core = self.core().ok_or(SubmitError::NotActive)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| SubmitError::NotActive)?;
        let now_ms = core.clock.now_ms();
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let record = wire::JoinToken {
            format: FORMAT,
            expires_ms: now_ms.saturating_add(ttl_ms),
            node_id: None,
            public_key: Bytes::new(),
        };
        let view = core.state.view().map_err(|_| SubmitError::NotActive)?;
        let mut txn = Txn {
            read_revision: view.revision(),
            ..Txn::default()
        };
        let known = view
            .scan(JOIN_TOKENS, JOIN_TOKENS_END, JOIN_TOKENS_MAX)
            .map_err(|_| SubmitError::NotActive)?;
        let ended = known.iter().filter(|(_, record)| {
            wire::JoinToken::decode(record.value.clone()).is_ok_and(|t| t.expires_ms <= now_ms)
        });
        txn.ops
            .extend(ended.map(|(key, _)| Op::Delete(key.clone())));
        if known.len() - txn.ops.len() >= JOIN_TOKENS_MAX {
            return Err(SubmitError::Overloaded);
        }
        txn.ops.push(Op::Put {
            key: token_key(secret.as_ref()),
            value: record.encode_to_vec().into(),
            create_revision: None,
        });
        self.submit(txn, deadline).await?;
        let metrics = core.raft.metrics();
        let fingerprints = metrics
            .borrow_watched()
            .membership_config
            .membership()
            .nodes()
            .map(|(_, member)| fingerprint(&member.public_key))
            .collect();
        let token = JoinToken {
            cluster_id: core.identity.cluster_id,
            secret,
            fingerprints,
        };
        Ok(Zeroizing::new(token.encode()))
    }

    /// Deletes the join tokens that gave `id`: who was removed must not use them again.
    pub(super) async fn forget_join_tokens(&self, id: NodeId) -> Result<(), SubmitError> {
        let core = self.core().ok_or(SubmitError::NotActive)?;
        let view = core.state.view().map_err(|_| SubmitError::NotActive)?;
        let known = view
            .scan(JOIN_TOKENS, JOIN_TOKENS_END, JOIN_TOKENS_MAX)
            .map_err(|_| SubmitError::NotActive)?;
        let gave = |record: &Record| {
            wire::JoinToken::decode(record.value.clone())
                .is_ok_and(|token| token.node_id == Some(id))
        };
        let ops: Vec<Op> = known
            .into_iter()
            .filter(|(_, record)| gave(record))
            .map(|(key, _)| Op::Delete(key))
            .collect();
        if ops.is_empty() {
            return Ok(());
        }
        let txn = Txn {
            ops,
            ..Txn::default()
        };
        self.submit(txn, Instant::now() + EXCHANGE_WAIT).await?;
        Ok(())
    }

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

    /// Lets a node in: on the leader, else passed on to it once.
    pub(super) async fn admit(
        &self,
        peer_key: Bytes,
        from_member: Option<NodeId>,
        request: wire::JoinRequest,
    ) -> Result<wire::JoinResponse, Status> {
        let core = self
            .core()
            .ok_or_else(|| Status::unavailable("this node belongs to no cluster yet"))?;
        let forwarded = !request.forwarded_public_key.is_empty();
        if forwarded && from_member.is_none() {
            return Err(Status::permission_denied("only members pass a join on"));
        }
        if core.leadership().is_none() {
            if forwarded {
                return Err(Status::unavailable("the leader has changed; try again"));
            }
            return self.pass_on(core, peer_key, request).await;
        }
        if request.format > FORMAT {
            return Err(Status::failed_precondition(format!(
                "the new node speaks format {}, this cluster {FORMAT}",
                request.format
            )));
        }
        let public_key = if forwarded {
            request.forwarded_public_key.clone()
        } else {
            peer_key
        };
        let member = joining_member(&request, public_key)?;
        let id = match &request.proof {
            Some(Proof::JoinToken(secret)) => {
                self.allocate(&member, Some(token_key(secret))).await?
            }
            Some(Proof::Challenge(proof)) => {
                let now_ms = core.clock.now_ms();
                let gate = &self.shared.gate;
                let key = &member.public_key;
                if !gate.verify(key, &proof.challenge, &proof.answer, now_ms) {
                    return Err(Status::permission_denied("the proof was refused"));
                }
                self.allocate(&member, None).await?
            }
            None => return Err(Status::invalid_argument("no proof was given")),
        };
        core.raft
            .add_learner(id, member.clone(), false)
            .await
            .map_err(|error| Status::unavailable(format!("adding the node: {error}")))?;
        self.join_answer(core, id, member, &request.proof)
    }

    fn join_answer(
        &self,
        core: &super::Core,
        id: NodeId,
        member: Member,
        proof: &Option<Proof>,
    ) -> Result<wire::JoinResponse, Status> {
        let metrics = core.raft.metrics();
        let stored = Arc::clone(&metrics.borrow_watched().membership_config);
        let mut membership = codec::membership_to_proto(stored.membership());
        membership.nodes.insert(id, codec::member_to_proto(&member));
        let cluster_id = core.identity.cluster_id;
        let cluster_proof = match proof {
            Some(Proof::Challenge(proof)) => self
                .shared
                .gate
                .prove(&proof.answer, &cluster_id, &membership_bytes(&membership))
                .ok_or_else(|| Status::unavailable("this node was sealed meanwhile"))?,
            _ => Bytes::new(),
        };
        Ok(wire::JoinResponse {
            cluster_id: Bytes::copy_from_slice(&cluster_id),
            node_id: id,
            membership: Some(membership),
            cluster_proof,
        })
    }

    async fn pass_on(
        &self,
        core: &super::Core,
        peer_key: Bytes,
        mut request: wire::JoinRequest,
    ) -> Result<wire::JoinResponse, Status> {
        let leader = core.raft.metrics().borrow_watched().current_leader;
        let leader = leader.ok_or_else(|| Status::unavailable("there is no leader"))?;
        request.forwarded_public_key = peer_key;
        let channel = self
            .shared
            .peers
            .channel(leader)
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let joined = JoinServiceClient::new(channel)
            .join(within(request))
            .await?;
        Ok(joined.into_inner())
    }

    /// Allocates an id for a new node, once for each token and key, or proof and key.
    async fn allocate(&self, member: &Member, token: Option<Bytes>) -> Result<NodeId, Status> {
        let core = self
            .core()
            .ok_or_else(|| Status::unavailable("no cluster"))?;
        let deadline = Instant::now() + EXCHANGE_WAIT;
        for _ in 0..CONFLICT_RETRIES {
            let view = core
                .state
                .view()
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let (txn, id) = self.plan_allocation(core, &view, member, token.as_ref())?;
            let Some(txn) = txn else { return Ok(id) };
            match self.submit(txn, deadline).await {
                Ok(_) => return Ok(id),
                Err(SubmitError::Conflict) => {}
                Err(error) => return Err(Status::unavailable(error.to_string())),
            }
        }
        Err(Status::unavailable(
            "too many nodes join at once; try again",
        ))
    }

    fn plan_allocation(
        &self,
        core: &super::Core,
        view: &View,
        member: &Member,
        token: Option<&Bytes>,
    ) -> Result<(Option<Txn>, NodeId), Status> {
        let failed = |error: ViewError| Status::unavailable(error.to_string());
        let metrics = core.raft.metrics();
        let stored = Arc::clone(&metrics.borrow_watched().membership_config);
        let mut known = stored.membership().nodes();
        // The same key again: the first answer was lost on its way. A voter's id is never given
        // again: a node that lost its log must not vote as the one that had it.
        let is_voter = |id: NodeId| stored.membership().voter_ids().any(|voter| voter == id);
        if token.is_none()
            && let Some((id, _)) = known.find(|(_, known)| known.public_key == member.public_key)
            && !is_voter(*id)
        {
            return Ok((None, *id));
        }
        let last = view.get(LAST_NODE_ID).map_err(failed)?;
        let allocated = last.as_ref().map_or(0, id_of);
        let in_use = stored.membership().nodes().map(|(id, _)| *id).max();
        let id = allocated.max(in_use.unwrap_or(0)) + 1;
        let mut reads = ReadSet {
            keys: vec![Bytes::from_static(LAST_NODE_ID)],
            ranges: Vec::new(),
        };
        let mut ops = vec![Op::Put {
            key: Bytes::from_static(LAST_NODE_ID),
            value: Bytes::copy_from_slice(&id.to_be_bytes()),
            create_revision: last.map(|record| record.create_revision),
        }];
        if let Some(key) = token {
            let record = view.get(key).map_err(failed)?.ok_or_else(bad_token)?;
            let mut token =
                wire::JoinToken::decode(record.value.clone()).map_err(|_| bad_token())?;
            if token.expires_ms <= core.clock.now_ms() {
                return Err(bad_token());
            }
            match token.node_id {
                Some(id) if token.public_key == member.public_key && !is_voter(id) => {
                    return Ok((None, id));
                }
                Some(_) => return Err(bad_token()),
                None => {}
            }
            token.node_id = Some(id);
            token.public_key = member.public_key.clone();
            reads.keys.push(key.clone());
            ops.push(Op::Put {
                key: key.clone(),
                value: token.encode_to_vec().into(),
                create_revision: Some(record.create_revision),
            });
        }
        let txn = Txn {
            read_revision: view.revision(),
            reads,
            ops,
        };
        Ok((Some(txn), id))
    }
}

/// One answer for unknown, used and ended tokens.
fn bad_token() -> Status {
    Status::permission_denied("the join token is unknown, used or expired")
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

fn id_of(record: &Record) -> NodeId {
    record
        .value
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn cluster_id(joined: &wire::JoinResponse) -> Result<[u8; 16], JoinError> {
    <[u8; 16]>::try_from(joined.cluster_id.as_ref())
        .map_err(|_| JoinError::Refused("its answer has no cluster id".to_owned()))
}

fn joining_member(request: &wire::JoinRequest, public_key: Bytes) -> Result<Member, Status> {
    let bounded = |what: &str, text: &str| {
        let fine = !text.is_empty()
            && text.len() <= NAME_BYTES_MAX
            && text.chars().all(|c| c.is_ascii_graphic());
        if fine {
            Ok(())
        } else {
            Err(Status::invalid_argument(format!(
                "{what}: 1 to {NAME_BYTES_MAX} printable ASCII characters without spaces"
            )))
        }
    };
    bounded("name", &request.name)?;
    bounded("peer_address", &request.peer_address)?;
    bounded("api_address", &request.api_address)?;
    Ok(Member {
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        api_address: request.api_address.clone(),
        public_key,
    })
}

/// A membership in one canonical form, for proofs: protobuf maps have no order.
fn membership_bytes(membership: &wire::Membership) -> Vec<u8> {
    let nodes: BTreeMap<_, _> = membership.nodes.iter().collect();
    let mut bytes = Vec::new();
    for (id, node) in nodes {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend(node.encode_length_delimited_to_vec());
    }
    bytes
}

fn within<T>(message: T) -> tonic::Request<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_survives_its_text_and_garbage_is_refused() {
        let token = JoinToken {
            cluster_id: [7; 16],
            secret: Zeroizing::new([9; SECRET_BYTES]),
            fingerprints: vec![[1; 32], [2; 32]],
        };
        let text = token.encode();
        let back = JoinToken::decode(&format!(" {text}\n")).unwrap();
        assert_eq!(back.cluster_id, token.cluster_id);
        assert_eq!(*back.secret, *token.secret);
        assert_eq!(back.fingerprints, token.fingerprints);
        for bad in [
            "",
            "tenure-join.",
            "tenure-join.AAAA",
            &text[..text.len() - 3],
            &text[1..],
        ] {
            assert!(JoinToken::decode(bad).is_none(), "{bad:?}");
        }
    }
}
