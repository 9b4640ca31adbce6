//! The gap in acknowledged writes when the active node is killed with SIGKILL, seen by
//! clients that write through the others.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::{Outcome, Traffic};

use super::{fill, folder, median, milliseconds};
use crate::{operation::Through, tenure::Tenure};

/// Clients that write.
const WRITERS: usize = 4;
/// Writes before the kill, and after the cluster is back.
const WRITES: u64 = 200;

/// How often, and with how much.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kills
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Live leases
    #[arg(long, default_value_t = 0)]
    leases: usize,
    /// Fail when a gap is longer than so many milliseconds
    #[arg(long, default_value_t = 1_000)]
    limit_ms: u64,
}

/// Kills, measures, starts the node again, and so on.
///
/// # Errors
/// A gap was too long, or a promise was broken.
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    let folder = folder(dir)?;
    let mut tenure = Tenure::start(folder.path(), 3, true).await?;
    fill(&mut tenure, arguments.leases).await?;
    let mut gaps = Vec::new();
    for round in 1..=arguments.rounds {
        let active = tenure.node(Through::Active).await?;
        let cluster = &mut tenure.cluster;
        let others: Vec<usize> = (0..cluster.nodes.len())
            .filter(|index| *index != active)
            .collect();
        let traffic = Traffic::start(cluster, &others, WRITERS)?;
        traffic.wait_acked(WRITES).await?;
        let killed = Instant::now();
        cluster.node_mut(active)?.kill();
        cluster.wait_active_but(&[active]).await?;
        traffic.wait_acked(WRITES).await?;
        let gap = traffic.longest_gap(killed);
        println!("round {round}: {}", milliseconds(gap));
        gaps.push(gap);
        traffic.finish().await?.verify(cluster, &others).await?;
        cluster.restart(active).await?;
        cluster.unseal(active).await?;
        cluster.wait_complete().await?;
    }
    let longest = gaps.iter().max().copied().unwrap_or_default();
    println!(
        "kill -9 of the active node with {} leases, {} rounds: median {}, longest {}",
        arguments.leases,
        gaps.len(),
        milliseconds(median(&mut gaps)),
        milliseconds(longest)
    );
    match longest <= Duration::from_millis(arguments.limit_ms) {
        true => Ok(()),
        false => Err(format!("a gap above {} ms", arguments.limit_ms)),
    }
}
