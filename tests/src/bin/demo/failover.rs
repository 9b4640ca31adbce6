//! The active server dies under load, another takes over, the dead one comes back.

use std::time::Instant;

use tenure_tests::server_cluster::{Keys, Outcome, ServerCluster, Traffic};

use crate::open;
use crate::stage::{Stage, say};
use crate::tokens::{Tree, agree};

/// Clients that write while the leader is killed.
const WRITERS: usize = 4;

pub async fn kill(stage: &mut Stage, cluster: &mut ServerCluster, tree: &Tree) -> Outcome<usize> {
    let active = cluster.wait_active().await?;
    stage.step(&format!(
        "Kill server {}, the active one, under load",
        active + 1
    ));
    let others: Vec<usize> = (0..cluster.nodes.len())
        .filter(|index| *index != active)
        .collect();
    let traffic = Traffic::start(cluster, &others, WRITERS)?;
    traffic.wait_acked(200).await?;
    let killed = Instant::now();
    cluster.node_mut(active)?.kill();
    let before = traffic.acked();
    say(format!(
        "{WRITERS} clients write through the two others; kill -9 after {before} writes"
    ));
    let next = cluster.wait_active_but(&[active]).await?;
    traffic.wait_acked(200).await?;
    let gap = traffic.longest_gap(killed);
    let notes = traffic.finish().await?;
    say(format!(
        "server {} took over; the gap between two writes was {} ms",
        next + 1,
        gap.as_millis()
    ));
    notes.verify(cluster, &others).await?;
    say(format!(
        "{} tokens that clients were promised are all there, {} revoked ones all refused",
        notes.live.len(),
        notes.revoked.len()
    ));
    for index in &others {
        cluster.node(*index)?.refuses(tree.get("build")?).await?;
        cluster.node(*index)?.accepts(tree.get("team")?).await?;
    }
    Ok(active)
}

pub async fn rejoin(
    stage: &mut Stage,
    cluster: &mut ServerCluster,
    keys: &Keys,
    killed: usize,
    tree: &Tree,
) -> Outcome<()> {
    stage.step(&format!("Start server {} again", killed + 1));
    cluster.restart(killed).await?;
    let status = cluster
        .node(killed)?
        .status()
        .await
        .map_err(|error| error.to_string())?;
    if !status.sealed {
        return Err("the restarted server isn't sealed".to_owned());
    }
    say("it comes back sealed: its key was in memory alone");
    let progress = open(cluster, keys, killed).await?;
    say(format!("{progress}, and it is open"));
    cluster.wait_complete().await?;
    agree(cluster, tree).await?;
    let index = cluster
        .member(killed)
        .await?
        .state
        .map_or(0, |state| state.applied_index);
    say(format!(
        "it has caught up (log entry {index}) and agrees with the others on every token"
    ));
    Ok(())
}
