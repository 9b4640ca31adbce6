//! A parent of many tokens, and a prefix with many leases, revoked on three nodes: how long the call
//! takes beside the revocation of a single token, whether every node refuses at once, how long the
//! records stay, and what lookups take meanwhile. A node that accepts what was revoked fails the
//! run.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::{Outcome, until};
use tokio::time::sleep;

use super::{folder, median};
use crate::{
    client::Calls,
    foreground::{Foreground, Latency},
    limits::{CALM, FILL_CLIENTS, HOUR},
    maker::{Made, Maker, Tokens, fill, sample},
    openbao::OpenBao,
    system::System,
    tenure::{Leases, Tenure},
};

/// With how much.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Descendants of the parent, and then leases under the prefix
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    count: Vec<usize>,
    /// Lookups a second beside it
    #[arg(long, default_value_t = 1_000)]
    lookups: u32,
    /// The program `bao`; without it OpenBao is left out
    #[arg(long)]
    openbao: Option<PathBuf>,
    /// Descendants of OpenBao's parent
    #[arg(long, default_value_t = 10_000)]
    openbao_count: usize,
    /// Fail when the records stay longer than so many seconds for each 10,000
    #[arg(long, default_value_t = 10)]
    limit_seconds: u64,
}

/// Single tokens whose revocation is timed.
const LEAVES: usize = 50;
/// Records that all nodes are asked about.
const SAMPLED: usize = 200;
/// Where the leases lie.
const PREFIX: &str = "bench/tree";
/// The gauge of pending revocations is as old as this at most.
const GAUGE_AGE: Duration = Duration::from_millis(150);

/// Prints one line for each tree and each prefix.
///
/// # Errors
/// A node accepted what was revoked, or the records stayed too long.
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    println!(
        "Three nodes; {} lookups a second through all of them, p50 / p99 in ms from when each was \
         due.\n\n| what | records | revoked in | a leaf in | all nodes refuse after | accepted | \
         records gone after | lookups, calm | lookups, clean-up |\n|---|---|---|---|---|---|---|---|---|",
        arguments.lookups
    );
    let folder = folder(dir)?;
    let mut tenure = Tenure::start(&folder.path().join("tenure"), 3, false).await?;
    tenure.write_maker().await?;
    for count in arguments.count.iter().copied() {
        let bound = Duration::from_secs(arguments.limit_seconds * (1 + count as u64 / 10_000));
        let row = tree(&mut tenure, count, arguments.lookups).await?;
        row.judge(bound)?;
        let row = prefix(&mut tenure, count, arguments.lookups).await?;
        row.judge(bound)?;
    }
    drop(tenure);
    if let Some(program) = &arguments.openbao {
        let mut openbao = OpenBao::start(program, &folder.path().join("openbao"), 3).await?;
        openbao.write_maker().await?;
        let count = arguments.openbao_count;
        tree(&mut openbao, count, arguments.lookups).await?;
    }
    Ok(())
}

/// What came out.
struct Row {
    what: String,
    count: usize,
    revoked: Duration,
    leaf: Duration,
    asked: Duration,
    accepted: usize,
    gone: Duration,
    calm: Latency,
    during: Latency,
}

impl Row {
    fn print(&self) {
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
        println!(
            "| {} | {} | {} | {} | {} | {} of {} | {:.2} s | {} | {} |",
            self.what,
            self.count,
            ms(self.revoked),
            ms(self.leaf),
            ms(self.asked),
            self.accepted,
            3 * SAMPLED.min(self.count),
            self.gone.as_secs_f64(),
            self.calm,
            self.during,
        );
    }

    fn judge(&self, bound: Duration) -> Outcome<()> {
        if self.accepted > 0 {
            return Err(format!("{} that were revoked were accepted", self.accepted));
        }
        match self.gone <= bound {
            true => Ok(()),
            false => Err(format!("the records stayed longer than {bound:?}")),
        }
    }
}

/// A parent, its children, and theirs: about as many children as each of them has.
async fn tree<S: System>(system: &mut S, count: usize, lookups: u32) -> Outcome<Row> {
    let active = system.active().await?;
    let hour = || HOUR;
    let parent = fill(makers(system, active, 1, Vec::new()).await?, 1, hour).await?;
    let parent = parent.first().ok_or("no parent")?.thing.clone();
    let branches = count.isqrt().max(1).min(count);
    let from = vec![parent.clone()];
    let mut all = fill(
        makers(system, active, FILL_CLIENTS, from).await?,
        branches,
        hour,
    )
    .await?;
    let from = all.iter().map(|made| made.thing.clone()).collect();
    let leaves = makers(system, active, FILL_CLIENTS, from).await?;
    all.extend(fill(leaves, count - branches, hour).await?);
    let mut revoker = one(system.connect(active, 1).await?)?;
    // Its connection is used before its call is timed.
    revoker.create().await?;
    let mut checkers = Vec::new();
    for node in 0..system.nodes() {
        checkers.extend(makers(system, node, 1, Vec::new()).await?);
    }
    let what = format!("{}: a parent and its tree", S::NAME);
    let revoke = async move { revoker.revoke(&parent).await };
    measure(system, what, &all, checkers, revoke, lookups).await
}

/// Leases of root under one prefix.
async fn prefix(tenure: &mut Tenure, count: usize, lookups: u32) -> Outcome<Row> {
    let active = tenure.active().await?;
    let makers = Leases::of(tenure.connect(active, FILL_CLIENTS).await?, None, PREFIX);
    let all = fill(makers, count, || HOUR).await?;
    let mut checkers = Vec::new();
    for node in 0..tenure.nodes() {
        checkers.extend(Leases::of(tenure.connect(node, 1).await?, None, PREFIX));
    }
    let mut revoker = one(Leases::of(tenure.connect(active, 1).await?, None, PREFIX))?;
    let revoke = async move { revoker.revoke_all().await };
    let what = "Tenure: a prefix of leases".to_owned();
    let row = measure(tenure, what, &all, checkers, revoke, lookups).await?;
    let left = tenure.cluster.client()?.count_leases(PREFIX).await;
    match left.map_err(|error| error.to_string())? {
        0 => Ok(row),
        left => Err(format!("{left} leases are left under the prefix")),
    }
}

async fn measure<S: System, M: Maker>(
    system: &mut S,
    what: String,
    all: &[Made<M::Thing>],
    mut checkers: Vec<M>,
    revoke: impl Future<Output = Outcome<()>>,
    lookups: u32,
) -> Outcome<Row> {
    let things: Vec<M::Thing> = all.iter().map(|made| made.thing.clone()).collect();
    let sampled = sample(&things, SAMPLED);
    let leaf = leaf(system).await?;
    for checker in &mut checkers {
        for thing in sampled.iter().take(1) {
            if checker.refuses(thing).await? {
                return Err("a node refuses what isn't revoked".to_owned());
            }
        }
    }
    let foreground = Foreground::start(system, lookups).await?;
    sleep(CALM).await;
    let calm = foreground.take()?;

    let began = Instant::now();
    revoke.await?;
    let revoked = began.elapsed();
    let answered = Instant::now();
    let questions = tokio::task::spawn_local(ask(checkers, sampled, answered));
    sleep(GAUGE_AGE).await;
    let bound = Duration::from_secs(600);
    until(
        "the records are cleared away",
        bound,
        async || match system.is_clean().await? {
            true => Ok(()),
            false => Err("there are some".to_owned()),
        },
    )
    .await?;
    let gone = answered.elapsed();
    let during = foreground.take()?;
    let (accepted, asked) = questions.await.map_err(|error| error.to_string())??;
    let row = Row {
        what,
        count: all.len(),
        revoked,
        leaf,
        asked,
        accepted,
        gone,
        calm,
        during,
    };
    row.print();
    Ok(row)
}

/// How many of these some node takes, all nodes asked at once, and when each of them had answered
/// its first question.
async fn ask<M: Maker>(
    checkers: Vec<M>,
    sampled: Vec<M::Thing>,
    since: Instant,
) -> Outcome<(usize, Duration)> {
    let mut tasks = tokio::task::JoinSet::new();
    for mut checker in checkers {
        let sampled = sampled.clone();
        tasks.spawn_local(async move {
            let (mut accepted, mut first) = (0, None);
            for thing in &sampled {
                accepted += usize::from(!checker.refuses(thing).await?);
                first.get_or_insert_with(|| since.elapsed());
            }
            Ok::<_, String>((accepted, first.unwrap_or_default()))
        });
    }
    let (mut accepted, mut asked) = (0, Duration::ZERO);
    while let Some(one) = tasks.join_next().await {
        let (more, first) = one.map_err(|error| format!("a checker broke: {error}"))??;
        (accepted, asked) = (accepted + more, asked.max(first));
    }
    Ok((accepted, asked))
}

/// The median time to revoke a token that has nothing below it.
async fn leaf<S: System>(system: &mut S) -> Outcome<Duration> {
    let active = system.active().await?;
    let mut calls = one(system.connect(active, 1).await?)?;
    let mut times = Vec::new();
    for _ in 0..LEAVES {
        let token = calls.create_child(None, HOUR).await?;
        let began = Instant::now();
        calls.revoke(&token).await?;
        times.push(began.elapsed());
    }
    Ok(median(&mut times))
}

async fn makers<S: System>(
    system: &S,
    node: usize,
    clients: usize,
    parents: Vec<<S::Client as Calls>::Token>,
) -> Outcome<Vec<Tokens<S::Client>>> {
    Ok(Tokens::of(system.connect(node, clients).await?, parents))
}

fn one<T>(mut all: Vec<T>) -> Outcome<T> {
    all.pop().ok_or_else(|| "no client".to_owned())
}
