//! What needs no token: health, seal status, leader, init and unseal. They answer without an
//! envelope, and go through the same services as over gRPC.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Value, json};
use tenure_proto::v1::{
    self, cluster_service_server::ClusterService, seal_service_server::SealService,
};
use tonic::{Request, Status};

use super::{
    Caller, Replying,
    body::{Input, Pairs, not_offered},
    cluster::url,
    envelope::Reply,
    keys::{pgp_key, pgp_keys, share},
    route::{Operation, Route, read, write},
};
use crate::{api::grpc::Services, error::Error};

/// When a node was active that never was: what the peers say.
const NEVER: &str = "0001-01-01T00:00:00Z";

type Open = fn(Arc<Services>, Caller, Input) -> Replying;

/// The routes that need no token.
pub const OPEN: [(Route, Open); 8] = [
    (read("/v1/sys/health"), |services, _, input| {
        Box::pin(health(services, input))
    }),
    (
        Route {
            operation: Operation::Head,
            pattern: "/v1/sys/health",
        },
        |services, _, input| Box::pin(health(services, input)),
    ),
    (read("/v1/sys/seal-status"), |services, _, _| {
        Box::pin(seal_status(services))
    }),
    (read("/v1/sys/leader"), |services, _, _| {
        Box::pin(leader(services))
    }),
    (read("/v1/sys/init"), |services, _, _| {
        Box::pin(init_status(services))
    }),
    (write("/v1/sys/init"), |services, _, input| {
        Box::pin(init(services, input))
    }),
    (write("/v1/sys/unseal"), |services, caller, input| {
        Box::pin(unseal(services, caller, input))
    }),
    (write("/v1/sys/storage/raft/join"), |services, _, input| {
        Box::pin(join(services, input))
    }),
];

async fn status(services: &Services) -> Result<v1::SealStatus, Status> {
    let request = Request::new(v1::GetSealStatusRequest {});
    let answer = services.get_seal_status(request).await?;
    Ok(answer.into_inner().status.unwrap_or_default())
}

/// What a node is to a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Uninitialized,
    Sealed,
    Standby,
    Active,
}

impl Standing {
    fn of(status: &v1::SealStatus) -> Self {
        let active = status.ha.as_ref().is_some_and(|ha| ha.active);
        match (status.initialized, status.sealed) {
            (false, _) => Self::Uninitialized,
            (true, true) => Self::Sealed,
            (true, false) if active => Self::Active,
            (true, false) => Self::Standby,
        }
    }

    /// The status of its health, with what the caller wants instead.
    fn code(self, query: &Pairs) -> Result<StatusCode, Error> {
        // All are read: a mistake shows before the day that its code is needed.
        let asked = |name: &str, otherwise: u16| match query.get(name) {
            None | Some("") => Ok(otherwise),
            Some(text) => text
                .parse()
                .ok()
                .filter(|code| (200..1000).contains(code))
                .ok_or_else(|| Error::invalid_argument(format!("{name}: not a status"))),
        };
        let (active, standby) = (asked("activecode", 200)?, asked("standbycode", 429)?);
        let (sealed, none) = (asked("sealedcode", 503)?, asked("uninitcode", 501)?);
        let code = match self {
            Self::Uninitialized => none,
            Self::Sealed => sealed,
            Self::Standby if query.is_true("standbyok") => active,
            Self::Standby => standby,
            Self::Active => active,
        };
        StatusCode::from_u16(code).map_err(|_| Error::invalid_argument("not a status"))
    }
}

async fn health(services: Arc<Services>, input: Input) -> Result<Reply, Status> {
    let status = status(&services).await?;
    let standing = Standing::of(&status);
    let code = standing.code(&input.query)?;
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH);
    let mut body = json!({
        "initialized": status.initialized,
        "sealed": status.sealed,
        "standby": standing != Standing::Active,
        "performance_standby": false,
        "replication_performance_mode": "disabled",
        "replication_dr_mode": "disabled",
        "server_time_utc": now.map_or(0, |since| since.as_secs()),
        "version": status.version,
    });
    names(&mut body, &status);
    let reply = Reply::bare(code, body);
    // A status without a body has none, whoever asked for it.
    Ok(if code == StatusCode::NO_CONTENT {
        reply.without_body()
    } else {
        reply
    })
}

/// The cluster's name and id, which only an open node shows.
fn names(body: &mut Value, status: &v1::SealStatus) {
    if !status.cluster_id.is_empty() {
        body["cluster_name"] = status.cluster_name.clone().into();
        body["cluster_id"] = status.cluster_id.clone().into();
    }
}

fn seal_status_of(status: &v1::SealStatus) -> Reply {
    let mut body = json!({
        "type": status.r#type,
        "initialized": status.initialized,
        "sealed": status.sealed,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
        "nonce": status.nonce,
        "version": status.version,
        "migration": false,
        "recovery_seal": status.recovery_seal,
        "storage_type": status.storage_type,
    });
    if status.recovery_seal {
        body["recovery_seal_type"] = "shamir".into();
    }
    names(&mut body, status);
    Reply::bare(StatusCode::OK, body)
}

async fn seal_status(services: Arc<Services>) -> Result<Reply, Status> {
    Ok(seal_status_of(&status(&services).await?))
}

async fn leader(services: Arc<Services>) -> Result<Reply, Status> {
    let status = status(&services).await?;
    match Standing::of(&status) {
        Standing::Uninitialized => return Err(Error::not_initialized().into()),
        Standing::Sealed => return Err(Error::sealed().into()),
        Standing::Standby | Standing::Active => {}
    }
    let ha = status.ha.unwrap_or_default();
    let body = json!({
        "ha_enabled": true,
        "is_self": ha.active,
        "leader_address": ha.leader_address,
        "leader_cluster_address": url(&ha.leader_cluster_address),
        "active_time": ha.active_since.map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
        "performance_standby": false,
        "performance_standby_last_remote_wal": 0,
        "raft_committed_index": ha.committed_index,
        "raft_applied_index": ha.applied_index,
    });
    Ok(Reply::bare(StatusCode::OK, body))
}

async fn init_status(services: Arc<Services>) -> Result<Reply, Status> {
    let initialized = status(&services).await?.initialized;
    let body = json!({ "initialized": initialized });
    Ok(Reply::bare(StatusCode::OK, body))
}

fn init_request(input: &mut Input) -> Result<v1::InitRequest, Error> {
    let fields = &mut input.fields;
    let call = v1::InitRequest {
        secret_shares: fields.count("secret_shares")?.unwrap_or(0),
        secret_threshold: fields.count("secret_threshold")?.unwrap_or(0),
        recovery_shares: fields.count("recovery_shares")?.unwrap_or(0),
        recovery_threshold: fields.count("recovery_threshold")?.unwrap_or(0),
        pgp_keys: pgp_keys(fields, "pgp_keys")?,
        root_token_pgp_key: pgp_key(fields, "root_token_pgp_key")?,
        recovery_pgp_keys: pgp_keys(fields, "recovery_pgp_keys")?,
    };
    if fields
        .count("stored_shares")?
        .is_some_and(|count| count > 1)
    {
        let message = "stored_shares: a provider keeps one key, which has no shares";
        return Err(Error::invalid_argument(message));
    }
    Ok(call)
}

async fn init(services: Arc<Services>, mut input: Input) -> Result<Reply, Status> {
    let call = init_request(&mut input)?;
    let made = services.init(Request::new(call)).await?.into_inner();
    let hex = |shares: &[Vec<u8>]| shares.iter().map(hex::encode).collect::<Vec<_>>();
    let base64 = |shares: &[Vec<u8>]| {
        let texts = shares.iter().map(|share| STANDARD.encode(share));
        texts.collect::<Vec<_>>()
    };
    let mut body = json!({
        "keys": hex(&made.shares),
        "keys_base64": base64(&made.shares),
        "root_token": made.root_token,
    });
    if !made.recovery_shares.is_empty() {
        body["recovery_keys"] = hex(&made.recovery_shares).into();
        body["recovery_keys_base64"] = base64(&made.recovery_shares).into();
    }
    Ok(Reply::bare(StatusCode::OK, body))
}

fn unseal_request(input: &mut Input) -> Result<v1::UnsealRequest, Error> {
    let fields = &mut input.fields;
    let reset = fields.flag("reset")?.unwrap_or(false);
    if fields.flag("migrate")?.unwrap_or(false) {
        return Err(not_offered("seal migrations"));
    }
    let share = if reset {
        fields.text("key")?;
        Vec::new()
    } else {
        share(fields)?
    };
    Ok(v1::UnsealRequest { share, reset })
}

async fn unseal(
    services: Arc<Services>,
    caller: Caller,
    mut input: Input,
) -> Result<Reply, Status> {
    let call = unseal_request(&mut input)?;
    let answer = services.unseal(caller.request(call)).await?.into_inner();
    Ok(seal_status_of(&answer.status.unwrap_or_default()))
}

/// What clients send along to join that has no meaning here: peers know each other by their keys, and
/// both sides prove the quorum.
const OF_JOIN_WITHOUT_MEANING: [&str; 3] =
    ["leader_ca_cert", "leader_client_cert", "leader_client_key"];

fn join_request(input: &mut Input) -> Result<v1::JoinRequest, Error> {
    let fields = &mut input.fields;
    for field in ["auto_join", "auto_join_scheme"] {
        if !fields.text(field)?.is_empty() {
            return Err(not_offered("addresses that are found by a cloud's tags"));
        }
    }
    if fields.flag("non_voter")?.unwrap_or(false) {
        return Err(not_offered("members that never vote"));
    }
    // Who is told that it failed asks again.
    fields.flag("retry")?;
    for field in OF_JOIN_WITHOUT_MEANING {
        fields.text(field)?;
    }
    let call = v1::JoinRequest {
        peer_addresses: Vec::new(),
        join_token: fields.text("join_token")?,
        leader_api_address: fields.text("leader_api_addr")?,
    };
    if call.leader_api_address.is_empty() {
        return Err(Error::invalid_argument("leader_api_addr: missing"));
    }
    Ok(call)
}

async fn join(services: Arc<Services>, mut input: Input) -> Result<Reply, Status> {
    let call = join_request(&mut input)?;
    ClusterService::join(&*services, Request::new(call)).await?;
    Ok(Reply::bare(StatusCode::OK, json!({ "joined": true })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(standing: Standing, query: &str) -> Option<u16> {
        let query = Pairs::of_query(query).ok()?;
        standing.code(&query).ok().map(|code| code.as_u16())
    }

    #[test]
    fn health_has_the_codes_of_the_peers() {
        use Standing::{Active, Sealed, Standby, Uninitialized};
        for (standing, query, wanted) in [
            (Active, "", Some(200)),
            (Standby, "", Some(429)),
            (Sealed, "", Some(503)),
            (Uninitialized, "", Some(501)),
            (Active, "activecode=299", Some(299)),
            (Standby, "standbyok=true", Some(200)),
            (Standby, "standbyok=true&activecode=203", Some(203)),
            (Standby, "perfstandbyok=true", Some(429)),
            (Standby, "standbycode=299", Some(299)),
            (Sealed, "sealedcode=203", Some(203)),
            (Uninitialized, "uninitcode=202", Some(202)),
            (Uninitialized, "sealedcode=204", Some(501)),
            (Active, "activecode=abc", None),
            (Active, "sealedcode=abc", None),
            (Active, "activecode=99", None),
            (Active, "activecode=1000", None),
            (Active, "activecode=-200", None),
        ] {
            assert_eq!(code(standing, query), wanted, "{standing:?} {query}");
        }
    }
}
