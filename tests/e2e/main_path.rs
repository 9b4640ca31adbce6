//! What every client does, through the active node and the standbys: their answers agree,
//! and a standby never answers from an old state.

use std::time::Duration;

use tenure_client::Secret;
use tenure_client::proto::{CreateTokenRequest, TokenInfo};
use tenure_tests::scale;
use tenure_tests::server_cluster::{Outcome, ServerCluster, refused_token};

use crate::{ensure, make, run, seconds, text, three, wish};

/// Create, look up, renew, revoke, by token and by accessor, through each node in turn.
#[test]
fn tokens_through_every_node() {
    run("main_path::tokens_through_every_node", async |scenario| {
        let mut cluster = three(scenario).await?;
        let active = cluster.wait_active().await?;
        for through in 0..3 {
            let next = (through + 1) % 3;
            life(&cluster, through, next).await.map_err(|why| {
                format!("through node {through}, then {next} (active {active}): {why}")
            })?;
        }
        list(&cluster).await?;
        Ok(())
    });
}

async fn life(cluster: &ServerCluster, through: usize, next: usize) -> Outcome<()> {
    let root = cluster.root_at(through)?;
    let request = CreateTokenRequest {
        meta: [("team".to_owned(), "build".to_owned())].into(),
        ..wish("life")
    };
    let auth = root.create_token(request).await.map_err(text)?;
    ensure(
        auth.policies == ["default", "service"] && auth.renewable && !auth.orphan,
        || format!("{auth:?}"),
    )?;
    let token = Secret::new(auth.client_token.clone());
    let accessor = auth.accessor;

    let info = agree(cluster, &token, &accessor).await?;
    ensure(
        info.display_name == "token-life" && info.path == "auth/token/create",
        || text_of(&info),
    )?;
    ensure(
        info.meta.get("team").is_some_and(|team| team == "build"),
        || text_of(&info),
    )?;
    ensure(left(&info) > 3500 && left(&info) <= 3600, || text_of(&info))?;

    // A child of its own, made by itself through another node.
    let own = cluster.node(next)?.client_of(&token);
    let (child, _) = make(&own, wish("child")).await?;
    let (orphan, _) = make(
        &root,
        CreateTokenRequest {
            no_parent: true,
            ..wish("orphan")
        },
    )
    .await?;
    let (lone, lone_accessor) = make(&own, wish("lone")).await?;

    // Each way to renew, each through another node; all nodes show it at once.
    let elsewhere = cluster.root_at(next)?;
    let renewed = own
        .renew_self(Some(Duration::from_secs(7200)))
        .await
        .map_err(text)?;
    ensure(
        renewed
            .lease_duration
            .is_some_and(|left| left.seconds == 7200),
        || "7200".into(),
    )?;
    ensure(
        left(&agree(cluster, &token, &accessor).await?) > 7100,
        || "renew-self".into(),
    )?;
    elsewhere
        .renew_token(&token, Some(Duration::from_secs(10_000)))
        .await
        .map_err(text)?;
    ensure(
        left(&agree(cluster, &token, &accessor).await?) > 9_900,
        || "renew".into(),
    )?;
    let by_accessor = root
        .renew_accessor(&accessor, Some(Duration::from_secs(500)))
        .await;
    ensure(by_accessor.map_err(text)?.client_token.is_empty(), || {
        "shows the token".into()
    })?;
    ensure(
        left(&agree(cluster, &token, &accessor).await?) <= 500,
        || "renew-accessor".into(),
    )?;

    // revoke-orphan keeps the children, revoke ends them.
    let (parent, _) = make(&own, wish("parent")).await?;
    let (kept, _) = make(&cluster.node(through)?.client_of(&parent), wish("kept")).await?;
    elsewhere.revoke_orphan(&parent).await.map_err(text)?;
    refused_by_all(cluster, &parent).await?;
    accepted_by_all(cluster, &kept).await?;
    root.revoke_accessor(&lone_accessor).await.map_err(text)?;
    refused_by_all(cluster, &lone).await?;
    accepted_by_all(cluster, &child).await?;
    elsewhere.revoke_token(&token).await.map_err(text)?;
    for gone in [&token, &child] {
        refused_by_all(cluster, gone).await?;
    }
    for live in [&orphan, &kept] {
        accepted_by_all(cluster, live).await?;
    }
    // Revoking what isn't there is no error; by accessor it is a warning.
    root.revoke_token(&token).await.map_err(text)?;
    let warnings = elsewhere.revoke_accessor(&accessor).await.map_err(text)?;
    ensure(!warnings.is_empty(), || {
        "no warning for an unknown accessor".into()
    })?;
    cluster
        .node(through)?
        .client_of(&orphan)
        .revoke_self()
        .await
        .map_err(text)?;
    refused_by_all(cluster, &orphan).await
}

/// What all nodes say of a token, by itself and by its accessor: the same.
async fn agree(cluster: &ServerCluster, token: &Secret, accessor: &str) -> Outcome<TokenInfo> {
    let mut all = Vec::new();
    for index in 0..cluster.nodes.len() {
        let root = cluster.root_at(index)?;
        let mut by_accessor = root.lookup_accessor(accessor).await.map_err(text)?;
        ensure(by_accessor.id.is_empty(), || {
            "an accessor shows its token".into()
        })?;
        by_accessor.id = token.expose().to_owned();
        all.push(by_accessor);
        all.push(root.lookup_token(token).await.map_err(text)?);
        all.push(
            cluster
                .node(index)?
                .client_of(token)
                .lookup_self()
                .await
                .map_err(text)?,
        );
    }
    // The whole seconds left may tick over between two answers.
    let ttls: Vec<i64> = all.iter().map(left).collect();
    let spread = ttls.iter().max().unwrap() - ttls.iter().min().unwrap();
    ensure(spread <= 2, || format!("ttl differs: {ttls:?}"))?;
    for info in &mut all {
        info.ttl = None;
    }
    let first = all[0].clone();
    ensure(all.iter().all(|info| *info == first), || {
        "the nodes' answers differ".into()
    })?;
    ensure(
        first.accessor == accessor && first.id == token.expose(),
        || "another token".into(),
    )?;
    Ok(TokenInfo {
        ttl: seconds(ttls[0]),
        ..first
    })
}

fn left(info: &TokenInfo) -> i64 {
    info.ttl.map_or(i64::MAX, |ttl| ttl.seconds)
}

fn text_of(info: &TokenInfo) -> String {
    let info = TokenInfo {
        id: "…".into(),
        ..info.clone()
    };
    format!("{info:?}")
}

async fn refused_by_all(cluster: &ServerCluster, token: &Secret) -> Outcome<()> {
    for (index, node) in cluster.nodes.iter().enumerate() {
        node.refuses(token).await?;
        match cluster.root_at(index)?.lookup_token(token).await {
            Ok(_) => return Err(format!("{} shows a token that is over", node.name)),
            Err(error) => ensure(refused_token(&error), || error.to_string())?,
        }
    }
    Ok(())
}

async fn accepted_by_all(cluster: &ServerCluster, token: &Secret) -> Outcome<()> {
    for node in &cluster.nodes {
        node.accepts(token).await?;
    }
    Ok(())
}

/// Every live token is listed once over all pages, through each node, and no dead one.
async fn list(cluster: &ServerCluster) -> Outcome<()> {
    let root = cluster.client()?;
    let mut live = Vec::new();
    for number in 0..25 {
        live.push(make(&root, wish(&format!("listed-{number}"))).await?);
    }
    let (gone, dead) = live.pop().unwrap();
    root.revoke_token(&gone).await.map_err(text)?;
    for index in 0..cluster.nodes.len() {
        let client = cluster.root_at(index)?;
        let mut seen: Vec<String> = Vec::new();
        let mut page = String::new();
        loop {
            let answer = client.list_accessors(7, &page).await.map_err(text)?;
            ensure(answer.tokens.len() <= 7, || {
                "a page is longer than asked for".into()
            })?;
            seen.extend(answer.tokens.into_iter().map(|row| row.accessor));
            page = answer.next_page_token;
            if page.is_empty() {
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        ensure(seen.len() == count, || {
            format!("node {index} lists a token twice")
        })?;
        for (_, accessor) in &live {
            ensure(seen.contains(accessor), || {
                format!("node {index} doesn't list a live token")
            })?;
        }
        ensure(!seen.contains(&dead), || {
            format!("node {index} lists a revoked token")
        })?;
    }
    Ok(())
}

/// Many rounds: a renewal, and later a revocation, through one node; at once a look at every
/// other one.
///
/// Planted bug: `Node::read` gave the local state without ReadIndex. Caught in round 45: a
/// standby showed the life before an acknowledged renewal.
#[test]
fn standbys_never_answer_from_an_old_state() {
    run(
        "main_path::standbys_never_answer_from_an_old_state",
        async |scenario| {
            let cluster = three(scenario).await?;
            let (token, accessor) = make(&cluster.client()?, wish("stale")).await?;
            let mut looks = 0;
            for round in 0..150 * scale() {
                let wished = 3600 + 60 * (round as i64 % 50 + 1);
                let writer = cluster.root_at(round % 3)?;
                let longer = Duration::from_secs(wished.unsigned_abs());
                writer
                    .renew_token(&token, Some(longer))
                    .await
                    .map_err(text)?;
                for step in 1..3 {
                    let reader = cluster.root_at((round + step) % 3)?;
                    let info = reader.lookup_accessor(&accessor).await.map_err(text)?;
                    let now = left(&info);
                    let fresh = (wished - 20..=wished).contains(&now);
                    ensure(fresh, || {
                        format!("round {round}: asked {wished} s, shown {now} s")
                    })?;
                    looks += 1;
                }
            }
            for round in 0..100 * scale() {
                let (token, _) = make(&cluster.root_at(round % 3)?, wish("short")).await?;
                cluster.node((round + 1) % 3)?.accepts(&token).await?;
                cluster
                    .root_at((round + 1) % 3)?
                    .revoke_token(&token)
                    .await
                    .map_err(text)?;
                for step in 0..3 {
                    let node = cluster.node((round + 2 + step) % 3)?;
                    node.refuses(&token)
                        .await
                        .map_err(|why| format!("round {round}: {why}"))?;
                    looks += 1;
                }
            }
            scenario.say(format!("{looks} looks, none stale"));
            Ok(())
        },
    );
}

/// The same request id gives the same token, through whichever node, and another request
/// under it is refused.
#[test]
fn a_request_id_acts_once() {
    run("main_path::a_request_id_acts_once", async |scenario| {
        let cluster = three(scenario).await?;
        let request = CreateTokenRequest {
            request_id: "0b5c-once".into(),
            ..wish("once")
        };
        let mut given = Vec::new();
        for round in 0..6 {
            given.push(make(&cluster.root_at(round % 3)?, request.clone()).await?.1);
        }
        given.dedup();
        ensure(given.len() == 1, || {
            format!("{} tokens from one request id", given.len())
        })?;
        let other = CreateTokenRequest {
            display_name: "else".into(),
            ..request
        };
        match cluster.root_at(1)?.create_token(other).await {
            Ok(_) => Err("another request under the same id was carried out".into()),
            Err(error) => ensure(error.code() == tonic::Code::AlreadyExists, || {
                error.to_string()
            }),
        }
    });
}
