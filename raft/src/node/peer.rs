//! What this node answers on the peer port.

use std::{path::Path, sync::atomic::Ordering};

use bytes::Bytes;
use openraft::Raft;
use tenure_proto::internal as wire;
use tokio::time::Instant;
use tonic::Status;

use super::Node;
use crate::{
    limits::FORMAT,
    peer_server::{PeerHandler, async_trait},
    reads::{Confirm, Consistency},
    state::StateMachine,
    types::{NodeId, TypeConfig},
};

#[async_trait]
impl PeerHandler for Node {
    fn raft(&self) -> Option<Raft<TypeConfig, StateMachine>> {
        self.core().map(|core| core.raft.clone())
    }

    fn data_dir(&self) -> &Path {
        &self.shared.config.data_dir
    }

    fn cluster_id(&self) -> Option<[u8; 16]> {
        Node::cluster_id(self)
    }

    /// A restart forgets the lease that this voter promised: it waits one out. A single
    /// voter has promised nothing to anyone.
    fn votes_allowed(&self) -> bool {
        self.core().is_some_and(|core| {
            Instant::now().duration_since(core.started) > self.shared.config.timing.lease()
        })
    }

    async fn read_index(&self) -> Result<wire::ReadIndexResponse, Status> {
        let core = self
            .core()
            .ok_or_else(|| Status::unavailable("this node belongs to no cluster yet"))?;
        let confirm = Confirm {
            raft: core.raft.clone(),
            clock: std::sync::Arc::clone(&core.clock),
            peers: self.shared.peers.clone(),
            timing: self.shared.config.timing,
            // A follower asks for a fresh quorum: no lease is assumed on its behalf.
            consistency: Consistency::Quorum,
            suspend: Default::default(),
        };
        let point = confirm
            .as_leader()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(wire::ReadIndexResponse {
            index: point.index,
            time_ms: point.time_ms,
        })
    }

    async fn status(&self) -> wire::PeerStatusResponse {
        let (last_log_index, applied_index) = self.core().map_or((0, 0), |core| {
            (core.log.last_index(), core.state.applied().index)
        });
        wire::PeerStatusResponse {
            wall_clock_ms: self.shared.config.clock.wall_ms(),
            unsealed: self.shared.unsealed.load(Ordering::Acquire),
            last_log_index,
            applied_index,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            // The peer port fills it in.
            membership: None,
            disk_free_bytes: self.last_disk_free(),
        }
    }

    async fn hand_over(
        &self,
        from: NodeId,
        request: wire::HandOverRequest,
    ) -> Result<wire::HandOverResponse, Status> {
        // A member may ask for leadership for itself, not for another.
        if request.node_id != from {
            return Err(Status::permission_denied("ask for yourself"));
        }
        let accepted = Node::hand_over(self, Some(from)).await.is_ok();
        Ok(wire::HandOverResponse { accepted })
    }

    async fn challenge(&self, peer_key: Bytes) -> Result<wire::ChallengeResponse, Status> {
        let core = self
            .core()
            .ok_or_else(|| Status::unavailable("this node belongs to no cluster yet"))?;
        let challenge = self
            .shared
            .gate
            .challenge(&peer_key, core.clock.now_ms())
            .ok_or_else(|| Status::unavailable("this node is sealed"))?;
        Ok(wire::ChallengeResponse {
            cluster_id: Bytes::copy_from_slice(&core.identity.cluster_id),
            challenge,
        })
    }

    async fn join(
        &self,
        peer_key: Bytes,
        from_member: Option<NodeId>,
        request: wire::JoinRequest,
    ) -> Result<wire::JoinResponse, Status> {
        self.admit(peer_key, from_member, request).await
    }
}
