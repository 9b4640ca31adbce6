//! Quotas through the whole cluster: rate limits of each node by address, and lease-count quotas
//! that no race and no change of leader exceeds.

use std::time::Duration;

use tenure_client::proto::{
    CountLeasesBy, CreateTokenRequest, GrantLeaseRequest, RateLimit, TokenType,
    WriteTokenRoleRequest,
};
use tenure_client::{Client, Code};
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, until};
use tonic::Status;
use tonic_types::StatusExt;

use crate::http_client::Http;
use crate::http_rows::Rows;
use crate::{ALL, ensure, make, raw, run, seconds, text, three, wish};

const LOOKUP: &str = "sys/policies/acl/default";
/// Another address of this machine.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

fn limit(name: &str, path: &str, rate: u64, interval: i64) -> RateLimit {
    RateLimit {
        name: name.to_owned(),
        path: path.to_owned(),
        rate,
        interval: seconds(interval),
        block_interval: None,
    }
}

/// Reads of the limited path through a node until one is refused: how many were served.
async fn served(http: &mut Http) -> Outcome<u32> {
    for count in 0..100 {
        match http.ask("GET", LOOKUP, "").await? {
            answer if answer.status == 200 => {}
            answer => {
                answer.must_be(429)?;
                return Ok(count);
            }
        }
    }
    Err("nothing is limited".into())
}

/// semantics.md 12, rate limit: each node counts for itself, by address, before it knows a token;
/// a change acts at once.
#[test]
fn a_rate_limit_is_by_node_and_address() {
    run(
        "quotas::a_rate_limit_is_by_node_and_address",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.root();
            for (round, rate) in [3_u32, 5].into_iter().enumerate() {
                let writer = cluster.root_at(round)?;
                // The longest path decides: the wide one isn't asked.
                writer
                    .write_rate_limit(limit("wide", "sys/policies", 1, 600))
                    .await
                    .map_err(text)?;
                let written = limit("narrow", "sys/policies/acl", rate.into(), 600);
                writer.write_rate_limit(written).await.map_err(text)?;
                for index in ALL {
                    let reader = cluster.root_at(index)?;
                    // A read shows what is acknowledged: from then on this node has the change.
                    let shown = reader.read_rate_limit("narrow").await.map_err(text)?;
                    ensure(shown.rate == u64::from(rate), || format!("{shown:?}"))?;
                    let mut http = Http::to(&cluster, index, root.expose()).await?;
                    let count = served(&mut http).await?;
                    ensure(count == rate, || {
                        format!("node {index}: {count}, not {rate}")
                    })?;
                    // Another connection is the same client; a stranger is limited before anyone
                    // looks at its token.
                    let mut again = Http::to(&cluster, index, "made-up").await?;
                    again.ask("GET", LOOKUP, "").await?.must_be(429)?;
                    let mut other = Http::from(&cluster, ELSEWHERE, index, root.expose()).await?;
                    let count = served(&mut other).await?;
                    ensure(count == rate, || format!("elsewhere at {index}: {count}"))?;
                    limited_over_grpc(&cluster, index).await?;
                    // What isn't covered isn't limited, nor what must always answer.
                    http.ask("GET", "auth/token/lookup-self", "")
                        .await?
                        .must_be(200)?;
                    http.ask("GET", "sys/seal-status", "").await?.must_be(200)?;
                }
            }
            exempt_and_told(&cluster).await?;
            for name in ["narrow", "wide", "told", "none"] {
                let gone = cluster.root_at(2)?.delete_rate_limit(name).await;
                gone.map_err(text)?;
            }
            for index in ALL {
                let reader = cluster.root_at(index)?;
                let none = reader.list_rate_limits().await.map_err(text)?;
                ensure(none.is_empty(), || format!("{none:?}"))?;
                reader.read_policy("default").await.map_err(text)?;
            }
            Ok(())
        },
    );
}

async fn limited_over_grpc(cluster: &ServerCluster, index: usize) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let path = "/tenure.v1.PolicyService/ReadPolicy";
    // Field 1, "default".
    let message = b"\x0a\x07default".to_vec();
    let root = cluster.root();
    let answer = raw::call(&channel, path, message, Some(root.expose())).await;
    let refused: Status = answer.err().ok_or("served over gRPC")?;
    let (reason, applied) = raw::details(&refused)?;
    let after = refused.get_error_details().retry_info().cloned();
    let after = after.and_then(|info| info.retry_delay);
    ensure(
        refused.code() == Code::ResourceExhausted
            && reason == "RATE_LIMITED"
            && applied == "no"
            && after.is_some_and(|after| !after.is_zero() && after <= Duration::from_secs(600)),
        || format!("{refused:?}"),
    )
}

/// Exempt paths, and headers that tell the limit.
async fn exempt_and_told(cluster: &ServerCluster) -> Outcome<()> {
    let root = cluster.client()?;
    root.write_quota_config(None, Some(true))
        .await
        .map_err(text)?;
    let limited = limit("told", "auth/token/lookup-self", 2, 600);
    root.write_rate_limit(limited).await.map_err(text)?;
    let reader = cluster.root_at(1)?;
    reader.read_quota_config().await.map_err(text)?;
    let mut http = Http::to(cluster, 1, cluster.root().expose()).await?;
    for (status, left) in [(200, 1), (200, 0), (429, 0)] {
        let answer = http
            .ask("GET", "auth/token/lookup-self", "")
            .await?
            .must_be(status)?;
        let head = answer.head.to_ascii_lowercase();
        let told = head.contains("x-ratelimit-limit: 2")
            && head.contains(&format!("x-ratelimit-remaining: {left}"))
            && head.contains("retry-after: ") == (status == 429);
        ensure(told, || head)?;
    }
    let exempt = Some(vec!["auth/token/lookup-self".to_owned()]);
    root.write_quota_config(exempt, Some(false))
        .await
        .map_err(text)?;
    reader.read_quota_config().await.map_err(text)?;
    let answer = http
        .ask("GET", "auth/token/lookup-self", "")
        .await?
        .must_be(200)?;
    ensure(
        !answer.head.to_ascii_lowercase().contains("x-ratelimit"),
        || format!("{answer:?}"),
    )
}

fn lease(path: &str) -> GrantLeaseRequest {
    GrantLeaseRequest {
        path: path.to_owned(),
        ttl: seconds(3600),
        ..GrantLeaseRequest::default()
    }
}

/// Grants as fast as it can, as often as `times`; how many were served. With `lost`, calls may
/// come to nothing.
async fn grants(client: Client, path: &str, times: usize, lost: bool) -> Outcome<u64> {
    let mut served = 0;
    for _ in 0..times {
        match client.grant_lease(lease(path)).await {
            Ok(_) => served += 1,
            Err(error) if error.reason() == Some("QUOTA_EXCEEDED") => {
                ensure(error.code() == Code::ResourceExhausted, || {
                    error.to_string()
                })?;
            }
            Err(_) if lost => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(served)
}

async fn counted(root: &Client, name: &str) -> Outcome<()> {
    let done = || async {
        match root.read_lease_count(name).await {
            Ok(quota) if !quota.counting => Ok(()),
            Ok(quota) => Err(format!("{quota:?}")),
            Err(error) => Err(error.to_string()),
        }
    };
    until("the quota has counted", SOON, done).await
}

/// semantics.md 4, lease count quota: raced over three nodes it is never exceeded; what was there
/// before it is counted; what ends makes room; a sibling's path isn't touched.
#[test]
fn a_lease_count_is_exact_over_all_nodes() {
    run(
        "quotas::a_lease_count_is_exact_over_all_nodes",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.client()?;
            let (owner, _) = make(&root, wish("owner")).await?;
            let client = |index: usize| cluster.node(index).map(|node| node.client_of(&owner));
            let before = grants(client(0)?, "race/old", 7, false).await?;
            ensure(before == 7, || format!("{before} of 7"))?;
            root.write_lease_count("race", "race", 40)
                .await
                .map_err(text)?;
            counted(&root, "race").await?;
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..12 {
                tasks.spawn(grants(client(task % 3)?, "race/new", 10, false));
            }
            let mut served = 0;
            while let Some(task) = tasks.join_next().await {
                served += task.map_err(text)??;
            }
            let quota = root.read_lease_count("race").await.map_err(text)?;
            let listed = root.count_leases("race").await.map_err(text)?;
            ensure(served == 33 && quota.count == 40 && listed == 40, || {
                format!("{served} served, {listed} listed: {quota:?}")
            })?;
            let beside = grants(client(1)?, "racer", 3, false).await?;
            ensure(beside == 3, || format!("{beside} of 3 beside it"))?;
            // What is revoked makes room, with its clean-up at the latest.
            root.revoke_prefix("race/old").await.map_err(text)?;
            let room = || async {
                match root.read_lease_count("race").await {
                    Ok(quota) if quota.count == 33 => Ok(()),
                    Ok(quota) => Err(format!("{quota:?}")),
                    Err(error) => Err(error.to_string()),
                }
            };
            until("the revoked are given back", SOON, room).await?;
            let again = grants(client(2)?, "race/new", 10, false).await?;
            ensure(again == 7, || format!("{again}, not 7"))?;
            // With their token all of them go.
            cluster
                .root_at(1)?
                .revoke_token(&owner)
                .await
                .map_err(text)?;
            let empty = || async {
                match root.read_lease_count("race").await {
                    Ok(quota) if quota.count == 0 => Ok(()),
                    Ok(quota) => Err(format!("{quota:?}")),
                    Err(error) => Err(error.to_string()),
                }
            };
            until("all are given back", SOON, empty).await
        },
    );
}

/// The leader is killed during the race: the counter is what is stored, and within the quota.
#[test]
fn a_change_of_leader_loses_no_count() {
    run(
        "quotas::a_change_of_leader_loses_no_count",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            let (owner, _) = make(&root, wish("owner")).await?;
            root.write_lease_count("fail", "fail", 60)
                .await
                .map_err(text)?;
            counted(&root, "fail").await?;
            let active = cluster.wait_active().await?;
            let mut tasks = tokio::task::JoinSet::new();
            for index in ALL.into_iter().filter(|index| *index != active) {
                for _ in 0..3 {
                    let client = cluster.node(index)?.client_of(&owner);
                    tasks.spawn(grants(client, "fail/over", 30, true));
                }
            }
            let some = || async {
                match root.read_lease_count("fail").await {
                    Ok(quota) if quota.count >= 10 => Ok(()),
                    Ok(quota) => Err(format!("{quota:?}")),
                    Err(error) => Err(error.to_string()),
                }
            };
            until("some are granted", SOON, some).await?;
            cluster.node_mut(active)?.kill();
            let mut served = 0;
            while let Some(task) = tasks.join_next().await {
                served += task.map_err(text)??;
            }
            cluster.wait_active_but(&[active]).await?;
            let quota = root.read_lease_count("fail").await.map_err(text)?;
            let listed = root.count_leases("fail").await.map_err(text)?;
            ensure(
                quota.count == listed && served <= listed && listed <= 60,
                || format!("{served} served, {listed} listed: {quota:?}"),
            )
        },
    );
}

/// semantics.md 4: count and list of irrevocable leases, revoke-force, sync=false; and who holds the
/// most leases.
#[test]
fn leases_are_counted_by_who_holds_them() {
    run(
        "quotas::leases_are_counted_by_who_holds_them",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.client()?;
            let (many, accessor) = make(&root, wish("many")).await?;
            let (few, _) = make(&root, wish("few")).await?;
            let of = |index: usize, token| cluster.node(index).map(|node| node.client_of(token));
            grants(of(0, &many)?, "top/a/x", 5, false).await?;
            grants(of(1, &few)?, "top/b", 2, false).await?;
            grants(of(2, &few)?, "topper", 1, false).await?;
            let standby = cluster.root_at(1)?;
            let by = |prefix, by| standby.count_leases_by(prefix, by);
            let (count, groups) = by("", CountLeasesBy::Token).await.map_err(text)?;
            let first = groups.first().ok_or("no groups")?;
            ensure(
                (count, first.count) == (8, 5)
                    && first.key == accessor
                    && first.name == "token-many",
                || format!("{count} {groups:?}"),
            )?;
            let (count, groups) = by("top", CountLeasesBy::Path).await.map_err(text)?;
            let shown: Vec<_> = groups
                .iter()
                .map(|one| (one.key.as_str(), one.count))
                .collect();
            ensure(count == 7 && shown == [("top/a", 5), ("top/b", 2)], || {
                format!("{count} {shown:?}")
            })?;
            let role = WriteTokenRoleRequest {
                name: "ci".to_owned(),
                ..WriteTokenRoleRequest::default()
            };
            root.write_token_role(role).await.map_err(text)?;
            for kind in [TokenType::Service, TokenType::Batch] {
                let of_role = CreateTokenRequest {
                    role: "ci".to_owned(),
                    r#type: kind.into(),
                    ..wish("role")
                };
                let (token, _) = make(&root, of_role).await?;
                grants(cluster.node(1)?.client_of(&token), "roles", 1, false).await?;
            }
            let (count, groups) = by("roles", CountLeasesBy::Role).await.map_err(text)?;
            let shown: Vec<_> = (groups.iter())
                .map(|one| (one.key.as_str(), one.name.as_str(), one.count))
                .collect();
            ensure((count, &*shown) == (2, &[("ci", "", 2)]), || {
                format!("{count} {shown:?}")
            })?;
            root.revoke_prefix("roles").await.map_err(text)?;
            let mut rows = Rows::of(&cluster, cluster.root().expose()).await?;
            rows.all(&[
                (
                    "GET",
                    "sys/leases/count?by=role&prefix=auth",
                    "",
                    200,
                    r#"{"data":{"lease_count":4,"counts":{"":3,"ci":1}}}"#,
                ),
                (
                    "GET",
                    "sys/leases/count?by=path",
                    "",
                    200,
                    r#"{"data":{"lease_count":8,"counts":{"top":7,"topper":1}}}"#,
                ),
                ("GET", "sys/leases/count?by=colour", "", 400, ""),
                (
                    "GET",
                    "sys/leases/count?type=irrevocable",
                    "",
                    200,
                    r#"{"data":{"lease_count":0,"counts":{}}}"#,
                ),
                (
                    "GET",
                    "sys/leases?type=irrevocable&limit=none",
                    "",
                    200,
                    r#"{"data":{"lease_count":0,"leases":[]}}"#,
                ),
                ("GET", "sys/leases?type=other", "", 400, ""),
                ("GET", "sys/leases", "", 404, ""),
                (
                    "POST",
                    "sys/leases/revoke-prefix/topper",
                    r#"{"sync":false}"#,
                    202,
                    "",
                ),
                ("POST", "sys/leases/revoke-force/top/b", "", 204, ""),
            ])
            .await?;
            let left = standby.count_leases("").await.map_err(text)?;
            ensure(left == 5, || format!("{left} left"))?;
            // Force needs sudo.
            match of(2, &many)?.revoke_force("top").await {
                Err(error) if error.code() == Code::PermissionDenied => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    );
}
