//! A node that becomes active reads no leases, however many there are: what it reads is counted,
//! up to the moment at which its expiration manager has cleared away what is due.

use std::time::Duration;

use tenure_client::proto::GrantLeaseRequest;
use tenure_tests::server_cluster::{
    Outcome, SOON, ServerCluster, ServerNode, ServerOptions, in_parallel, until,
};

use crate::http_client::Http;
use crate::{ensure, run, seconds, text};

/// Live leases.
const LEASES: usize = 2_000;
/// Rows that a node may read to become active beside the events of the last minute, of which there is
/// one for each of these leases: it counts them, to keep them within their bounds.
const ROWS_MAX: u64 = 200;
/// Calls under way at once while leases are granted.
const WORKERS: usize = 32;

/// Three nodes whose active one is killed, and one that is killed and started again.
///
/// Planted bug: the manager reads the whole time index when it starts. Caught: 4,019 rows with 2,000
/// leases, where 2,018 are right.
#[test]
fn a_node_that_becomes_active_reads_no_leases() {
    run(
        "ready::a_node_that_becomes_active_reads_no_leases",
        async |scenario| {
            for nodes in [3, 1] {
                let name = format!("of-{nodes}");
                let (dir, logs) = (scenario.dir().join(&name), scenario.logs().join(&name));
                let options = ServerOptions::new(nodes)?;
                let mut cluster = ServerCluster::start(&dir, &logs, options).await?;
                fill(&cluster).await?;
                let rows = become_active(&mut cluster).await?;
                scenario.say(format!("{nodes} nodes, {LEASES} leases: {rows} rows read"));
                ensure(rows <= ROWS_MAX + LEASES as u64, || {
                    format!("{nodes} nodes: {rows} rows were read with {LEASES} leases")
                })?;
                let left = cluster.client()?.count_leases("many").await.map_err(text)?;
                ensure(left == LEASES as u64, || {
                    format!("{left} of {LEASES} leases")
                })?;
            }
            Ok(())
        },
    );
}

/// The rows that another node, or the same one in its next process, reads until it has cleared
/// away what was due.
async fn become_active(cluster: &mut ServerCluster) -> Outcome<u64> {
    let active = cluster.wait_active().await?;
    let root = cluster.client()?;
    root.grant_lease(lease("due", 2)).await.map_err(text)?;
    let mut before = Vec::new();
    for node in &cluster.nodes {
        before.push(shown(node, ROWS_READ).await?);
    }
    cluster.node_mut(active)?.kill();
    let next = match cluster.nodes.len() {
        1 => {
            cluster.restart(active).await?;
            cluster.unseal(active).await?;
            before = vec![0];
            cluster.wait_active().await?
        }
        _ => cluster.wait_active_but(&[active]).await?,
    };
    let node = cluster.node(next)?;
    until(
        "the lease that is due is cleared away",
        SOON,
        async || match shown(node, CLEARED).await? {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        },
    )
    .await?;
    // The gauges follow.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = before.get(next).copied().unwrap_or_default();
    Ok(shown(node, ROWS_READ).await? - before)
}

const ROWS_READ: &str = "tenure_state_rows_read_total";
const CLEARED: &str = "tenure_expiration_lateness_seconds_count{kind=\"lease\"}";

/// A metric of a node; 0 if it doesn't show it yet.
async fn shown(node: &ServerNode, metric: &str) -> Outcome<u64> {
    let mut http = Http::plain(node.metrics, "").await?;
    let answer = http.send("GET", "/metrics", "", "").await?.must_be(200)?;
    let lines = answer.body.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    Ok(values.next().unwrap_or(0))
}

async fn fill(cluster: &ServerCluster) -> Outcome<()> {
    let root = cluster.client()?;
    in_parallel((0..LEASES).collect(), WORKERS, |_| {
        let root = root.clone();
        async move {
            let granted = root.grant_lease(lease("many", 3600)).await;
            granted.map(drop).map_err(text)
        }
    })
    .await
}

fn lease(path: &str, ttl: i64) -> GrantLeaseRequest {
    GrantLeaseRequest {
        path: path.to_owned(),
        ttl: seconds(ttl),
        ..GrantLeaseRequest::default()
    }
}
