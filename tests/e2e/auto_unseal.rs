//! Auto-unseal: nodes that a provider opens come back by themselves; recovery shares guard what a
//! quorum decides. One provider is a key file, the other a transit engine, which is played here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tenure_client::proto::{InitRequest, RekeyTarget, StartRekeyRequest};
use tenure_client::{Code, Health};
use tenure_tests::server_cluster::{Keys, Outcome, SOON, ServerCluster, ServerOptions, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::http_client::Http;
use crate::{ALL, ensure, make, run, text, wish};

/// Opening by a provider that was away is tried again within so long.
const AGAIN: Duration = Duration::from_secs(60);

/// A cluster that a key file opens. The file's folder is `dir`.
fn with_key_file(dir: &std::path::Path, nodes: usize) -> Outcome<ServerOptions> {
    let key = dir.join("unseal.key");
    std::fs::write(&key, [7; 32]).map_err(text)?;
    let mut options = ServerOptions::new(nodes)?;
    options.top = format!(
        "seal \"static\" {{\n  current_key_id = \"first\"\n  current_key = \"file://{}\"\n}}\n",
        key.display()
    );
    Ok(options)
}

fn init_request(recovery_shares: u32, recovery_threshold: u32) -> InitRequest {
    InitRequest {
        recovery_shares,
        recovery_threshold,
        ..InitRequest::default()
    }
}

/// Initialises the first node, and waits until all have opened themselves.
async fn found(cluster: &mut ServerCluster) -> Outcome<Keys> {
    let client = cluster.node(0)?.client();
    let before = client.seal_status().await.map_err(text)?;
    ensure(before.recovery_seal && before.sealed, || {
        format!("{before:?}")
    })?;
    let with_shares = InitRequest {
        secret_shares: 5,
        secret_threshold: 3,
        ..InitRequest::default()
    };
    for bad in [with_shares, InitRequest::default(), init_request(2, 3)] {
        let code = client.init_with(bad).await.err().map(|error| error.code());
        ensure(code == Some(Code::InvalidArgument), || format!("{code:?}"))?;
    }
    let made = client.init_with(init_request(3, 2)).await.map_err(text)?;
    ensure(
        made.shares.is_empty() && made.recovery_shares.len() == 3,
        || "not three recovery shares alone".into(),
    )?;
    let keys = Keys {
        shares: made
            .recovery_shares
            .iter()
            .map(|share| share.to_vec())
            .collect(),
        threshold: 2,
        root: made.root_token,
    };
    cluster.keys = Some(keys.clone());
    for node in &cluster.nodes {
        node.wait_health("tenure.ready", Health::Serving).await?;
    }
    cluster.wait_complete().await?;
    Ok(keys)
}

/// Three nodes find each other and open themselves; killed all at once, they come back; sealed by
/// an operator, a node is open again soon. Recovery shares unseal nothing, make a root token and
/// are made anew.
#[test]
fn a_cluster_with_a_key_file_opens_itself() {
    run(
        "auto_unseal::a_cluster_with_a_key_file_opens_itself",
        async |scenario| {
            let options = with_key_file(scenario.dir(), 3)?;
            let mut cluster =
                ServerCluster::spawn(scenario.dir(), &scenario.logs(), options).await?;
            let keys = found(&mut cluster).await?;
            let (token, _) = make(&cluster.client()?, root_child("kept")).await?;
            let status = cluster.node(1)?.status().await.map_err(text)?;
            ensure(
                status.r#type == "static" && (status.shares, status.threshold) == (3, 2),
                || format!("{status:?}"),
            )?;
            scenario.say("three nodes have opened themselves");
            a_new_root_key(&cluster, &keys).await?;

            for node in &mut cluster.nodes {
                node.kill();
            }
            for index in ALL {
                cluster.restart(index).await?;
            }
            for node in &cluster.nodes {
                node.accepts(&token).await?;
            }
            cluster.wait_complete().await?;
            scenario.say("they came back");

            let active = cluster.wait_active().await?;
            cluster.root_at(active)?.seal().await.map_err(text)?;
            // A share is no key here, and does nothing.
            let given = cluster.node(active)?.client().unseal(&keys.shares[0]).await;
            given.map_err(text)?;
            cluster
                .node(active)?
                .wait_health("tenure.ready", Health::Serving)
                .await?;
            cluster.node(active)?.accepts(&token).await?;

            recovery_shares(&cluster, &keys).await
        },
    );
}

fn root_child(name: &str) -> tenure_client::proto::CreateTokenRequest {
    tenure_client::proto::CreateTokenRequest {
        policies: vec!["default".to_owned()],
        ..wish(name)
    }
}

/// The recovery quorum replaces the root key, which the provider keeps: it has no shares. What comes
/// after shows that the nodes open themselves by it.
async fn a_new_root_key(cluster: &ServerCluster, keys: &Keys) -> Outcome<()> {
    let (client, target) = (cluster.client()?, RekeyTarget::Root);
    for shares in [2, 5] {
        let plan = StartRekeyRequest {
            shares,
            threshold: 2,
            ..StartRekeyRequest::default()
        };
        let code = client.start_rekey(plan).await.err();
        let code = code.map(|error| error.code());
        ensure(code == Some(Code::InvalidArgument), || format!("{code:?}"))?;
    }
    let begun = client.start_rekey(StartRekeyRequest::default()).await;
    let begun = begun.map_err(text)?;
    ensure(begun.required == 2, || format!("{begun:?}"))?;
    let mut made = None;
    for share in keys.quorum() {
        let given = client.update_rekey(target, &begun.nonce, share).await;
        made = Some(given.map_err(text)?);
    }
    let made = made.filter(|answer| answer.complete && answer.shares.is_empty());
    ensure(made.is_some(), || "the root key wasn't replaced".into())
}

/// They are made anew and make a root token; unseal keys there are none.
async fn recovery_shares(cluster: &ServerCluster, keys: &Keys) -> Outcome<()> {
    let client = cluster.client()?;
    let plan = |target: RekeyTarget| StartRekeyRequest {
        target: target.into(),
        shares: 2,
        threshold: 2,
        ..StartRekeyRequest::default()
    };
    let target = RekeyTarget::Recovery;
    let begun = client.start_rekey(plan(target)).await.map_err(text)?;
    let mut new = Vec::new();
    for share in keys.quorum() {
        let given = client.update_rekey(target, &begun.nonce, share).await;
        new = given.map_err(text)?.shares;
    }
    ensure(new.len() == 2, || "no new recovery shares".into())?;
    let begun = client.start_generate_root("").await.map_err(text)?;
    let nonce = begun.status.ok_or("no status")?.nonce;
    let mut refused = None;
    for share in keys.quorum() {
        let given = client.update_generate_root(&nonce, share).await;
        refused = given.err().map(|error| error.code());
    }
    ensure(refused == Some(Code::InvalidArgument), || {
        format!("old recovery shares: {refused:?}")
    })?;
    let mut complete = false;
    for share in &new {
        let given = client.update_generate_root(&nonce, share).await;
        complete = given.map_err(text)?.complete;
    }
    ensure(complete, || "no root token".into())
}

/// The provider's key is changed: with the old one as the previous key the node opens, and from
/// then on the new one alone is enough. Without the stanza, or with a strange key, a start is
/// refused, or keeps trying, and says why.
#[test]
fn the_key_of_the_provider_changes() {
    run(
        "auto_unseal::the_key_of_the_provider_changes",
        async |scenario| {
            let options = with_key_file(scenario.dir(), 1)?;
            let mut cluster =
                ServerCluster::spawn(scenario.dir(), &scenario.logs(), options).await?;
            found(&mut cluster).await?;
            let (token, _) = make(&cluster.client()?, root_child("kept")).await?;
            let (old, new) = (
                scenario.dir().join("unseal.key"),
                scenario.dir().join("new.key"),
            );
            std::fs::write(&new, hex::encode([9; 32])).map_err(text)?;
            let current = format!(
                "  current_key_id = \"second\"\n  current_key = \"file://{}\"\n",
                new.display()
            );
            let both = format!(
                "seal \"static\" {{\n{current}  previous_key_id = \"first\"\n  previous_key = \"file://{}\"\n}}\n",
                old.display()
            );
            let restart = async |cluster: &mut ServerCluster, top: &str| {
                cluster.node_mut(0)?.kill();
                cluster.options.top = top.to_owned();
                cluster.restart(0).await
            };
            restart(&mut cluster, &both).await?;
            cluster.node(0)?.accepts(&token).await?;
            until("the root key is sealed by the new key", SOON, async || {
                let log = log_of(&mut cluster)?;
                ensure(log.contains("sealed anew by its provider"), || {
                    "not yet".into()
                })
            })
            .await?;
            restart(&mut cluster, &format!("seal \"static\" {{\n{current}}}\n")).await?;
            cluster.node(0)?.accepts(&token).await?;
            scenario.say("the new key alone opens it");

            // The stanza is gone: the node says so and ends.
            cluster.node_mut(0)?.kill();
            cluster.options.top = String::new();
            cluster.launch(0)?;
            let ended = cluster.node_mut(0)?.process()?.wait_exit(SOON)?;
            ensure(!ended.success(), || "it went on without its stanza".into())?;
            let log = log_of(&mut cluster)?;
            ensure(log.contains("has no seal stanza"), || {
                format!("it didn't say what is missing: {log}")
            })
        },
    );
}

fn log_of(cluster: &mut ServerCluster) -> Outcome<String> {
    let path = cluster.node_mut(0)?.process()?.stderr().to_owned();
    std::fs::read_to_string(path).map_err(text)
}

/// A transit engine, played: it holds no key that anybody else would know.
struct FakeTransit {
    address: SocketAddr,
    away: Arc<AtomicBool>,
    renewals: Arc<AtomicU64>,
}

const TRANSIT_TOKEN: &str = "hvs.transitcanary";

impl FakeTransit {
    async fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let fake = Self {
            address: listener.local_addr().map_err(text)?,
            away: Arc::default(),
            renewals: Arc::default(),
        };
        let (away, renewals) = (Arc::clone(&fake.away), Arc::clone(&fake.renewals));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (away, renewals) = (Arc::clone(&away), Arc::clone(&renewals));
                tokio::spawn(async move {
                    if !away.load(Ordering::Relaxed) {
                        let _ = answer(stream, &renewals).await;
                    }
                });
            }
        });
        Ok(fake)
    }
}

async fn answer(mut stream: TcpStream, renewals: &AtomicU64) -> Outcome<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.map_err(text)?;
        bytes.extend_from_slice(&part[..read]);
        let all = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = all.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap_or("0");
            let length: usize = length.lines().next().unwrap_or("0").parse().map_err(text)?;
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        }
        if read == 0 {
            return Err("a cut request".into());
        }
    };
    let has_token = head.contains(&format!("x-vault-token: {TRANSIT_TOKEN}"));
    let question: Value = serde_json::from_str(&body).map_err(text)?;
    let turned = |field: &str, prefix: &str| -> Option<Vec<u8>> {
        let given = question[field].as_str()?.strip_prefix(prefix)?;
        let bytes = STANDARD.decode(given).ok()?;
        Some(bytes.into_iter().map(|byte| byte ^ 0x5a).collect())
    };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let reply = match path {
        "/v1/auth/token/renew-self" => {
            renewals.fetch_add(1, Ordering::Relaxed);
            Some(json!({"auth": {"lease_duration": 3600}}))
        }
        "/v1/keys/transit/encrypt/tenure" => turned("plaintext", "")
            .map(|c| json!({"data": {"ciphertext": format!("vault:v1:{}", STANDARD.encode(c))}})),
        "/v1/keys/transit/decrypt/tenure" => turned("ciphertext", "vault:v1:")
            .map(|p| json!({"data": {"plaintext": STANDARD.encode(p)}})),
        _ => None,
    };
    let (status, body) = match reply.filter(|_| has_token) {
        Some(body) => ("200 OK", body.to_string()),
        None => (
            "403 Forbidden",
            json!({"errors": ["permission denied"]}).to_string(),
        ),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await.map_err(text)
}

/// A transit engine keeps the root key. It is away when the nodes start again: they serve health
/// and seal status meanwhile, and open themselves once it is back. Nothing of it is in the logs.
#[test]
fn a_transit_engine_that_is_away_at_the_start() {
    run(
        "auto_unseal::a_transit_engine_that_is_away_at_the_start",
        async |scenario| {
            let transit = FakeTransit::start().await?;
            let token = scenario.dir().join("transit.token");
            std::fs::write(&token, format!("{TRANSIT_TOKEN}\n")).map_err(text)?;
            let mut options = ServerOptions::new(3)?;
            options.top = format!(
                "seal \"transit\" {{\n  address = \"http://{}\"\n  token = \"file://{}\"\n  key_name = \
             \"tenure\"\n  mount_path = \"keys/transit/\"\n}}\n",
                transit.address,
                token.display()
            );
            let mut cluster =
                ServerCluster::spawn(scenario.dir(), &scenario.logs(), options).await?;
            let keys = found(&mut cluster).await?;
            let (kept, _) = make(&cluster.client()?, root_child("kept")).await?;
            until("the token is renewed", SOON, async || {
                ensure(transit.renewals.load(Ordering::Relaxed) > 0, || {
                    "not yet".into()
                })
            })
            .await?;
            transit.away.store(true, Ordering::Relaxed);
            for node in &mut cluster.nodes {
                node.kill();
            }
            for index in ALL {
                cluster.restart(index).await?;
            }
            let mut http = Http::to(&cluster, 0, "").await?;
            http.ask("GET", "sys/health", "").await?.must_be(503)?;
            let status = http
                .ask("GET", "sys/seal-status", "")
                .await?
                .must_be(200)?
                .json();
            ensure(
                status["type"] == "transit"
                    && status["recovery_seal"] == true
                    && status["recovery_seal_type"] == "shamir"
                    && status["sealed"] == true,
                || status.to_string(),
            )?;
            // The shares are for the quorum, not for the seal.
            let given = cluster.node(0)?.client().unseal(&keys.shares[0]).await;
            ensure(given.map_err(text)?.sealed, || {
                "a recovery share opened it".into()
            })?;
            transit.away.store(false, Ordering::Relaxed);
            for node in &cluster.nodes {
                until("the nodes open themselves", AGAIN, async || {
                    let status = node.status().await.map_err(text)?;
                    ensure(!status.sealed, || "sealed".into())
                })
                .await?;
                node.accepts(&kept).await?;
            }
            scenario.say("it came back, and so did they");
            // A new node is opened by the provider, too.
            let fourth = cluster.add_node().await?;
            cluster.node(fourth)?.accepts(&kept).await?;
            let secrets = [
                TRANSIT_TOKEN.to_owned(),
                hex::encode(&keys.shares[0]),
                STANDARD.encode(&keys.shares[0]),
            ];
            for node in &mut cluster.nodes {
                let log = std::fs::read_to_string(node.process()?.stderr()).map_err(text)?;
                for secret in &secrets {
                    ensure(!log.contains(secret), || {
                        format!("{} logs a secret", node.name)
                    })?;
                }
            }
            Ok(())
        },
    );
}
