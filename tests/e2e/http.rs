//! The HTTP door of the real program: beside gRPC on one port, through every node, in every state.

use serde_json::{Value, json};
use tenure_client::Secret;
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions, until};
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::http_client::Http;
use crate::{ensure, make, raw, run, text, three, wish};

/// Planted bug: a lookup that names no token looks up none, and not the caller's own. Caught.
#[test]
fn tokens_are_the_same_at_both_doors_of_every_node() {
    run(
        "http::tokens_are_the_same_at_both_doors_of_every_node",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let active = cluster.wait_active().await?;
            let root = cluster.root();
            let root = root.expose();
            for index in 0..3 {
                // One connection for all of it: it is kept alive.
                let mut http = Http::to(&cluster, index, root).await?;
                let body = r#"{"policies":["default"],"ttl":"1h","meta":{"n":1},"colour":"red"}"#;
                let made = http
                    .ask("POST", "auth/token/create", body)
                    .await?
                    .must_be(200)?;
                let (token, accessor) = (
                    made.text("/auth/client_token")?,
                    made.text("/auth/accessor")?,
                );
                ensure(made.json()["auth"]["lease_duration"] == 3600, || {
                    made.body.clone()
                })?;
                ensure(
                    made.json()["warnings"][0].to_string().contains("colour"),
                    || made.body.clone(),
                )?;
                everywhere(&cluster, &token, 200).await?;
                // At the other door of another node.
                let other = cluster.root_at((index + 1) % 3)?;
                let seen = other.lookup_accessor(&accessor).await.map_err(text)?;
                ensure(seen.meta.get("n").map(String::as_str) == Some("1"), || {
                    format!("{seen:?}")
                })?;
                other
                    .revoke_token(&Secret::new(token.clone()))
                    .await
                    .map_err(text)?;
                everywhere(&cluster, &token, 403).await?;
                // And the other way.
                let (token, _) = make(&other, wish("grpc")).await?;
                everywhere(&cluster, token.expose(), 200).await?;
                let body = json!({ "token": token.expose() }).to_string();
                let looked = http.ask("PUT", "auth/token/lookup", &body).await?;
                ensure(looked.must_be(200)?.json()["data"]["ttl"].is_u64(), || {
                    "no ttl".into()
                })?;
                http.ask("POST", "auth/token/revoke", &body)
                    .await?
                    .must_be(204)?;
                everywhere(&cluster, token.expose(), 403).await?;
                let own = http
                    .ask("POST", "auth/token/lookup", "")
                    .await?
                    .must_be(200)?;
                ensure(own.json()["data"]["policies"] == json!(["root"]), || {
                    own.body.clone()
                })?;
                let listed = http
                    .ask("GET", "auth/token/accessors?list=true", "")
                    .await?;
                listed.must_be(200)?;
                let health = http.ask("GET", "sys/health", "").await?;
                health.must_be(if index == active { 200 } else { 429 })?;
                let leader = http.ask("GET", "sys/leader", "").await?.must_be(200)?;
                let address = cluster.node(active)?.url();
                ensure(leader.text("/leader_address")? == address, || {
                    leader.body.clone()
                })?;
                let peers = http
                    .ask("GET", "sys/storage/raft/configuration", "")
                    .await?;
                let peers = peers.must_be(200)?.json();
                ensure(
                    peers["data"]["config"]["servers"].as_array().map(Vec::len) == Some(3),
                    || peers.to_string(),
                )?;
            }
            uses_are_counted(&cluster).await?;
            json_over_http2(&cluster, root).await
        },
    );
}

/// What each node answers to a lookup of its own by this token.
async fn everywhere(cluster: &ServerCluster, token: &str, status: u16) -> Outcome<()> {
    for index in 0..3 {
        let mut http = Http::to(cluster, index, token).await?;
        let answer = http.ask("GET", "auth/token/lookup-self", "").await?;
        answer.must_be(status)?;
        let bearer = format!("authorization: Bearer {token}\r\n");
        let path = "/v1/auth/token/lookup-self";
        http.send("GET", path, &bearer, "").await?.must_be(status)?;
    }
    Ok(())
}

/// Two uses on two nodes, and none on the third. What needs no token spends none.
async fn uses_are_counted(cluster: &ServerCluster) -> Outcome<()> {
    let root = cluster.root();
    let mut http = Http::to(cluster, 0, root.expose()).await?;
    let body = r#"{"policies":["default"],"num_uses":2}"#;
    let made = http.ask("POST", "auth/token/create", body).await?;
    let token = made.must_be(200)?.text("/auth/client_token")?;
    for (index, path, status) in [
        (0, "sys/seal-status", 200),
        (1, "auth/token/lookup-self", 200),
        // A path that isn't there costs a use, too.
        (2, "no/such/path", 403),
        (0, "auth/token/lookup-self", 403),
    ] {
        let mut http = Http::to(cluster, index, &token).await?;
        http.ask("GET", path, "").await?.must_be(status)?;
    }
    Ok(())
}

/// HTTP/2 isn't gRPC's alone.
async fn json_over_http2(cluster: &ServerCluster, root: &str) -> Outcome<()> {
    let mut channel = raw::channel(cluster, 0)?;
    std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx))
        .await
        .map_err(text)?;
    let request = http::Request::get("/v1/auth/token/lookup-self").header("x-vault-token", root);
    let request = request.body(Body::empty()).map_err(text)?;
    let answer = channel.call(request).await.map_err(text)?;
    let is_json = answer.headers().get("content-type");
    let is_json = is_json.is_some_and(|kind| kind == "application/json");
    ensure(answer.status() == 200 && is_json, || format!("{answer:?}"))
}

#[test]
fn leases_live_at_the_http_door() {
    run("http::leases_live_at_the_http_door", async |scenario| {
        let mut cluster = three(scenario).await?;
        let standby = cluster.standby().await?;
        let root = cluster.root();
        let mut http = Http::to(&cluster, standby, root.expose()).await?;
        let mut ids = Vec::new();
        for path in ["app/db", "app/db", "app/mq/in"] {
            let grant = format!("sys/leases/grant/{path}");
            let body = r#"{"ttl":"1h","payload":"c2VjcmV0"}"#;
            let granted = http.ask("PUT", &grant, body).await?.must_be(200)?;
            ids.push(granted.text("/lease_id")?);
        }
        let body = json!({ "lease_id": ids[0] }).to_string();
        let looked = http
            .ask("PUT", "sys/leases/lookup", &body)
            .await?
            .must_be(200)?;
        ensure(looked.text("/data/payload")? == "c2VjcmV0", || {
            looked.body.clone()
        })?;
        for (path, keys) in [
            ("sys/leases/lookup/", json!(["app/"])),
            ("sys/leases/lookup/app", json!(["db/", "mq/"])),
            ("sys/leases/lookup/app?after=db/", json!(["mq/"])),
            ("sys/leases/lookup/app?limit=1", json!(["db/"])),
            ("sys/policies/acl?after=default&limit=1", json!(["root"])),
            ("sys/leases/lookup/app/mq/", json!(["in/"])),
        ] {
            let listed = http.ask("LIST", path, "").await?.must_be(200)?.json();
            ensure(listed["data"]["keys"] == keys, || {
                format!("{path}: {listed}")
            })?;
        }
        let count = http
            .ask("GET", "sys/leases/count", "")
            .await?
            .must_be(200)?;
        ensure(count.json()["data"]["lease_count"] == 3, || {
            count.body.clone()
        })?;
        let renew = format!("sys/leases/renew/{}", ids[0]);
        let renewed = http
            .ask("PUT", &renew, r#"{"increment":"2h"}"#)
            .await?
            .must_be(200)?;
        ensure(renewed.json()["lease_duration"] == 7200, || {
            renewed.body.clone()
        })?;
        ensure(renewed.json()["data"] == Value::Null, || {
            renewed.body.clone()
        })?;
        let body = json!({ "lease_id": ids[0], "sync": true }).to_string();
        for _ in 0..2 {
            http.ask("PUT", "sys/leases/revoke", &body)
                .await?
                .must_be(204)?;
        }
        http.ask("PUT", "sys/leases/lookup", &body)
            .await?
            .must_be(400)?;
        http.ask("PUT", &renew, "").await?.must_be(400)?;
        let path = "sys/leases/revoke-prefix/app";
        http.ask("PUT", path, "").await?.must_be(204)?;
        let empty = http
            .ask("LIST", "sys/leases/lookup/app", "")
            .await?
            .must_be(404)?;
        ensure(empty.json() == json!({ "errors": [] }), || {
            empty.body.clone()
        })
    });
}

/// Planted bug: a path that nothing serves is refused without the pipeline, so that a sealed node
/// doesn't say that it is sealed and a stranger learns what there is. Caught, and by the test below.
#[test]
fn a_node_says_over_http_what_it_is() {
    run("http::a_node_says_over_http_what_it_is", async |scenario| {
        let options = ServerOptions::new(1)?;
        let cluster = ServerCluster::spawn(scenario.dir(), &scenario.logs(), options).await?;
        let mut http = Http::to(&cluster, 0, "x").await?;
        status_says(&mut http, 501, (0, 0)).await?;
        http.ask("GET", "sys/health?uninitcode=299", "")
            .await?
            .must_be(299)?;
        http.ask("GET", "auth/token/lookup-self", "")
            .await?
            .must_be(503)?;
        http.ask("GET", "secret/a", "").await?.must_be(503)?;
        http.ask("POST", "auth/token/create", r#"{"ttl":"bogus"}"#)
            .await?
            .must_be(503)?;
        for bad in [
            r#"{"secret_shares":2,"secret_threshold":3}"#,
            r#"{"secret_shares":-1,"secret_threshold":-1}"#,
            r#"{"secret_shares":256,"secret_threshold":2}"#,
            r#"{"secret_shares":2,"secret_threshold":2,"pgp_keys":["x"]}"#,
            "{}",
        ] {
            http.ask("POST", "sys/init", bad).await?.must_be(400)?;
        }
        let init = r#"{"secret_shares":3,"secret_threshold":2}"#;
        let made = http.ask("PUT", "sys/init", init).await?.must_be(200)?;
        http.ask("PUT", "sys/init", init).await?.must_be(400)?;
        let root = made.text("/root_token")?;
        ensure(made.text("/keys/0")?.len() == 66, || made.body.clone())?;
        http.with(&root);
        status_says(&mut http, 503, (2, 3)).await?;
        http.ask("HEAD", "sys/health", "").await?.must_be(503)?;
        http.ask("GET", "auth/token/lookup-self", "")
            .await?
            .must_be(503)?;
        let leader = http.ask("GET", "sys/leader", "").await?.must_be(503)?;
        ensure(leader.text("/errors/0")? == "Vault is sealed", || {
            leader.body.clone()
        })?;
        http.ask("POST", "sys/unseal", r#"{"key":"no share"}"#)
            .await?
            .must_be(400)?;
        http.ask("POST", "sys/unseal", "{}").await?.must_be(400)?;
        // In both spellings.
        let first = json!({ "key": made.text("/keys/0")? }).to_string();
        let status = http.ask("POST", "sys/unseal", &first).await?.must_be(200)?;
        ensure(
            status.json()["progress"] == 1 && !status.text("/nonce")?.is_empty(),
            || status.body.clone(),
        )?;
        let second = json!({ "key": made.text("/keys_base64/1")? }).to_string();
        let status = http
            .ask("POST", "sys/unseal", &second)
            .await?
            .must_be(200)?;
        ensure(status.json()["sealed"] == false, || status.body.clone())?;
        let bound = std::time::Duration::from_secs(20);
        until("the node is active", bound, async || {
            let mut http = Http::to(&cluster, 0, "").await?;
            http.ask("GET", "sys/health", "").await?.must_be(200)
        })
        .await?;
        status_says(&mut http, 200, (2, 3)).await?;
        http.with("")
            .ask("PUT", "sys/seal", "")
            .await?
            .must_be(403)?;
        http.with(&root)
            .ask("PUT", "sys/seal", "")
            .await?
            .must_be(204)?;
        http.ask("GET", "sys/health", "").await?.must_be(503)?;
        Ok(())
    });
}

/// What health and seal-status show: the peers' fields, the threshold and the shares, and the
/// cluster's name once the node is open.
async fn status_says(http: &mut Http, code: u16, shares: (u64, u64)) -> Outcome<()> {
    let health = http.ask("GET", "sys/health", "").await?.must_be(code)?;
    let status = http.ask("GET", "sys/seal-status", "").await?.must_be(200)?;
    let (open, made) = (code == 200, shares.0 > 0);
    for answer in [&health, &status] {
        let shown = answer.json();
        let fits = shown["initialized"] == made
            && shown["sealed"] == !open
            && shown["version"].is_string()
            && shown["cluster_id"].is_string() == open
            && shown["cluster_name"].is_string() == open;
        ensure(fits, || answer.body.clone())?;
    }
    let (health, shown) = (health.json(), status.json());
    let fits = health["standby"] == !open && health["server_time_utc"].is_u64();
    ensure(fits, || health.to_string())?;
    let fits = shown["t"] == shares.0
        && shown["n"] == shares.1
        && shown["type"] == "shamir"
        && shown["progress"] == 0
        && shown["nonce"] == ""
        && shown["storage_type"] == "raft"
        && shown["migration"] == false
        && shown["recovery_seal"] == false;
    ensure(fits, || status.body)
}

/// Requests that are no good: what they are told, with a good token and without one.
#[test]
fn bad_requests_are_told_so() {
    run("http::bad_requests_are_told_so", async |scenario| {
        let cluster = crate::start(scenario, ServerOptions::new(1)?).await?;
        let root = cluster.root();
        let good = format!("x-vault-token: {}\r\n", root.expose());
        let long = format!("x-vault-token: {}\r\n", "a".repeat(4000));
        let longer = format!("x-vault-token: {}\r\n", "a".repeat(5000));
        let deep = "[".repeat(100_000);
        let many = format!("[{}]", vec!["{}"; 30_000].join(","));
        let query = format!("/v1/sys/health?a={}", "a".repeat(9000));
        let big = format!("{{\"a\":\"{}\"}}", "b".repeat(5 << 20));
        let lookup = "/v1/auth/token/lookup-self";
        let create = "/v1/auth/token/create";
        for (verb, target, headers, body, wanted) in [
            ("GET", lookup, "", "", 403),
            ("GET", lookup, "x-vault-token: hvs.made-up\r\n", "", 403),
            ("GET", lookup, "x-vault-token: a b\r\n", "", 403),
            ("GET", lookup, "x-vault-token: \u{e4}\r\n", "", 403),
            ("GET", lookup, "authorization: Basic eDp5\r\n", "", 403),
            ("GET", lookup, &long, "", 403),
            ("GET", lookup, &longer, "", 403),
            ("POST", create, "", "{\"a\":", 403),
            ("POST", create, &good, "{\"a\":", 400),
            ("POST", create, &good, "[]", 400),
            ("POST", create, &good, "{} x", 400),
            ("POST", create, &good, &deep, 400),
            ("POST", create, &good, &many, 400),
            ("POST", create, &good, &big, 413),
            ("POST", create, &good, "null", 200),
            ("POST", create, &good, "", 200),
            ("POST", create, &good, r#"{"ttl":"1h","ttl":"2h"}"#, 200),
            ("POST", create, &good, r#"{"type":"batch","ttl":"1h"}"#, 400),
            ("POST", "/v1/auth/token/create/role", &good, "{}", 400),
            ("DELETE", create, &good, "", 405),
            ("DELETE", create, "", "", 403),
            ("FROB", create, &good, "", 405),
            ("HEAD", lookup, &good, "", 405),
            ("OPTIONS", lookup, &good, "", 400),
            ("POST", "/v1/auth/token/create/", &good, "{}", 400),
            ("GET", "/v1/secret/a", &good, "", 404),
            ("GET", "/v1/secret/a", "", "", 403),
            ("GET", "/v1/auth/token/../token/lookup-self", &good, "", 400),
            ("GET", "/v1/auth/token//lookup-self", &good, "", 400),
            (
                "GET",
                "/v1/auth/token/%2e%2e/token/lookup-self",
                &good,
                "",
                400,
            ),
            ("GET", "/v1/auth/token/%252e%252e/x", &good, "", 404),
            ("GET", "/v1/auth/token/lookup%2dself", &good, "", 200),
            ("GET", "/v1/auth/token/lookup%252dself", &good, "", 404),
            ("GET", "/v1/AUTH/token/lookup-self", &good, "", 404),
            ("GET", "/nope", &good, "", 404),
            ("GET", "/v2/sys/health", "", "", 404),
            ("GET", "/", "", "", 404),
            ("GET", &query, "", "", 400),
            ("GET", "/v1/sys/health?activecode=abc", "", "", 400),
            ("GET", "/v1/sys/health", "x-vault-namespace: a\r\n", "", 404),
            ("GET", "/v1/sys/health", "x-vault-namespace: \r\n", "", 200),
            (
                "GET",
                "/v1/sys/health",
                "x-vault-request: true\r\n",
                "",
                200,
            ),
        ] {
            let mut http = Http::to(&cluster, 0, "").await?;
            let answer = http.send(verb, target, headers, body).await;
            let said = format!("{verb} {target:.80} {headers:.30} {body:.40}");
            let answer = answer.map_err(|error| format!("{said}: {error}"))?;
            ensure(answer.status == wanted, || {
                format!("{said}: {answer:?}, not {wanted}")
            })?;
            ensure(answer.head.contains("cache-control: no-store"), || {
                format!("{said}: {answer:?}")
            })?;
            if wanted == 403 {
                let uniform = json!({ "errors": ["permission denied"] });
                ensure(answer.json() == uniform, || format!("{said}: {answer:?}"))?;
            } else if wanted >= 400 && verb != "HEAD" {
                ensure(answer.json()["errors"].is_array(), || {
                    format!("{said}: {answer:?}")
                })?;
            }
        }
        wrapped_and_forms(&cluster, &good).await?;
        names_are_from_a_closed_set(&cluster).await
    });
}

async fn wrapped_and_forms(cluster: &ServerCluster, good: &str) -> Outcome<()> {
    let mut http = Http::to(cluster, 0, "").await?;
    let create = "/v1/auth/token/create";
    let wrap = format!("{good}x-vault-wrap-ttl: 60\r\n");
    http.send("POST", create, &wrap, "{}").await?.must_be(501)?;
    let form = format!("{good}content-type: application/x-www-form-urlencoded\r\n");
    for body in ["ttl=90s&renewable=false", r#"{"ttl":90,"renewable":false}"#] {
        let made = http.send("POST", create, &form, body).await?.must_be(200)?;
        let auth = &made.json()["auth"];
        ensure(
            auth["lease_duration"] == 90 && auth["renewable"] == false,
            || made.body.clone(),
        )?;
    }
    Ok(())
}

/// Requests are counted under the pattern of their route, never under what a stranger wrote.
async fn names_are_from_a_closed_set(cluster: &ServerCluster) -> Outcome<()> {
    let mut http = Http::plain(cluster.node(0)?.metrics, "").await?;
    let shown = http.send("GET", "/metrics", "", "").await?.must_be(200)?;
    let has = |text: &str| shown.body.contains(text);
    ensure(
        has("method=\"/v1/auth/token/create\",code=\"OK\"")
            && has("method=\"/v1/{path...}\",code=\"NOT_FOUND\"")
            && !has("secret/a")
            && !has("nope"),
        || shown.body.clone(),
    )
}
