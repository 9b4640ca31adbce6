//! Streams end: with their token, however it ends, with the right that they need, with their node.

use std::time::Duration;

use tenure_client::proto::{CreateTokenRequest, LeaseRenewal};
use tenure_client::{Client, KeepAlive, Secret, Watch};
use tenure_tests::server_cluster::{Outcome, ServerCluster};
use tokio::time::{Instant, timeout};

use super::{ENDS_WITHIN, end_of, granted, opened, watch};
use crate::{ensure, make, run, seconds, text, three, wish};

const WATCHER: &str = r#"path "sys/leases/*" { capabilities = ["read", "update"] }
path "auth/token/create" { capabilities = ["update"] }"#;

struct Streams {
    node: usize,
    watch: Watch,
    keep_alive: KeepAlive,
    lease: String,
}

async fn open(cluster: &ServerCluster, node: usize, token: &Secret) -> Outcome<Streams> {
    let client = cluster.node(node)?.client_of(token);
    let lease = granted(&client, &format!("ends/{node}"), 3600).await?;
    let mut keep_alive = client.keep_alive();
    renew(&mut keep_alive, &lease)
        .await
        .map_err(|why| format!("a good keep-alive: {why}"))?;
    Ok(Streams {
        node,
        watch: opened(watch(&client, "ends", None)).await?,
        keep_alive,
        lease,
    })
}

async fn renew(keep_alive: &mut KeepAlive, lease: &str) -> Result<(), tenure_client::Error> {
    let renewal = LeaseRenewal {
        lease_id: lease.to_owned(),
        increment: None,
    };
    keep_alive.renew(vec![renewal]).await.map(drop)
}

/// All streams of a token end soon, with the one answer, on every node; after the revocation
/// nothing is shown to it.
async fn all_end(streams: Vec<Streams>, root: &Client, reason: &str) -> Outcome<()> {
    let began = Instant::now();
    // Something that a watch which lives on would show: of a foreign token, and it may not see
    // it; what counts is that the stream has work to do.
    granted(root, "ends/after", 60).await?;
    for mut open in streams {
        let node = open.node;
        let error = end_of(&mut open.watch, ENDS_WITHIN).await;
        let error = error.map_err(|why| format!("node {node}: {why}"))?;
        ensure(error.reason() == Some(reason), || {
            format!("node {node}: {error}")
        })?;
        if reason == "INVALID_TOKEN" {
            let error = renew(&mut open.keep_alive, &open.lease).await.err();
            let error = error.ok_or_else(|| format!("node {node}: a keep-alive lives on"))?;
            ensure(error.reason() == Some(reason), || {
                format!("node {node}: {error}")
            })?;
        }
    }
    ensure(began.elapsed() < 3 * ENDS_WITHIN, || {
        format!("{:?}", began.elapsed())
    })
}

/// A leaf, a child of a revoked tree, one that expires, one whose policy goes.
///
/// Planted bugs: a watch that goes on where its token isn't valid; a caller that isn't looked at
/// while there is nothing to show. Both caught: open after 2 s, of the leaf, of the deleted policy.
#[test]
fn with_their_token() {
    run("streams::ends::with_their_token", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        root.write_policy("ends", WATCHER).await.map_err(text)?;
        let request = |ttl| CreateTokenRequest {
            policies: vec!["ends".into()],
            ttl: seconds(ttl),
            ..wish("ends")
        };
        let everywhere = async |token: &Secret| -> Outcome<Vec<Streams>> {
            let mut streams = Vec::new();
            for node in 0..3 {
                streams.push(open(&cluster, node, token).await?);
            }
            Ok(streams)
        };
        let (leaf, _) = make(&root, request(3600)).await?;
        let streams = everywhere(&leaf).await?;
        root.revoke_token(&leaf).await.map_err(text)?;
        all_end(streams, &root, "INVALID_TOKEN")
            .await
            .map_err(|why| format!("leaf: {why}"))?;

        let (parent, _) = make(&root, request(3600)).await?;
        let (child, _) = make(&cluster.node(1)?.client_of(&parent), request(3600)).await?;
        let streams = everywhere(&child).await?;
        root.revoke_token(&parent).await.map_err(text)?;
        all_end(streams, &root, "INVALID_TOKEN")
            .await
            .map_err(|why| format!("tree: {why}"))?;

        // Long enough to open them all where the machine is busy.
        let (brief, _) = make(&root, request(15)).await?;
        let streams = everywhere(&brief).await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        all_end(streams, &root, "INVALID_TOKEN")
            .await
            .map_err(|why| format!("expiry: {why}"))?;

        let (poor, _) = make(&root, request(3600)).await?;
        let streams = everywhere(&poor).await?;
        root.delete_policy("ends").await.map_err(text)?;
        all_end(streams, &root, "PERMISSION_DENIED")
            .await
            .map_err(|why| format!("policy: {why}"))
    });
}

/// Idle streams don't hold up a node that stops, and a sealed node has none; their clients go on
/// elsewhere.
#[test]
fn with_their_node() {
    run("streams::ends::with_their_node", async |scenario| {
        let mut cluster = three(scenario).await?;
        let standby = cluster.standby().await?;
        let third = 3 - standby - cluster.wait_active().await?;
        let mut pinned = opened(watch(&cluster.root_at(standby)?, "node", None)).await?;
        let mut moving =
            opened(watch(&cluster.client_of(&[standby, third])?, "node", None)).await?;
        cluster.root_at(standby)?.seal().await.map_err(text)?;
        // The client of one node tries until its deadline.
        let error = end_of(&mut pinned, Duration::from_secs(15)).await?;
        ensure(error.reason() == Some("SEALED"), || error.to_string())?;
        let id = granted(&cluster.root_at(third)?, "node/moved", 60).await?;
        let shown = timeout(Duration::from_secs(10), async {
            loop {
                let message = moving.next().await.map_err(text)?;
                if !message.events.is_empty() {
                    return Ok::<_, String>(super::shorts(&message.events));
                }
            }
        });
        let shown = shown.await.map_err(|_| "the watch didn't move")??;
        ensure(shown == [format!("granted {id}")], || format!("{shown:?}"))
    });
}
