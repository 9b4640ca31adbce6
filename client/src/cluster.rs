//! The calls of `ClusterService`.

use std::time::Duration;

use tenure_proto::v1::{
    self, cluster_service_client::ClusterServiceClient, remove_peer_request::Peer as WirePeer,
};
use tonic::transport::Channel;

use crate::{
    call::{Client, ask},
    error::Error,
    secret::Secret,
    tokens::wire,
};

fn service(channel: Channel) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(channel)
}

/// A member, by what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Its id.
    Id(u64),
    /// Its name.
    Name(String),
}

/// With this, a new node may join.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The token.
    pub token: Secret,
    /// When it expires.
    pub expire_time: Option<prost_types::Timestamp>,
}

impl Client {
    /// Shows the members.
    pub async fn cluster_status(&self) -> Result<v1::GetClusterStatusResponse, Error> {
        let request = v1::GetClusterStatusRequest::default();
        ask!(self, Repeatable, get_cluster_status(request)).await
    }

    /// Mints a join token. Without `ttl`, for the server's default time.
    pub async fn create_join_token(&self, ttl: Option<Duration>) -> Result<JoinToken, Error> {
        let request = v1::CreateJoinTokenRequest {
            ttl: ttl.map(wire).transpose()?,
        };
        let answer = ask!(self, Once, create_join_token(request)).await?;
        Ok(JoinToken {
            token: Secret::new(answer.join_token),
            expire_time: answer.expire_time,
        })
    }

    /// Tells the node of the first address to join the cluster of these peers. Answers
    /// with its new id, or with none while the join waits for the unseal shares (which
    /// takes the place of a join token).
    pub async fn join(
        &self,
        peer_addresses: &[String],
        join_token: Option<&Secret>,
    ) -> Result<Option<u64>, Error> {
        let request = v1::JoinRequest {
            peer_addresses: peer_addresses.to_vec(),
            join_token: join_token.map_or("", Secret::expose).to_owned(),
            ..v1::JoinRequest::default()
        };
        let answer = ask!(self, FirstNode, Once, join(request)).await?;
        Ok(answer.node_id)
    }

    /// Takes a member out of the cluster.
    pub async fn remove_peer(&self, peer: Peer) -> Result<(), Error> {
        let request = v1::RemovePeerRequest {
            peer: Some(match peer {
                Peer::Id(id) => WirePeer::NodeId(id),
                Peer::Name(name) => WirePeer::Name(name),
            }),
        };
        ask!(self, Once, remove_peer(request)).await?;
        Ok(())
    }

    /// The metrics of the first node of the client's addresses, in the text format of OpenMetrics.
    pub async fn metrics(&self) -> Result<String, Error> {
        let request = v1::GetMetricsRequest {};
        let answer = ask!(self, FirstNode, Repeatable, get_metrics(request)).await?;
        Ok(answer.text)
    }

    /// Makes the active node hand over to another one.
    pub async fn step_down(&self) -> Result<(), Error> {
        let request = v1::StepDownRequest {};
        ask!(self, Once, step_down(request)).await?;
        Ok(())
    }
}
