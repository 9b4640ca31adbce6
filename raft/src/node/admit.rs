//! Letting a node in: its proof is judged on the leader, its id is allocated by the log, and
//! it begins as a learner. Other members pass the call on, once.

use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use prost::Message;
use tenure_proto::internal as wire;
use tokio::time::Instant;
use tonic::Status;
use wire::{join_request::Proof, join_service_client::JoinServiceClient};

use super::{
    Core, Node,
    join::{EXCHANGE_WAIT, membership_bytes, within},
    join_token::token_key,
};
use crate::{
    batch::SubmitError,
    codec,
    limits::FORMAT,
    txn::{Op, ReadSet, Record, Txn},
    types::{Member, NodeId},
    view::{View, ViewError},
};

/// The raft crate's own records in the state (see the data folder's layout).
const LAST_NODE_ID: &[u8] = b"\x01n";
/// Longest name and address of a node, bytes.
const NAME_BYTES_MAX: usize = 255;
const CONFLICT_RETRIES: usize = 16;

impl Node {
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
        let _alone = self.shared.membership.lock().await;
        core.raft
            .add_learner(id, member.clone(), false)
            .await
            .map_err(|error| Status::unavailable(format!("adding the node: {error}")))?;
        self.join_answer(core, id, member, &request.proof)
    }

    fn join_answer(
        &self,
        core: &Core,
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
        core: &Core,
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
        core: &Core,
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
            ..Txn::default()
        };
        Ok((Some(txn), id))
    }
}

/// One answer for unknown, used and ended tokens.
fn bad_token() -> Status {
    Status::permission_denied("the join token is unknown, used or expired")
}

fn id_of(record: &Record) -> NodeId {
    record
        .value
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
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
