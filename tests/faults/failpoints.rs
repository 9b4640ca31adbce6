//! kill -9 at each moment that matters: a failpoint at every persist boundary, on one node
//! and on three, under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::{Duration, Instant};

use tenure_tests::cluster::SOON;
use tenure_tests::{Cluster, ClusterOptions, Load, Random, Scenario, eventually, scale};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");

/// Passed by every write: met within a moment under load.
const WRITING: &[&str] = &[
    "append::before_sync",
    "append::after_sync",
    "marker::before_sync",
    "apply::before",
    "apply::after",
];
/// Passed when a snapshot is built.
const SNAPSHOT: &[&str] = &[
    "snapshot::build",
    "flush::before",
    "flush::after",
    "snapshot::checkpointed",
    "purge::before",
    "purge::after",
];
/// Passed when a vote is saved.
const VOTE: &[&str] = &["vote::before_sync", "vote::after_sync"];

fn options(nodes: usize) -> ClusterOptions {
    ClusterOptions {
        snapshot_log_bytes: 512 << 10,
        // Few, so that purges happen in a test's time.
        entries_kept: 40,
        ..ClusterOptions::new(NODE, nodes)
    }
}

fn start(scenario: &Scenario, nodes: usize) -> Cluster {
    let mut cluster = Cluster::unstarted(scenario, options(nodes));
    cluster.bootstrap();
    for index in 1..nodes {
        cluster.spawn(index);
        cluster.nodes[index].wait_up();
        cluster.join(index);
    }
    cluster.wait_voters(nodes);
    cluster
}

/// Waits until the armed node is dead, and that it died at the failpoint.
fn wait_death(
    cluster: &mut Cluster,
    index: usize,
    failpoint: &str,
    mut nudge: impl FnMut(&Cluster),
) {
    let end = Instant::now() + SOON;
    while cluster.nodes[index].runs() {
        assert!(
            Instant::now() < end,
            "{failpoint} was not met\n{}",
            cluster.nodes[index].log_tail()
        );
        nudge(cluster);
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = cluster.process(index).was_killed();
    assert!(
        killed,
        "{failpoint}: died otherwise\n{}",
        cluster.nodes[index].log_tail()
    );
}

fn arm(cluster: &Cluster, index: usize, failpoint: &str, skip: u64) {
    let actions = format!("{skip}*off->panic");
    // It may die before it answers.
    let _ = cluster.nodes[index].call(&format!("arm {failpoint} {actions}"));
}

fn skips(failpoint: &str, random: &mut Random) -> u64 {
    if WRITING.contains(&failpoint) {
        random.between(1, 40)
    } else {
        random.between(1, 2)
    }
}

#[test]
fn killed_at_every_failpoint_single_node() {
    let scenario = Scenario::new("killed_at_every_failpoint_single_node");
    let mut random = scenario.random();
    let mut cluster = start(&scenario, 1);
    let load = Load::start(&cluster.controls(), 8, "points", &mut random);
    for _ in 0..scale() {
        for failpoint in WRITING.iter().chain(SNAPSHOT) {
            load.wait_acked(20, SOON);
            arm(&cluster, 0, failpoint, skips(failpoint, &mut random));
            wait_death(&mut cluster, 0, failpoint, |cluster| {
                if SNAPSHOT.contains(failpoint) {
                    let _ = cluster.nodes[0].call("snapshot");
                }
            });
            cluster.restart(0);
            cluster.wait_active();
            scenario.say(format!("{failpoint}: {} acknowledged", load.acked()));
        }
        for failpoint in VOTE {
            load.wait_acked(20, SOON);
            cluster.kill(0);
            die_at_start(&mut cluster, 0, failpoint);
            cluster.restart(0);
            cluster.wait_active();
            scenario.say(format!("{failpoint}: {} acknowledged", load.acked()));
        }
    }
    load.wait_acked(20, SOON);
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

/// Starts a node that dies at `failpoint` soon after.
fn die_at_start(cluster: &mut Cluster, index: usize, failpoint: &str) {
    let usual = cluster.nodes[index].environment.clone();
    cluster.nodes[index]
        .environment
        .insert("FAILPOINTS".into(), format!("{failpoint}=panic"));
    cluster.spawn(index);
    wait_death(cluster, index, failpoint, |_| {});
    cluster.nodes[index].environment = usual;
}

#[test]
fn killed_at_every_failpoint_three_nodes() {
    let scenario = Scenario::new("killed_at_every_failpoint_three_nodes");
    let mut random = scenario.random();
    let mut cluster = start(&scenario, 3);
    let load = Load::start(&cluster.controls(), 8, "points", &mut random);
    for round in 0..scale() {
        for (nth, failpoint) in WRITING.iter().chain(SNAPSHOT).enumerate() {
            load.wait_acked(20, SOON);
            let leader = cluster.wait_active();
            // Leader and follower take turns; the next round swaps them.
            let victim = if (nth + round) % 2 == 0 {
                leader
            } else {
                (leader + 1) % 3
            };
            arm(&cluster, victim, failpoint, skips(failpoint, &mut random));
            wait_death(&mut cluster, victim, failpoint, |cluster| {
                if SNAPSHOT.contains(failpoint) {
                    let _ = cluster.nodes[victim].call("snapshot");
                }
            });
            load.wait_acked(5, SOON);
            cluster.restart(victim);
            cluster.wait_caught_up();
            let role = if victim == leader {
                "leader"
            } else {
                "follower"
            };
            scenario.say(format!(
                "{failpoint} on the {role}: {} acknowledged",
                load.acked()
            ));
        }
        for failpoint in VOTE {
            load.wait_acked(20, SOON);
            // Both followers are armed: whoever votes first, for itself or the other, dies
            // while it saves that vote.
            let leader = cluster.wait_active();
            for index in (0..3).filter(|&index| index != leader) {
                arm(&cluster, index, failpoint, 0);
            }
            cluster.kill(leader);
            let dead = eventually("a voter dies", SOON, || {
                (0..3)
                    .find(|&index| index != leader && !cluster.nodes[index].runs())
                    .ok_or("none")
            });
            assert!(
                cluster.process(dead).was_killed(),
                "{}",
                cluster.nodes[dead].log_tail()
            );
            cluster.kill_all();
            cluster.restart_all();
            cluster.wait_caught_up();
            scenario.say(format!("{failpoint}: {} acknowledged", load.acked()));
        }
    }
    load.wait_acked(20, SOON);
    let ledger = load.finish();
    scenario.say(format!(
        "{} acknowledged, {} unknown",
        ledger.acked(),
        ledger.unknown()
    ));
    cluster.verify(&ledger).unwrap();
}

/// An old leader comes back with entries that no quorum took, and dies while it cuts them
/// off its log.
#[test]
fn killed_while_the_log_is_truncated() {
    let scenario = Scenario::new("killed_while_the_log_is_truncated");
    let mut random = scenario.random();
    let mut cluster = start(&scenario, 3);
    let load = Load::start(&cluster.controls(), 4, "truncate", &mut random);
    load.wait_acked(50, SOON);
    let ledger = load.finish();
    let leader = cluster.wait_active();
    cluster.wait_caught_up();
    let followers: Vec<usize> = (0..3).filter(|&index| index != leader).collect();
    // Killed, not paused: a paused process still finds in its sockets what was sent to it.
    for &index in &followers {
        cluster.kill(index);
    }
    let before = cluster.nodes[leader].status().unwrap().last_log;
    let mut control = cluster.nodes[leader].connect().unwrap();
    control.send("put k/alone/1 x").unwrap();
    eventually("the leader alone appends", SOON, || {
        let status = cluster.nodes[leader]
            .status()
            .map_err(|error| error.to_string())?;
        if status.last_log > before {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    cluster.kill(leader);
    for &index in &followers {
        cluster.restart(index);
    }
    let load = {
        let mut load = Load::start(&cluster.controls(), 4, "truncate2", &mut random);
        load.continue_from(ledger);
        load
    };
    load.wait_acked(50, SOON);
    die_at_start(&mut cluster, leader, "truncate::before");
    cluster.restart(leader);
    cluster.wait_caught_up();
    load.wait_acked(20, SOON);
    let mut ledger = load.finish();
    let lost = Err(tenure_tests::CallError::Unknown("never answered".into()));
    ledger.note("k/alone/1".into(), "x".into(), &lost);
    cluster.verify(&ledger).unwrap();
    let active = cluster.wait_active();
    let found = cluster.nodes[active]
        .connect()
        .unwrap()
        .read("getri", "k/alone/1")
        .unwrap();
    assert_eq!(found, None, "no quorum took it");
}

/// Dies while it makes its key pair, while it founds a cluster, and while it joins one.
#[test]
fn killed_while_it_gets_its_identity() {
    let scenario = Scenario::new("killed_while_it_gets_its_identity");
    let point = "identity::before_rename";
    let mut cluster = Cluster::unstarted(&scenario, options(2));
    for index in 0..2 {
        // Key and certificate are written at the first start.
        for skip in 0..2 {
            let planted = format!("{point}={skip}*off->panic");
            cluster.nodes[index]
                .environment
                .insert("FAILPOINTS".into(), planted);
            cluster.spawn(index);
            wait_death(&mut cluster, index, point, |_| {});
        }
        cluster.nodes[index].environment.clear();
        cluster.restart(index);
        arm(&cluster, index, point, 0);
        if index == 0 {
            let _ = cluster.nodes[0].call("bootstrap");
            wait_death(&mut cluster, 0, point, |_| {});
            cluster.bootstrap();
            continue;
        }
        let token = cluster.mint(60_000);
        let _ = cluster.join_with(1, &token);
        wait_death(&mut cluster, 1, point, |_| {});
        cluster.restart(1);
        // The same node may use its token again, and gets the same id.
        cluster.join_with(1, &token).unwrap();
    }
    cluster.wait_voters(2);
    let status = cluster.nodes[1].status().unwrap();
    assert_eq!(status.voters, vec![1, 2], "{status:?}");
}
