//! Learns of new members from known ones. A node that was away while members changed
//! refuses calls of those that it doesn't know, a new leader's too; after a refusal it asks
//! the members that it does know what the membership is now.

use std::time::Duration;

use futures_util::future::join_all;
use tenure_proto::internal::PeerStatusRequest;
use tokio::time::{sleep, timeout};

use super::Peers;
use crate::{
    codec::stored_membership_from_proto,
    limits::{MEMBERSHIP_ASK_INTERVAL_MS, PEER_CONNECT_TIMEOUT_MS},
    types::{NodeId, StoredMembership},
};

/// Runs for as long as the peer port is served. However many strangers call, known members
/// are asked no more often than the interval says.
pub(crate) async fn follow_refusals(peers: Peers) {
    let mut refusals = peers.refusals();
    while refusals.changed().await.is_ok() {
        refusals.borrow_and_update();
        ask_members(&peers).await;
        sleep(Duration::from_millis(MEMBERSHIP_ASK_INTERVAL_MS)).await;
    }
}

async fn ask_members(peers: &Peers) {
    let answers = peers.others().into_iter().map(|id| ask(peers, id));
    for stored in join_all(answers).await.into_iter().flatten() {
        if peers.hear(&stored) {
            tracing::info!(
                at = ?stored.log_id(),
                "learned from another member of a newer membership than the own log's"
            );
        }
    }
}

async fn ask(peers: &Peers, id: NodeId) -> Option<StoredMembership> {
    let mut client = peers.raft_client(id).ok()?;
    let limit = Duration::from_millis(PEER_CONNECT_TIMEOUT_MS);
    let status = timeout(limit, client.status(PeerStatusRequest {})).await;
    let status = status.ok()?.ok()?.into_inner();
    stored_membership_from_proto(&status.membership?).ok()
}
