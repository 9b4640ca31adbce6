//! `sys/ha-status`, `sys/step-down`, `sys/seal` and `sys/storage/raft/…`: what concerns nodes and
//! needs a token.

use serde_json::json;
use tenure_proto::v1;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    route::{Route, read, write},
    time,
};
use crate::error::Error;

const HA_STATUS: &str = "/v1/sys/ha-status";

impl HttpCall for v1::GetClusterStatusRequest {
    const ROUTES: &'static [Route] = &[read(HA_STATUS), read("/v1/sys/storage/raft/configuration")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        if input.pattern == HA_STATUS {
            let nodes = answer.members.into_iter().map(|member| {
                json!({
                    "hostname": member.name,
                    "api_address": member.api_address,
                    "cluster_address": url(&member.peer_address),
                    "active_node": member.active,
                    "version": member.state.map(|state| state.version),
                })
            });
            return Reply::data(json!({ "nodes": nodes.collect::<Vec<_>>() }));
        }
        let servers = answer.members.into_iter().map(|member| {
            json!({
                "node_id": member.name,
                "address": member.peer_address,
                "leader": member.leader,
                "voter": member.role == i32::from(v1::MemberRole::Voter),
            })
        });
        let servers: Vec<_> = servers.collect();
        Reply::data(json!({ "config": { "servers": servers } }))
    }
}

/// The peers write addresses of nodes as URLs. Between nodes there is always TLS.
pub fn url(peer_address: &str) -> String {
    match peer_address {
        "" => String::new(),
        address if address.contains("://") => address.to_owned(),
        address => format!("https://{address}"),
    }
}

impl HttpCall for v1::CreateJoinTokenRequest {
    /// Ours alone.
    const ROUTES: &'static [Route] = &[write("/v1/sys/storage/raft/join-token")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let ttl = input.fields.duration("ttl")?;
        Ok(Self { ttl })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data(json!({
            "join_token": answer.join_token,
            "expire_time": time(answer.expire_time.as_ref()),
        }))
    }
}

impl HttpCall for v1::RemovePeerRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/storage/raft/remove-peer")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let name = input.fields.text("server_id")?;
        if name.is_empty() {
            return Err(Error::invalid_argument("server_id: missing"));
        }
        let peer = Some(v1::remove_peer_request::Peer::Name(name));
        Ok(Self { peer })
    }
}

impl HttpCall for v1::StepDownRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/step-down")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }
}

impl HttpCall for v1::SealRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/seal")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }
}
