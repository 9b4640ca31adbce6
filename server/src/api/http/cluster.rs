//! `sys/ha-status`, `sys/step-down`, `sys/seal` and `sys/storage/raft/…`: what concerns nodes and
//! needs a token.

use serde_json::{Map, Value, json};
use tenure_proto::v1;
use tenure_raft::node::SAMPLE_AGE_MAX;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    route::{Route, read, write},
    time,
};
use crate::error::Error;

const HA_STATUS: &str = "/v1/sys/ha-status";
const CONFIGURATION: &str = "/v1/sys/storage/raft/configuration";
const AUTOPILOT: &str = "/v1/sys/storage/raft/autopilot/state";
const AUTOPILOT_CONFIGURATION: &str = "/v1/sys/storage/raft/autopilot/configuration";

impl HttpCall for v1::GetClusterStatusRequest {
    const ROUTES: &'static [Route] = &[
        read(HA_STATUS),
        read(CONFIGURATION),
        read(AUTOPILOT),
        read(AUTOPILOT_CONFIGURATION),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let look = match input.pattern {
            HA_STATUS => v1::ClusterLook::Ha,
            AUTOPILOT => v1::ClusterLook::Health,
            AUTOPILOT_CONFIGURATION => v1::ClusterLook::Watch,
            _ => v1::ClusterLook::Unspecified,
        };
        Ok(Self { look: look.into() })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        match input.pattern {
            HA_STATUS => return ha_status(answer),
            AUTOPILOT => return Reply::data(health(&answer)),
            AUTOPILOT_CONFIGURATION => return Reply::data(watch()),
            _ => {}
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
        Reply::data(json!({ "config": { "index": 0, "servers": servers } }))
    }
}

fn ha_status(answer: v1::GetClusterStatusResponse) -> Reply {
    let nodes = answer.members.into_iter().map(|member| {
        json!({
            "hostname": member.name,
            "api_address": member.api_address,
            "cluster_address": url(&member.peer_address),
            "active_node": member.active,
            "last_echo": null,
            "version": member.state.map(|state| state.version),
        })
    });
    let nodes = nodes.collect::<Vec<_>>().into();
    Reply::data_and_fields(Map::from_iter([("nodes".to_owned(), nodes)]))
}

/// The members in the words of the peers' autopilot: one that answered lately and is open is healthy.
fn health(answer: &v1::GetClusterStatusResponse) -> Value {
    let is_voter = |member: &v1::Member| member.role == i32::from(v1::MemberRole::Voter);
    let is_healthy = |member: &v1::Member| member.state.as_ref().is_some_and(|one| !one.sealed);
    let names = |voters: bool| {
        let members = answer.members.iter();
        let names = members.filter(|member| is_voter(member) == voters);
        names.map(|member| member.name.clone()).collect::<Vec<_>>()
    };
    let voters = names(true);
    let members = answer.members.iter();
    let good = members
        .filter(|member| is_voter(member) && is_healthy(member))
        .count();
    let quorum = voters.len() / 2 + 1;
    let leader = answer.members.iter().find(|member| member.leader);
    let servers = answer.members.iter().map(|member| {
        let status = match (member.leader, is_voter(member)) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "non-voter",
        };
        let state = member.state.clone().unwrap_or_default();
        let server = json!({
            "id": member.name,
            "name": member.name,
            "address": member.peer_address,
            "node_status": if member.state.is_some() { "alive" } else { "failed" },
            "last_term": answer.term,
            "last_index": state.applied_index,
            "healthy": is_healthy(member),
            "status": status,
            "node_type": if is_voter(member) { "voter" } else { "non-voter" },
            "version": state.version,
        });
        (member.name.clone(), server)
    });
    json!({
        "healthy": answer.members.iter().all(is_healthy),
        "failure_tolerance": good.saturating_sub(quorum),
        "leader": leader.map(|member| member.name.clone()),
        "voters": voters,
        "non_voters": names(false),
        "servers": servers.collect::<Map<_, _>>(),
    })
}

/// How members are watched. Nothing of it can be set: learners vote once they have caught up, and
/// dead members stay until an operator removes them.
fn watch() -> Value {
    json!({
        "cleanup_dead_servers": false,
        "dead_server_last_contact_threshold": "0s",
        "last_contact_threshold": format!("{}s", SAMPLE_AGE_MAX.as_secs()),
        "max_trailing_logs": 0,
        "min_quorum": 0,
        "server_stabilization_time": "0s",
    })
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
