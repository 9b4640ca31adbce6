//! Processes that end and begin again: what was revoked stays revoked, what was initialised
//! can be opened, and a hand-over survives its target.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use tenure_client::Secret;
use tenure_tests::scale;
use tenure_tests::server_cluster::{
    Outcome, SOON, ServerCluster, ServerNode, ServerOptions, Traffic, in_parallel, refused_token,
    until,
};

use crate::{ALL, ensure, make, others, run, text, three, wish, write_service_policy};

/// Calls under way at once while tokens are made or checked.
const WORKERS: usize = 16;

/// A token, and whether it must be accepted.
type Expected = (Secret, bool);

/// Tokens are revoked with and without their children, and all processes are told to end at
/// once: from its first answer on, each node refuses what was revoked, and goes on refusing
/// it, and accepts the orphans.
///
/// What a node refuses without looking at the token's own record (a revoked ancestor whose
/// children are not removed yet) it must load before it serves.
#[test]
fn revocations_survive_a_restart() {
    run("restart::revocations_survive_a_restart", async |scenario| {
        for nodes in [1, 3] {
            let name = format!("of-{nodes}");
            let (dir, logs) = (scenario.dir().join(&name), scenario.logs().join(&name));
            let options = ServerOptions::new(nodes)?;
            let mut cluster = ServerCluster::start(&dir, &logs, options).await?;
            write_service_policy(&cluster).await?;
            let tokens = revoke_some(&cluster).await?;
            for index in 0..nodes {
                cluster.node_mut(index)?.process()?.terminate();
            }
            for index in 0..nodes {
                ended(cluster.node_mut(index)?).await?;
            }
            for index in 0..nodes {
                cluster.restart(index).await?;
            }
            for index in 0..nodes {
                cluster.unseal(index).await?;
                // At once: this node alone may be open yet.
                check(&cluster, index, tokens.clone()).await?;
            }
            cluster.wait_complete().await?;
            let end = Instant::now() + Duration::from_secs(3);
            let mut rounds = 0;
            while Instant::now() < end {
                for index in 0..nodes {
                    check(&cluster, index, tokens.clone()).await?;
                }
                rounds += 1;
            }
            scenario.say(format!("{nodes} nodes: agreed {rounds} times over"));
        }
        Ok(())
    });
}

/// One tree is revoked, another token is revoked alone. The revocations are the last calls.
async fn revoke_some(cluster: &ServerCluster) -> Outcome<Vec<Expected>> {
    let root = cluster.client()?;
    let (gone, _) = make(&root, wish("gone")).await?;
    let (alone, _) = make(&root, wish("alone")).await?;
    let (bystander, _) = make(&root, wish("bystander")).await?;
    let mut tokens = vec![
        (gone.clone(), false),
        (alone.clone(), false),
        (bystander, true),
    ];
    for (parent, good) in [(&gone, false), (&alone, true)] {
        let parent = cluster.node(0)?.client_of(parent);
        let mut made = Vec::new();
        for number in 0..100 {
            made.push(make(&parent, wish(&format!("child-{number}"))).await?.0);
        }
        let child = cluster.node(0)?.client_of(&made[0]);
        made.push(make(&child, wish("grandchild")).await?.0);
        tokens.extend(made.into_iter().map(|token| (token, good)));
    }
    root.revoke_orphan(&alone).await.map_err(text)?;
    root.revoke_token(&gone).await.map_err(text)?;
    Ok(tokens)
}

/// A node's answers about tokens, as shown to the tokens themselves and to root.
async fn check(cluster: &ServerCluster, index: usize, tokens: Vec<Expected>) -> Outcome<()> {
    let node = cluster.node(index)?;
    let (name, root) = (node.name.clone(), cluster.root_at(index)?);
    in_parallel(tokens, WORKERS, |(token, good)| {
        let own = node.client_of(&token);
        let (name, root) = (name.clone(), root.clone());
        async move {
            judge(&name, good, || own.lookup_self()).await?;
            judge(&name, good, || root.lookup_token(&token)).await
        }
    })
    .await
}

/// Asks until there is an answer, which must be the right one. A node that has no active
/// node yet is asked again.
async fn judge<T, F>(name: &str, good: bool, ask: impl Fn() -> F) -> Outcome<()>
where
    F: Future<Output = Result<T, tenure_client::Error>>,
{
    let end = Instant::now() + SOON;
    loop {
        match ask().await {
            Ok(_) if good => return Ok(()),
            Ok(_) => return Err(format!("{name} accepts a token that was revoked")),
            Err(error) if refused_token(&error) && !good => return Ok(()),
            Err(error) if refused_token(&error) => {
                return Err(format!("{name} refuses a good token: {error}"));
            }
            Err(error) if Instant::now() >= end => return Err(format!("{name}: {error}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn ended(node: &mut ServerNode) -> Outcome<()> {
    let what = format!("{} ends", node.name);
    let end = until(&what, SOON, async || {
        node.process()?.exited().ok_or_else(|| "it runs".to_owned())
    })
    .await?;
    ensure(end.success(), || format!("it ended with {end}"))
}

/// The shares were shown once. From then on the node must be initialised, however it ends.
#[test]
fn a_single_node_killed_after_init_can_be_unsealed() {
    run(
        "restart::a_single_node_killed_after_init_can_be_unsealed",
        async |scenario| {
            for (shares, threshold) in [(1, 1), (3, 2)] {
                for round in 0..scale() {
                    let name = format!("{threshold}-of-{shares}-{round}");
                    let (dir, logs) = (scenario.dir().join(&name), scenario.logs().join(&name));
                    let options = ServerOptions::new(1)?;
                    let mut cluster = ServerCluster::spawn(&dir, &logs, options).await?;
                    cluster.init(shares, threshold).await?;
                    cluster.node_mut(0)?.kill();
                    open_again(&mut cluster, shares, threshold)
                        .await
                        .map_err(|why| format!("{name}: {why}"))?;
                    scenario.say(format!("{name}: opened again"));
                }
            }
            Ok(())
        },
    );
}

async fn open_again(cluster: &mut ServerCluster, shares: u32, threshold: u32) -> Outcome<()> {
    cluster.restart(0).await?;
    let node = cluster.node(0)?;
    let status = until(
        "it says that it is initialised",
        SOON,
        async || match node.status().await {
            Ok(status) if status.initialized => Ok(status),
            Ok(status) => Err(format!("{status:?}")),
            Err(error) => Err(error.to_string()),
        },
    )
    .await?;
    let split = (status.shares, status.threshold);
    ensure(status.sealed && split == (shares, threshold), || {
        format!("{status:?}")
    })?;
    let again = node.client().init(shares, threshold).await;
    let reason = again
        .err()
        .and_then(|error| error.reason().map(str::to_owned));
    ensure(reason.as_deref() == Some("ALREADY_INITIALIZED"), || {
        format!("init again: {reason:?}")
    })?;
    // Not the first ones: every share was kept, or none.
    let mut keys = cluster.keys()?.shares.clone();
    keys.reverse();
    keys.truncate(threshold as usize);
    node.unseal(&keys).await?;
    let root = cluster.root_at(0)?;
    root.lookup_self().await.map_err(text)?;
    let (token, _) = make(&root, wish("first")).await?;
    node.accepts(&token).await
}

/// No write for longer than this around a hand-over that goes wrong: the waits for the target
/// (2 s to catch up, two leases to take over) and an election, with room for a busy machine.
const HAND_OVER_GAP: Duration = Duration::from_secs(10);

/// The active node is told to step down while the node that it would choose sleeps, and then
/// while it is killed in the middle: others serve soon, and nothing acknowledged is lost.
#[test]
fn a_hand_over_target_that_dies() {
    run("restart::a_hand_over_target_that_dies", async |scenario| {
        let mut cluster = three(scenario).await?;
        for round in 0..2 * scale() {
            let gap = target_sleeps(&mut cluster, round).await;
            let gap = gap.map_err(|why| format!("asleep, round {round}: {why}"))?;
            scenario.say(format!("asleep, round {round}: gap {} ms", gap.as_millis()));
        }
        for round in 0..3 * scale() {
            let (victim, gap) = target_is_killed(&mut cluster)
                .await
                .map_err(|why| format!("killed, round {round}: {why}"))?;
            let gap = gap.as_millis();
            scenario.say(format!("killed {victim}, round {round}: gap {gap} ms"));
        }
        Ok(())
    });
}

/// One standby sleeps, another one each round: of two that are equally caught up the one with
/// the lower id is chosen.
async fn target_sleeps(cluster: &mut ServerCluster, round: usize) -> Outcome<Duration> {
    let active = cluster.wait_active().await?;
    let sleeper = others(active)[round % 2];
    let awake = others(sleeper);
    let traffic = Traffic::start(cluster, &awake, 4)?;
    traffic.wait_acked(50).await?;
    let began = Instant::now();
    cluster.node_mut(sleeper)?.process()?.pause();
    let asked = cluster.root_at(active)?.with_retry_window(Duration::ZERO);
    // It may be told that nobody took over; service has to resume in any case.
    let _ = asked.step_down().await;
    cluster.wait_active_but(&[sleeper]).await?;
    traffic.wait_acked(100).await?;
    let gap = traffic.longest_gap(began);
    cluster.node_mut(sleeper)?.process()?.resume();
    let notes = traffic.finish().await?;
    cluster.wait_active().await?;
    cluster.wait_complete().await?;
    notes.verify(cluster, &ALL).await?;
    ensure(gap < HAND_OVER_GAP, || format!("a gap of {gap:?}"))?;
    Ok(gap)
}

/// The target is killed as soon as the active node says that it hands over to it.
async fn target_is_killed(cluster: &mut ServerCluster) -> Outcome<(usize, Duration)> {
    let active = cluster.wait_active().await?;
    let traffic = Traffic::start(cluster, &ALL, 4)?;
    traffic.wait_acked(50).await?;
    let mut ids = Vec::new();
    for index in ALL {
        ids.push(cluster.member(index).await?.node_id);
    }
    let process = cluster.node_mut(active)?.process()?;
    let logs = [process.stdout().to_owned(), process.stderr().to_owned()];
    let mut from = Vec::new();
    for log in &logs {
        from.push(fs::metadata(log).map_err(text)?.len());
    }
    let asked = cluster.root_at(active)?.with_retry_window(Duration::ZERO);
    let began = Instant::now();
    let asked = tokio::spawn(async move { asked.step_down().await });
    let target = until("it hands over", SOON, async || {
        let found = logs.iter().zip(&from).find_map(|(log, from)| {
            let new = read_from(log, *from).ok()?;
            let line = new
                .lines()
                .find(|line| line.contains("handing over leadership"))?;
            target_of(line)
        });
        found.ok_or("no line about it in the log")
    })
    .await?;
    let victim = ids.iter().position(|id| *id == target);
    let victim = victim.ok_or_else(|| format!("{target} is no member's id"))?;
    cluster.node_mut(victim)?.kill();
    let _ = asked.await.map_err(text)?;
    cluster.wait_active().await?;
    traffic.wait_acked(100).await?;
    let gap = traffic.longest_gap(began);
    cluster.restart(victim).await?;
    cluster.unseal(victim).await?;
    cluster.wait_complete().await?;
    let notes = traffic.finish().await?;
    notes.verify(cluster, &ALL).await?;
    ensure(gap < HAND_OVER_GAP, || format!("a gap of {gap:?}"))?;
    Ok((victim, gap))
}

fn read_from(log: &Path, from: u64) -> std::io::Result<String> {
    let mut file = fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut new = Vec::new();
    file.read_to_end(&mut new)?;
    Ok(String::from_utf8_lossy(&new).into_owned())
}

/// The number of the field `to` of a log line, as text or as JSON.
fn target_of(line: &str) -> Option<u64> {
    let after = ["to=", "\"to\":"]
        .iter()
        .find_map(|field| line.split_once(field))?
        .1;
    let digits = after.find(|c: char| !c.is_ascii_digit());
    after[..digits.unwrap_or(after.len())].parse().ok()
}
