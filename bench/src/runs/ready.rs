//! How long a node that starts takes to serve, by the number of live leases: from its
//! process to its first answer, from its last share to its first acknowledged write. And how
//! long clients of three nodes wait when the active one steps down.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::{Outcome, SOON, Traffic, until};

use super::{fill, folder, median, milliseconds};
use crate::{
    limits::HOUR,
    operation::Through,
    tenure::{Tenure, request},
};

/// With how many leases, and how often.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Live leases
    #[arg(long, value_delimiter = ',', default_value = "1000,200000")]
    leases: Vec<usize>,
    /// Starts, and hand-overs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Fail when the first write comes later than so many milliseconds after the last share
    #[arg(long, default_value_t = 1_000)]
    limit_ms: u64,
    /// Fail when it takes so many times as long with the most leases as with the fewest, and a
    /// tenth of a second more
    #[arg(long, default_value_t = 2)]
    limit_growth: u32,
}

/// Prints one line for each number of leases.
///
/// # Errors
/// What didn't work, for people.
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    println!("| live leases | start → answers | last share → first write | longest |");
    println!("|---|---|---|---|");
    let mut by_leases = Vec::new();
    for leases in &arguments.leases {
        let folder = folder(dir)?;
        let mut tenure = Tenure::start(folder.path(), 1, false).await?;
        fill(&mut tenure, *leases).await?;
        let (mut starts, mut writes) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let (start, write) = restart(&mut tenure).await?;
            starts.push(start);
            writes.push(write);
        }
        let longest = writes.iter().max().copied().unwrap_or_default();
        println!(
            "| {leases} | {} | {} | {} |",
            milliseconds(median(&mut starts)),
            milliseconds(median(&mut writes)),
            milliseconds(longest)
        );
        by_leases.push((*leases, median(&mut writes)));
        let still = tenure.cluster.client()?.count_leases("").await;
        let still = still.map_err(|error| format!("count: {error}"))?;
        if still != *leases as u64 {
            return Err(format!("{still} leases are left of {leases}"));
        }
    }
    let folder = folder(dir)?;
    let mut tenure = Tenure::start(folder.path(), 3, false).await?;
    let mut gaps = Vec::new();
    for _ in 0..arguments.rounds {
        gaps.push(hand_over(&mut tenure).await?);
    }
    let longest = gaps.iter().max().copied().unwrap_or_default();
    println!(
        "\nThe active one of three nodes steps down under writes: no write for {} (median of {}), \
         {} at most",
        milliseconds(median(&mut gaps)),
        arguments.rounds,
        milliseconds(longest)
    );
    judge(&arguments, &mut by_leases)
}

/// What a time may grow by beside its factor: a disk that syncs slowly once.
const GROWTH: Duration = Duration::from_millis(100);

/// Ready at once, whatever the number of leases.
fn judge(arguments: &Arguments, by_leases: &mut [(usize, Duration)]) -> Outcome<()> {
    by_leases.sort();
    let (Some((_, fewest)), Some((leases, most))) = (by_leases.first(), by_leases.last()) else {
        return Ok(());
    };
    let bound =
        (*fewest * arguments.limit_growth + GROWTH).min(Duration::from_millis(arguments.limit_ms));
    match *most <= bound {
        true => Ok(()),
        false => Err(format!(
            "{} until the first write with {leases} leases: the bound is {}",
            milliseconds(*most),
            milliseconds(bound)
        )),
    }
}

/// Clients that write while the active node steps down.
const WRITERS: usize = 4;
/// Writes before it, and after.
const WRITES: u64 = 200;

/// The longest time without an acknowledged write, from when the active node was asked on.
async fn hand_over(tenure: &mut Tenure) -> Outcome<Duration> {
    let active = tenure.node(Through::Active).await?;
    let cluster = &mut tenure.cluster;
    let all: Vec<usize> = (0..cluster.nodes.len()).collect();
    let traffic = Traffic::start(cluster, &all, WRITERS)?;
    traffic.wait_acked(WRITES).await?;
    let asked = Instant::now();
    let stepped = cluster.root_at(active)?.step_down().await;
    stepped.map_err(|error| format!("step down: {error}"))?;
    cluster.wait_active_but(&[active]).await?;
    traffic.wait_acked(WRITES).await?;
    let gap = traffic.longest_gap(asked);
    traffic.finish().await?.verify(cluster, &all).await?;
    Ok(gap)
}

async fn restart(tenure: &mut Tenure) -> Outcome<(Duration, Duration)> {
    let node = tenure.node(Through::Active).await?;
    tenure.cluster.node_mut(node)?.kill();
    let started = Instant::now();
    tenure.cluster.restart(node).await?;
    let start = started.elapsed();
    let client = tenure.cluster.node(node)?.client();
    let shares = tenure.keys.quorum().to_vec();
    let (last, first) = shares.split_last().ok_or("no shares")?;
    for share in first {
        let given = client.unseal(share).await;
        given.map_err(|error| format!("unseal: {error}"))?;
    }
    let opened = Instant::now();
    let given = client.unseal(last).await;
    given.map_err(|error| format!("unseal: {error}"))?;
    let root = tenure.cluster.root_at(node)?;
    let root = root.with_retry_window(Duration::ZERO);
    until("the first write", SOON, async || {
        let made = root.create_token(request(HOUR)).await;
        made.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    Ok((start, opened.elapsed()))
}
