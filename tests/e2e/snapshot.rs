//! A node lacks so much that the others' logs don't reach back: it is sent a snapshot, while
//! all of them are unsealed and clients write.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure_client::{Client, Secret};
use tenure_raft::limits::{PEER_KEEPALIVE_INTERVAL_MS, PEER_KEEPALIVE_TIMEOUT_MS};
use tenure_tests::Scenario;
use tenure_tests::server_cluster::{
    Outcome, SOON, ServerCluster, ServerOptions, Traffic, refused_token, until,
};
use tokio::task::JoinHandle;

use crate::{ensure, make, others, run, start, text, wish};

/// Entries that the nodes keep behind a snapshot, and those that a purge may leave, since it
/// goes in batches of 256.
const ENTRIES_KEPT: u64 = 100 + 300;

/// A node that sleeps has given up no connection, and what was sent to it waits in there. Peers
/// give their ends up when a probe has no answer; what is written later reaches it no more.
const UNHEARD: Duration =
    Duration::from_millis(PEER_KEEPALIVE_INTERVAL_MS + PEER_KEEPALIVE_TIMEOUT_MS + 1_000);

/// A cluster that makes snapshots soon, and keeps little log behind them.
async fn forgetful(scenario: &Scenario) -> Outcome<ServerCluster> {
    let options = ServerOptions {
        log_level: "error".to_owned(),
        storage: "  snapshot_threshold_bytes = 1048576\n  trailing_logs = 100\n".to_owned(),
        ..ServerOptions::new(3)?
    };
    start(scenario, options).await
}

/// A standby is killed, and misses more than the log holds. It comes back, is sent a snapshot,
/// is unsealed, and holds everything: what was made and what was revoked while it was away.
///
/// Planted bug: an installed snapshot doesn't make the node read its revocations again. Caught:
/// a child was refused whose parent had been revoked alone.
#[test]
fn a_node_that_was_away_is_sent_a_snapshot() {
    run(
        "snapshot::a_node_that_was_away_is_sent_a_snapshot",
        async |scenario| {
            let mut cluster = forgetful(scenario).await?;
            let away = cluster.standby().await?;
            let family = Family::new(&cluster).await?;
            cluster.node_mut(away)?.kill();
            let had = generation(&cluster, away)?;
            let traffic = leave_behind(&mut cluster, away, &family, Duration::ZERO).await?;

            cluster.restart(away).await?;
            cluster.unseal(away).await?;
            family.is_judged(&cluster, away).await?;
            traffic.wait_acked(50).await?;
            let notes = traffic.finish().await?;
            cluster.wait_complete().await?;
            ensure(generation(&cluster, away)? != had, || {
                "no snapshot was installed".into()
            })?;
            scenario.say(format!(
                "{} live, {} revoked",
                notes.live.len(),
                notes.revoked.len()
            ));
            notes.verify(&cluster, &[away]).await?;
            family.is_judged(&cluster, away).await
        },
    );
}

/// The same with a node that is only asleep: it runs, unsealed, and clients ask it the whole
/// time. The state is replaced under its hands; from then on it shows the new one alone.
///
/// Planted bug: the same. Caught in the same way.
#[test]
fn a_running_node_is_sent_a_snapshot() {
    run(
        "snapshot::a_running_node_is_sent_a_snapshot",
        async |scenario| {
            let mut cluster = forgetful(scenario).await?;
            let away = cluster.standby().await?;
            let family = Family::new(&cluster).await?;
            let had = generation(&cluster, away)?;
            cluster.node_mut(away)?.process()?.pause();
            let traffic = leave_behind(&mut cluster, away, &family, UNHEARD).await?;

            // Queued while it sleeps, and asked all along while its state is replaced.
            let askers = Askers::start(&cluster, away, &family)?;
            cluster.node_mut(away)?.process()?.resume();
            until("a snapshot is installed", SOON, async || {
                let now = generation(&cluster, away)?;
                ensure(now != had, || "the same generation".into())
            })
            .await?;
            family.is_judged(&cluster, away).await?;
            traffic.wait_acked(50).await?;
            let notes = traffic.finish().await?;
            cluster.wait_complete().await?;
            askers.finish().await?;
            notes.verify(&cluster, &[away]).await?;
            family.is_judged(&cluster, away).await?;
            // It is a node like the others: it can lead, with this state.
            until("it is active", SOON, async || {
                let active = cluster.wait_active().await?;
                if active != away {
                    let _ = cluster.root_at(active)?.step_down().await;
                }
                ensure(active == away, || format!("node {active} is"))
            })
            .await?;
            let (late, _) = make(&cluster.root_at(away)?, wish("late")).await?;
            for node in &cluster.nodes {
                node.accepts(&late).await?;
            }
            family.is_judged(&cluster, away).await
        },
    );
}

/// Two parents that are revoked while a node is away: one with its child, which is dead by that
/// alone, and one without.
struct Family {
    parent: Secret,
    child: Secret,
    lone_parent: Secret,
    orphan: Secret,
}

impl Family {
    async fn new(cluster: &ServerCluster) -> Outcome<Self> {
        let mut made = Vec::new();
        for _ in 0..2 {
            let (parent, _) = make(&cluster.client()?, wish("parent")).await?;
            let (child, _) = make(&cluster.node(0)?.client_of(&parent), wish("child")).await?;
            for node in &cluster.nodes {
                node.accepts(&child).await?;
            }
            made.extend([parent, child]);
        }
        let [parent, child, lone_parent, orphan] = made
            .try_into()
            .map_err(|_| "two parents and their children".to_owned())?;
        Ok(Self {
            parent,
            child,
            lone_parent,
            orphan,
        })
    }

    async fn revoke(&self, client: &Client) -> Outcome<()> {
        client.revoke_token(&self.parent).await.map_err(text)?;
        client.revoke_orphan(&self.lone_parent).await.map_err(text)
    }

    async fn is_judged(&self, cluster: &ServerCluster, index: usize) -> Outcome<()> {
        let node = cluster.node(index)?;
        for gone in [&self.child, &self.parent, &self.lone_parent] {
            node.refuses(gone).await?;
        }
        node.accepts(&self.orphan).await
    }
}

/// Revokes the family while `away` doesn't notice, and writes until the others' logs no longer
/// hold what it lacks. The writers begin `unheard` before, and go on.
async fn leave_behind(
    cluster: &mut ServerCluster,
    away: usize,
    family: &Family,
    unheard: Duration,
) -> Outcome<Traffic> {
    let rest = cluster.client_of(&others(away))?;
    let traffic = Traffic::start(cluster, &others(away), 8)?;
    tokio::time::sleep(unheard).await;
    family.revoke(&rest).await?;
    let last = rest.cluster_status().await.map_err(text)?.committed_index;
    let goal = last + ENTRIES_KEPT;
    until("snapshots cover what it lacks", SOON * 2, async || {
        for index in others(away) {
            let covered = snapshot_index(&cluster.node(index)?.data);
            ensure(covered >= goal, || format!("{covered} of {goal}"))?;
        }
        Ok::<_, String>(())
    })
    .await?;
    // The leader keeps what it tries to send to the one that is away; another one has no
    // reason to.
    rest.step_down().await.map_err(text)?;
    cluster.wait_active_but(&[away]).await?;
    Ok(traffic)
}

/// Clients that ask one node about the child all the time.
struct Askers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Outcome<()>>>,
}

impl Askers {
    fn start(cluster: &ServerCluster, index: usize, family: &Family) -> Outcome<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for number in 0..8 {
            let client = match number % 2 {
                0 => cluster.node(index)?.client_of(&family.child),
                _ => cluster.root_at(index)?,
            };
            let client = client.with_deadline(SOON).with_retry_window(Duration::ZERO);
            let (child, stop) = (family.child.clone(), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let shown = match number % 2 {
                        0 => client.lookup_self().await,
                        _ => client.lookup_token(&child).await,
                    };
                    match shown {
                        Ok(_) => return Err("a child of a revoked token is shown".to_owned()),
                        Err(error) if refused_token(&error) => {}
                        // It says that it can't tell now.
                        Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
                Ok(())
            }));
        }
        Ok(Self { stop, tasks })
    }

    async fn finish(self) -> Outcome<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.map_err(text)??;
        }
        Ok(())
    }
}

/// The name of the generation of a node's state: another one after each installed snapshot.
fn generation(cluster: &ServerCluster, index: usize) -> Outcome<Vec<u8>> {
    fs::read(cluster.node(index)?.data.join("state/CURRENT")).map_err(text)
}

/// Where the newest complete snapshot of a node ends: its folder is called
/// `<term>-<index>-<number>`.
fn snapshot_index(data: &Path) -> u64 {
    let folders = fs::read_dir(data.join("snapshots"));
    let names = folders.into_iter().flatten().flatten();
    names
        .filter_map(|folder| {
            let name = folder.file_name().into_string().ok()?;
            name.split('-').nth(1)?.parse().ok()
        })
        .max()
        .unwrap_or(0)
}
