//! What clients ask of nodes over HTTP: who leads, how the members are, where to go instead; and a
//! node that joins by the client address of another one.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions, until};

use crate::http_client::Http;
use crate::http_rows::Rows;
use crate::{ensure, run, three};

/// How long the cluster may take to agree.
const AGREES: Duration = Duration::from_secs(30);

/// semantics: "leader", "list-peers, configuration, autopilot", "metrics".
#[test]
fn every_node_says_how_the_cluster_is() {
    run("http_cluster::every_node_says", async |scenario| {
        let mut cluster = three(scenario).await?;
        let active = cluster.wait_active().await?;
        let root = cluster.root();
        let leader = cluster.node(active)?.url();
        for index in 0..3 {
            let mut http = Http::to(&cluster, index, root.expose()).await?;
            let said = http.ask("GET", "sys/leader", "").await?.must_be(200)?;
            let never = said.text("/active_time")? == "0001-01-01T00:00:00Z";
            let shown = said.json();
            ensure(
                shown["ha_enabled"] == true
                    && shown["is_self"] == (index == active)
                    && never != (index == active)
                    && shown["leader_address"] == json!(leader),
                || said.body.clone(),
            )?;
            let status = http
                .ask("GET", "sys/ha-status", "")
                .await?
                .must_be(200)?
                .json();
            let nodes = status["data"]["nodes"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let actives = nodes
                .iter()
                .filter(|node| node["active_node"] == true)
                .count();
            ensure(
                nodes.len() == 3 && actives == 1 && status["nodes"].is_array(),
                || status.to_string(),
            )?;
            until("all are healthy", AGREES, async || {
                let mut http = Http::to(&cluster, index, root.expose()).await?;
                let path = "sys/storage/raft/autopilot/state";
                let state = http.ask("GET", path, "").await?.must_be(200)?.json();
                let data = &state["data"];
                let voters = data["voters"].as_array().map(Vec::len);
                ensure(
                    data["healthy"] == true
                        && data["failure_tolerance"] == 1
                        && voters == Some(3)
                        && data["servers"].as_object().map(serde_json::Map::len) == Some(3),
                    || state.to_string(),
                )
            })
            .await?;
            metrics(&cluster, index, root.expose()).await?;
        }
        rights(&cluster, root.expose()).await?;
        elsewhere(&mut cluster, active).await
    });
}

/// semantics: "sys/metrics", in both forms.
async fn metrics(cluster: &ServerCluster, index: usize, root: &str) -> Outcome<()> {
    let mut http = Http::to(cluster, index, root).await?;
    let text = http.ask("GET", "sys/metrics?format=prometheus", "").await?;
    let text = text.must_be(200)?;
    let is_text = text
        .head
        .contains("content-type: application/openmetrics-text");
    ensure(
        is_text && text.body.contains("tenure_requests_total{"),
        || text.head.clone(),
    )?;
    let shown = http
        .ask("GET", "sys/metrics", "")
        .await?
        .must_be(200)?
        .json();
    let named = |kind: &str, name: &str| {
        let all = shown[kind].as_array().cloned().unwrap_or_default();
        all.iter().any(|one| one["Name"] == name)
    };
    ensure(
        named("Counters", "tenure_requests")
            && named("Gauges", "tenure_unsealed")
            && named("Samples", "tenure_request_duration_seconds"),
        || shown.to_string(),
    )?;
    http.ask("GET", "sys/metrics?format=x", "")
        .await?
        .must_be(400)?;
    http.with("")
        .ask("GET", "sys/metrics", "")
        .await?
        .must_be(403)
        .map(drop)
}

/// Each of them is a right of its own, by the path that it is asked at.
async fn rights(cluster: &ServerCluster, root: &str) -> Outcome<()> {
    let mut rows = Rows::of(cluster, root).await?;
    let paths = [
        "sys/ha-status",
        "sys/metrics",
        "sys/storage/raft/configuration",
        "sys/storage/raft/autopilot/state",
        "sys/storage/raft/autopilot/configuration",
    ];
    for (index, path) in paths.iter().enumerate() {
        let name = format!("one{index}");
        let policy = format!(r#"path "{path}" {{ capabilities = ["read"] }}"#);
        let policy = json!({ "policy": policy }).to_string();
        let wish = json!({ "policies": [&name], "ttl": "1h" }).to_string();
        let at = format!("sys/policies/acl/{name}");
        rows.with(root).ask(("PUT", &at, &policy, 204, "")).await?;
        let made = rows
            .ask(("POST", "auth/token/create", &wish, 200, ""))
            .await?;
        rows.with(&made.text("/auth/client_token")?);
        for other in paths {
            let status = if other == *path { 200 } else { 403 };
            rows.ask(("GET", other, "", status, "")).await?;
        }
        rows.ask(("PUT", "sys/step-down", "", 403, "")).await?;
    }
    Ok(())
}

/// semantics: "forwarding": a client may ask to be sent on instead of having its call passed on.
async fn elsewhere(cluster: &mut ServerCluster, active: usize) -> Outcome<()> {
    let leader = cluster.node(active)?.url();
    let root = cluster.root();
    let stays = format!(
        "x-vault-token: {}\r\nx-vault-no-request-forwarding: true\r\n",
        root.expose()
    );
    let (path, body) = ("/v1/cubbyhole/a%20b?x=1", r#"{"k":"v"}"#);
    for index in 0..3 {
        let mut http = Http::to(cluster, index, "").await?;
        let answer = http.send("PUT", path, &stays, body).await?;
        if index == active {
            answer.must_be(204)?;
        } else {
            let answer = answer.must_be(307)?;
            let wanted = format!("location: {leader}{path}\r\n");
            ensure(answer.head.contains(&wanted), || answer.head.clone())?;
        }
        // What any node can answer, it answers.
        http.send("GET", "/v1/auth/token/lookup-self", &stays, "")
            .await?
            .must_be(200)?;
    }
    Ok(())
}

/// semantics: "step-down", "join". The one that joins is told a client address alone, and is given
/// the shares over HTTP.
#[test]
fn a_lone_node_and_one_that_joins_it() {
    run("http_cluster::a_lone_node", async |scenario| {
        let options = ServerOptions {
            tls: false,
            ..ServerOptions::new(1)?
        };
        let first = ServerCluster::start(scenario.dir(), &scenario.logs(), options.clone()).await?;
        let at = first.node(0)?.api;
        let root = first.root();
        let mut http = Http::plain(at, root.expose()).await?;
        // Nobody to hand over to: as with the peers a success that changes nothing.
        http.ask("PUT", "sys/step-down", "").await?.must_be(204)?;
        http.ask("PUT", "cubbyhole/a", r#"{"k":"v"}"#)
            .await?
            .must_be(204)?;
        http.ask(
            "POST",
            "sys/storage/raft/join",
            r#"{"leader_api_addr":"http://a:1"}"#,
        )
        .await?
        .must_be(400)?;

        let dir = scenario.dir().join("late");
        let mut late = ServerCluster::spawn(&dir, &scenario.logs(), options.clone()).await?;
        let node = late.node_mut(0)?;
        node.kill();
        // It was named as the first one.
        node.name = "late".to_owned();
        node.data = dir.join("data");
        node.configure(&[], &options)?;
        node.spawn(&options, &scenario.logs())?;
        node.wait_up().await?;
        let mut joining = Http::plain(node.api, "").await?;
        let join = "sys/storage/raft/join";
        for (body, status) in [
            ("{}", 400),
            (r#"{"leader_api_addr":"ftp://a"}"#, 400),
            (r#"{"leader_api_addr":"http://127.0.0.1:1/x"}"#, 400),
            (r#"{"leader_api_addr":"http://127.0.0.1:1"}"#, 503),
            (r#"{"auto_join":"provider=x"}"#, 501),
        ] {
            let answer = joining.ask("POST", join, body).await?;
            answer
                .must_be(status)
                .map_err(|error| format!("{body}: {error}"))?;
        }
        let body = json!({ "leader_api_addr": format!("http://{at}"), "retry": true });
        let joined = joining
            .ask("POST", join, &body.to_string())
            .await?
            .must_be(200)?;
        ensure(joined.json() == json!({ "joined": true }), || {
            joined.body.clone()
        })?;
        for share in first.keys()?.quorum() {
            let body = json!({ "key": STANDARD.encode(share) }).to_string();
            joining
                .ask("PUT", "sys/unseal", &body)
                .await?
                .must_be(200)?;
        }
        until("the node has joined", AGREES, async || {
            let health = joining.ask("GET", "sys/health", "").await?;
            health.must_be(429)?;
            let path = "sys/storage/raft/configuration";
            let peers = http.ask("GET", path, "").await?.must_be(200)?.json();
            let servers = &peers["data"]["config"]["servers"];
            let voters = servers
                .as_array()
                .map(|all| all.iter().filter(|s| s["voter"] == true).count());
            ensure(voters == Some(2), || peers.to_string())
        })
        .await?;
        http.ask(
            "POST",
            "sys/storage/raft/remove-peer",
            r#"{"server_id":"late"}"#,
        )
        .await?
        .must_be(204)?;
        http.ask("GET", "cubbyhole/a", "")
            .await?
            .must_be(200)
            .map(drop)
    });
}
