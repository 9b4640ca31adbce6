//! Many tokens, tokens with a child each, or leases that are due at once on three nodes: whether
//! every node refuses them from their time on, how late they are cleared away, and what lookups
//! take meanwhile. Tokens live for whole seconds and are due within one; the leases of a batch
//! token end in one millisecond, with it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::{Outcome, until};
use tokio::time::{sleep, sleep_until};

use super::{folder, milliseconds};
use crate::{
    foreground::{Foreground, Latency},
    limits::{CALM, FILL_CLIENTS, HOUR},
    maker::{Made, Maker, Tokens, fill, sample},
    openbao::OpenBao,
    system::System,
    tenure::{Leases, Tenure},
};

/// With how many.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tokens that are due at once, and then leases
    #[arg(long, value_delimiter = ',', default_value = "10000,50000")]
    count: Vec<usize>,
    /// Lookups a second beside it
    #[arg(long, default_value_t = 1_000)]
    lookups: u32,
    /// How many are made a second at least: the more, the shorter the run
    #[arg(long, default_value_t = 1_000)]
    made: u32,
    /// The program `bao`; without it OpenBao is left out
    #[arg(long)]
    openbao: Option<PathBuf>,
    /// OpenBao's tokens
    #[arg(long, default_value_t = 10_000)]
    openbao_count: usize,
    /// OpenBao makes so many a second at least
    #[arg(long, default_value_t = 250)]
    openbao_made: u32,
    /// Fail when the last one is later than so many seconds for each 10,000
    #[arg(long, default_value_t = 5)]
    limit_seconds: u64,
}

/// Records that all nodes are asked about.
const SAMPLED: usize = 200;
/// The cluster's time follows the median of its nodes' clocks, as the nodes hear of them: it may be
/// so much behind this clock, and what ends by it ends so much later.
const CLOCKS_DIFFER: Duration = Duration::from_millis(100);
/// From the end of the calm part until the first is due.
const BEFORE: Duration = Duration::from_millis(500);

/// Prints one line for each number.
///
/// # Errors
/// A node accepted what had ended, or it was cleared away too late.
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    println!(
        "Three nodes; {} lookups a second through all of them, p50 / p99 in ms from when each was \
         due.\n\n| what | due | within | accepted until, after their time | late, p50 | p99 | last | \
         lookups, calm | lookups, clean-up |\n|---|---|---|---|---|---|---|---|---|",
        arguments.lookups
    );
    let folder = folder(dir)?;
    let mut tenure = Tenure::start(&folder.path().join("tenure"), 3, false).await?;
    tenure.write_maker().await?;
    for count in arguments.count.iter().copied() {
        let bound = Duration::from_secs(arguments.limit_seconds * (1 + count as u64 / 10_000));
        let (made, lookups) = (arguments.made, arguments.lookups);
        tokens(&mut tenure, count, made, lookups)
            .await?
            .judge(bound)?;
        trees(&mut tenure, count, made, lookups)
            .await?
            .judge(bound)?;
        leases(&mut tenure, count, made, lookups)
            .await?
            .judge(bound)?;
    }
    drop(tenure);
    if let Some(program) = &arguments.openbao {
        let mut openbao = OpenBao::start(program, &folder.path().join("openbao"), 3).await?;
        openbao.write_maker().await?;
        let (count, made) = (arguments.openbao_count, arguments.openbao_made);
        tokens(&mut openbao, count, made, arguments.lookups).await?;
    }
    Ok(())
}

/// What came out.
struct Row {
    what: String,
    count: usize,
    within: Duration,
    asked: Asked,
    late: Vec<Duration>,
    calm: Latency,
    during: Latency,
}

impl Row {
    /// How late all but a part of them were cleared away.
    fn late(&self, part: f64) -> Duration {
        let index = (self.late.len() as f64 * part) as usize;
        let last = self.late.len().saturating_sub(1);
        self.late.get(index.min(last)).copied().unwrap_or_default()
    }

    fn print(&self) {
        println!(
            "| {} | {} | {} | {} ({} asked) | {} | {} | {} | {} | {} |",
            self.what,
            self.count,
            milliseconds(self.within),
            milliseconds(self.asked.accepted),
            self.asked.count,
            milliseconds(self.late(0.5)),
            milliseconds(self.late(0.99)),
            milliseconds(self.late(1.0)),
            self.calm,
            self.during,
        );
    }

    fn judge(&self, bound: Duration) -> Outcome<()> {
        if self.asked.count == 0 || self.asked.accepted > CLOCKS_DIFFER {
            return Err(format!(
                "accepted {} after its time, of {} asked",
                milliseconds(self.asked.accepted),
                self.asked.count
            ));
        }
        match self.late(1.0) <= bound {
            true => Ok(()),
            false => Err(format!("the last one was later than {bound:?}")),
        }
    }
}

/// The instant at which `count` that are made at this rate can be due.
fn instant(count: usize, made: u32) -> Instant {
    let fill = Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / made.max(1);
    Instant::now() + fill + CALM + BEFORE + Duration::from_secs(2)
}

/// Whole seconds that end after the instant.
fn seconds_to(instant: Instant) -> Duration {
    let left = instant.saturating_duration_since(Instant::now());
    Duration::from_secs(left.as_secs() + 1)
}

async fn tokens<S: System>(system: &mut S, count: usize, made: u32, lookups: u32) -> Outcome<Row> {
    let active = system.active().await?;
    let end = instant(count, made);
    let makers = Tokens::of(system.connect(active, FILL_CLIENTS).await?, Vec::new());
    let all = fill(makers, count, move || seconds_to(end)).await?;
    let mut checkers = Vec::new();
    for node in 0..system.nodes() {
        checkers.extend(Tokens::of(system.connect(node, 1).await?, Vec::new()));
    }
    let what = format!("{}: tokens", S::NAME);
    measure(system, what, all, checkers, lookups).await
}

/// Tokens with a child each, which ends with them: half of them are due.
async fn trees(tenure: &mut Tenure, count: usize, made: u32, lookups: u32) -> Outcome<Row> {
    let (active, half) = (tenure.active().await?, count / 2);
    let end = instant(count, made);
    let makers = Tokens::of(tenure.connect(active, FILL_CLIENTS).await?, Vec::new());
    let all = fill(makers, half, move || seconds_to(end)).await?;
    let parents = all.iter().map(|made| made.thing.clone()).collect();
    let makers = Tokens::of(tenure.connect(active, FILL_CLIENTS).await?, parents);
    fill(makers, half, || HOUR).await?;
    let mut checkers = Vec::new();
    for node in 0..tenure.nodes() {
        checkers.extend(Tokens::of(tenure.connect(node, 1).await?, Vec::new()));
    }
    let what = "Tenure: tokens with a child each".to_owned();
    measure(tenure, what, all, checkers, lookups).await
}

async fn leases(tenure: &mut Tenure, count: usize, made: u32, lookups: u32) -> Outcome<Row> {
    let active = tenure.active().await?;
    let ttl = seconds_to(instant(count, made));
    let mut clients = tenure.connect(active, 1).await?;
    let maker = clients.pop().ok_or("no client")?;
    let owner = maker.batch(ttl).await?;
    let path = "bench/expiry";
    let makers = Leases::of(
        tenure.connect(active, FILL_CLIENTS).await?,
        Some(&owner.thing),
        path,
    );
    let mut all = fill(makers, count, move || ttl * 2).await?;
    for lease in &mut all {
        (lease.due_from, lease.due_by) = (owner.due_from, owner.due_by);
    }
    let mut checkers = Vec::new();
    for node in 0..tenure.nodes() {
        checkers.extend(Leases::of(tenure.connect(node, 1).await?, None, path));
    }
    let what = "Tenure: leases".to_owned();
    measure(tenure, what, all, checkers, lookups).await
}

async fn measure<S: System, M: Maker>(
    system: &mut S,
    what: String,
    mut all: Vec<Made<M::Thing>>,
    mut checkers: Vec<M>,
    lookups: u32,
) -> Outcome<Row> {
    all.sort_by_key(|made| made.due_from);
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Err("nothing is due".to_owned());
    };
    let (first, last) = (first.due_from, last.due_from);
    let sampled = sample(&all, SAMPLED);
    for checker in &mut checkers {
        for made in sampled.iter().take(5) {
            if checker.refuses(&made.thing).await? {
                return Err("a node refuses what hasn't ended".to_owned());
            }
        }
    }
    let foreground = Foreground::start(system, lookups).await?;
    let calm_until = first
        .checked_sub(BEFORE)
        .filter(|until| *until > Instant::now() + CALM)
        .ok_or("filling took too long: give a lower --made")?;
    sleep_until((calm_until - CALM).into()).await;
    foreground.take()?;
    sleep_until(calm_until.into()).await;
    let calm = foreground.take()?;
    let before = system.cleared().await?;
    sleep_until(first.into()).await;
    foreground.take()?;
    let questions = tokio::task::spawn_local(ask(checkers, sampled, last));
    // How many were gone, and when that was seen.
    let mut gone = Vec::new();
    let bound = Duration::from_secs(600);
    let wanted = i64::try_from(all.len()).unwrap_or(i64::MAX);
    until("all are cleared away", bound, async || {
        let mut count = system.cleared().await? - before;
        if count >= wanted && !system.is_clean().await? {
            // What hung on the last ones is still there.
            count = wanted - 1;
        }
        gone.push((Instant::now(), count));
        match count >= wanted {
            true => Ok(()),
            false => {
                sleep(S::LOOK_EVERY).await;
                Err(format!("{count} of {wanted}"))
            }
        }
    })
    .await?;
    let during = foreground.take()?;
    let asked = questions.await.map_err(|error| error.to_string())??;
    let row = Row {
        what,
        count: all.len(),
        within: last - first,
        asked,
        late: lateness(&all, &gone),
        calm,
        during,
    };
    row.print();
    Ok(row)
}

/// What nodes said of what has ended.
#[derive(Default)]
struct Asked {
    count: usize,
    /// How long after its time something was still accepted.
    accepted: Duration,
}

/// Asks all nodes about what has ended, a second longer than the last of them lives.
async fn ask<M: Maker>(
    mut checkers: Vec<M>,
    sampled: Vec<Made<M::Thing>>,
    last: Instant,
) -> Outcome<Asked> {
    let mut asked = Asked::default();
    let end = last + Duration::from_secs(1);
    for made in sampled.iter().cycle() {
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now < made.due_by {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        for checker in &mut checkers {
            let after = made.due_by.elapsed();
            asked.count += 1;
            if !checker.refuses(&made.thing).await? {
                asked.accepted = asked.accepted.max(after);
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(asked)
}

/// How late each was seen to be gone, in order: they go in the order in which they are due.
fn lateness<T>(all: &[Made<T>], gone: &[(Instant, i64)]) -> Vec<Duration> {
    let mut looks = gone.iter();
    let mut look = looks.next();
    let mut late = Vec::with_capacity(all.len());
    for (number, made) in (1..).zip(all) {
        while look.is_some_and(|(_, count)| *count < number) {
            look = looks.next();
        }
        if let Some((at, _)) = look {
            late.push(at.saturating_duration_since(made.due_from));
        }
    }
    late.sort();
    late
}
