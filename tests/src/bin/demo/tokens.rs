//! Tokens: a tree of them, a renewal, an expiry (of a lease, too), a revocation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tenure_client::proto::{Auth, CreateTokenRequest, GrantLeaseRequest};
use tenure_client::{Client, Secret};
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerNode, until};
use tonic::Code;

use crate::stage::{Stage, hint, say};

/// The token that is left to expire lives so long.
const SHORT_SECONDS: i64 = 2;

/// A small tree of tokens.
pub struct Tree {
    tokens: BTreeMap<&'static str, Secret>,
}

impl Tree {
    pub async fn plant(stage: &mut Stage, cluster: &mut ServerCluster) -> Outcome<Self> {
        let standby = cluster.standby().await?;
        write_policy(stage, cluster).await?;
        stage.step(&format!(
            "Make a small tree of tokens, through server {}, a standby",
            standby + 1
        ));
        let node = cluster.node(standby)?;
        let mut tree = Self {
            tokens: BTreeMap::new(),
        };
        let root = cluster.root();
        for (name, parent, minutes, line) in [
            ("team", "root", 60, "root ── team"),
            ("build", "team", 30, "        ├─ build"),
            ("job", "build", 10, "        │   └─ job"),
            ("deploy", "team", 30, "        └─ deploy"),
        ] {
            let parent = tree.tokens.get(parent).unwrap_or(&root);
            let auth = create(&node.client_of(parent), name, minutes * 60).await?;
            say(format!(
                "{line:<24} {}  {minutes} minutes",
                hint(&auth.client_token)
            ));
            tree.tokens.insert(name, Secret::new(auth.client_token));
        }
        for node in &cluster.nodes {
            for token in tree.tokens.values() {
                node.accepts(token).await?;
            }
        }
        say("every server accepts each of them at once");
        Ok(tree)
    }

    pub fn get(&self, name: &str) -> Outcome<&Secret> {
        self.tokens
            .get(name)
            .ok_or_else(|| format!("there is no token {name}"))
    }
}

/// What the tree's tokens may do, beside what every token may do with itself.
const POLICY: &str = r#"path "auth/token/create" { capabilities = ["update"] }"#;

async fn write_policy(stage: &mut Stage, cluster: &ServerCluster) -> Outcome<()> {
    stage.step("Write a policy");
    let client = cluster.client()?;
    let written = client.write_policy("builder", POLICY).await;
    written.map_err(|error| format!("write a policy: {error}"))?;
    say(format!("\"builder\" is {POLICY}"));
    say("whoever has it may make tokens with no more policies than its own; what no policy");
    say("grants is denied");
    Ok(())
}

async fn create(client: &Client, name: &str, seconds: i64) -> Outcome<Auth> {
    let request = CreateTokenRequest {
        policies: vec!["builder".to_owned()],
        display_name: name.to_owned(),
        ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..CreateTokenRequest::default()
    };
    client
        .create_token(request)
        .await
        .map_err(|error| format!("make the token {name}: {error}"))
}

async fn left(node: &ServerNode, token: &Secret) -> Outcome<i64> {
    let info = node
        .client_of(token)
        .lookup_self()
        .await
        .map_err(|error| error.to_string())?;
    Ok(info.ttl.map_or(0, |ttl| ttl.seconds))
}

pub async fn renew(stage: &mut Stage, cluster: &mut ServerCluster, tree: &Tree) -> Outcome<()> {
    stage.step("Renew a token");
    let build = tree.get("build")?;
    let active = cluster.wait_active().await?;
    let before = left(cluster.node(active)?, build).await?;
    let longer = Duration::from_secs(3600);
    let renewed = cluster
        .node(active)?
        .client_of(build)
        .renew_self(Some(longer))
        .await;
    renewed.map_err(|error| format!("renew: {error}"))?;
    say(format!(
        "\"build\" had {before} s left, and asks server {} for an hour",
        active + 1
    ));
    for (index, node) in cluster.nodes.iter().enumerate() {
        let now = left(node, build).await?;
        if !(3500..=3600).contains(&now) {
            return Err(format!(
                "server {} shows {now} s after the renewal",
                index + 1
            ));
        }
        say(format!("server {} shows {now} s left", index + 1));
    }
    Ok(())
}

pub async fn expire(stage: &mut Stage, cluster: &ServerCluster) -> Outcome<()> {
    stage.step("Let a token and a lease expire");
    let client = cluster.client()?;
    let asked = Instant::now();
    let auth = create(&client, "short", SHORT_SECONDS).await?;
    let made = Instant::now();
    let token = Secret::new(auth.client_token);
    for node in &cluster.nodes {
        node.accepts(&token).await?;
    }
    say(format!(
        "a token of {SHORT_SECONDS} s: every server accepts it"
    ));
    let life = Duration::from_secs(SHORT_SECONDS.unsigned_abs());
    for (index, node) in cluster.nodes.iter().enumerate() {
        until("an expired token is refused", SOON, async || {
            match node.accepts(&token).await {
                Ok(()) => Err("it is still accepted".to_owned()),
                Err(_) => Ok(()),
            }
        })
        .await?;
        if asked.elapsed() < life {
            return Err(format!("server {} ended a token early", index + 1));
        }
        node.refuses(&token).await?;
    }
    let late = made.elapsed().saturating_sub(life);
    say(format!(
        "all three refuse it {} ms after its time, and not before",
        late.as_millis()
    ));
    expire_lease(cluster).await
}

/// A client's own secret on lease: shown to its owner until it ends, and to nobody after.
async fn expire_lease(cluster: &ServerCluster) -> Outcome<()> {
    let client = cluster.client()?;
    let asked = Instant::now();
    let granted = client
        .grant_lease(GrantLeaseRequest {
            path: "db/prod/reader".to_owned(),
            payload: b"a password of the demo".to_vec(),
            ttl: Some(prost_types::Duration {
                seconds: SHORT_SECONDS,
                nanos: 0,
            }),
            ..Default::default()
        })
        .await
        .map_err(|error| format!("grant: {error}"))?;
    let id = granted.lease_id;
    for node in &cluster.nodes {
        let shown = node.client_of(&cluster.root()).lookup_lease(&id).await;
        let shown = shown.map_err(|error| format!("looking up the lease: {error}"))?;
        if shown.payload.as_deref() != Some(b"a password of the demo".as_slice()) {
            return Err("a server shows another payload".to_owned());
        }
    }
    say(format!(
        "a secret on lease for {SHORT_SECONDS} s, under db/prod/reader: every server shows it"
    ));
    for node in &cluster.nodes {
        let client = node.client_of(&cluster.root());
        until("an expired lease is gone", SOON, async || {
            match client.lookup_lease(&id).await {
                Ok(_) => Err("it is still shown".to_owned()),
                Err(error) if error.code() == Code::NotFound => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        if asked.elapsed() < Duration::from_secs(SHORT_SECONDS.unsigned_abs()) {
            return Err("a lease ended early".to_owned());
        }
    }
    say("all three forget it when its time is over, and not before");
    Ok(())
}

pub async fn revoke(stage: &mut Stage, cluster: &ServerCluster, tree: &Tree) -> Outcome<()> {
    stage.step("Revoke a parent, and its children with it");
    let began = Instant::now();
    let client = cluster.client()?;
    client
        .revoke_token(tree.get("build")?)
        .await
        .map_err(|error| format!("revoke: {error}"))?;
    say(format!(
        "\"build\" is revoked, in {} ms",
        began.elapsed().as_millis()
    ));
    agree(cluster, tree).await?;
    say("every server refuses \"build\" and its child \"job\";");
    say("every server still accepts \"team\" and \"deploy\", which are not below it");
    Ok(())
}

/// Every server that runs sees the tree without its revoked branch.
pub async fn agree(cluster: &ServerCluster, tree: &Tree) -> Outcome<()> {
    for node in &cluster.nodes {
        for name in ["build", "job"] {
            node.refuses(tree.get(name)?)
                .await
                .map_err(|why| format!("\"{name}\": {why}"))?;
        }
        for name in ["team", "deploy"] {
            node.accepts(tree.get(name)?)
                .await
                .map_err(|why| format!("\"{name}\": {why}"))?;
        }
    }
    Ok(())
}
