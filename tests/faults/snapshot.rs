//! Snapshots onto other nodes: a learner that catches up while writes go on, a follower
//! that was away, and kills in the middle of the install.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::process::ExitStatus;

use tenure_tests::cluster::SOON;
use tenure_tests::{Cluster, ClusterOptions, Load, Scenario, eventually, scale};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");

fn unstarted(scenario: &Scenario, nodes: usize) -> Cluster {
    let options = ClusterOptions {
        snapshot_log_bytes: 1 << 20,
        entries_kept: 40,
        ..ClusterOptions::new(NODE, nodes)
    };
    Cluster::unstarted(scenario, options)
}

/// Waits until the log of the active node no longer begins where it did.
fn wait_purged(cluster: &Cluster, below: u64) {
    let active = cluster.wait_active();
    eventually("a snapshot beyond the log of the others", SOON, || {
        let _ = cluster.nodes[active].call("entries 60");
        let _ = cluster.nodes[active].call("snapshot");
        let status = cluster.nodes[active]
            .status()
            .map_err(|error| error.to_string())?;
        if status.snapshot > below + 200 {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
}

/// A new node joins a cluster whose log is gone from the start: it gets a snapshot while
/// clients write, and becomes a voter.
#[test]
fn learner_catches_up_by_snapshot_under_load() {
    let scenario = Scenario::new("learner_catches_up_by_snapshot_under_load");
    let mut random = scenario.random();
    let mut cluster = unstarted(&scenario, 2);
    cluster.bootstrap();
    cluster.nodes[0].call("fill 4000 2000").unwrap();
    let load = Load::start(&cluster.controls()[..1], 4, "learner", &mut random);
    load.wait_acked(100, SOON);
    wait_purged(&cluster, 0);
    cluster.restart(1);
    let before = cluster.nodes[1].status().unwrap();
    cluster.join(1);
    cluster.wait_voters(2);
    load.wait_acked(50, SOON);
    let status = cluster.nodes[1].status().unwrap();
    assert!(
        status.generation > before.generation,
        "no snapshot was installed: {status:?}"
    );
    scenario.say(format!(
        "generation {}, {} acknowledged",
        status.generation,
        load.acked()
    ));
    let ledger = load.finish();
    cluster.wait_caught_up();
    cluster.verify(&ledger).unwrap();
}

/// Leaves a node behind until it has to be sent a snapshot, and waits until it dies at the
/// failpoint. The leader may still have the log that it needs: then it is left behind again.
fn die_installing(cluster: &mut Cluster, victim: usize, failpoint: &str) -> ExitStatus {
    let planted = format!("{failpoint}=panic");
    for _ in 0..8 {
        let had = cluster.nodes[victim].status().unwrap();
        cluster.kill(victim);
        eventually("fill", SOON, || {
            let active = cluster.wait_active();
            cluster.nodes[active].call("fill 1000 2000")
        });
        wait_purged(cluster, had.last_log);
        let active = cluster.wait_active();
        let goal = cluster.nodes[active].status().unwrap().applied;
        let environment = &mut cluster.nodes[victim].environment;
        environment.insert("FAILPOINTS".into(), planted.clone());
        cluster.spawn(victim);
        let end = eventually("it dies, or catches up by the log", SOON, || {
            if let Some(end) = cluster.process(victim).exited() {
                return Ok(Some(end));
            }
            match cluster.nodes[victim].status() {
                Ok(status) if status.applied >= goal => Ok(None),
                Ok(status) => Err(format!("{status:?}")),
                Err(error) => Err(error.to_string()),
            }
        });
        if let Some(end) = end {
            return end;
        }
    }
    panic!("{failpoint}: it was never sent a snapshot");
}

/// A follower that was away gets a snapshot, and dies on both sides of the swap.
#[test]
fn killed_while_a_snapshot_is_installed() {
    let scenario = Scenario::new("killed_while_a_snapshot_is_installed");
    let mut random = scenario.random();
    let mut cluster = unstarted(&scenario, 3);
    cluster.bootstrap();
    for index in 1..3 {
        cluster.restart(index);
        cluster.join(index);
    }
    cluster.wait_voters(3);
    let load = Load::start(&cluster.controls(), 4, "install", &mut random);
    for _ in 0..scale() {
        for failpoint in ["install::before_swap", "install::after_swap"] {
            let leader = cluster.wait_active();
            let victim = (leader + 1) % 3;
            load.wait_acked(20, SOON);
            // It has an older snapshot of its own: the installed one takes its place.
            let had = eventually("a snapshot of its own", SOON, || {
                let _ = cluster.nodes[victim].call("snapshot");
                let status = cluster.nodes[victim]
                    .status()
                    .map_err(|error| error.to_string())?;
                if status.snapshot > 0 {
                    Ok(status)
                } else {
                    Err(format!("{status:?}"))
                }
            });
            let end = die_installing(&mut cluster, victim, failpoint);
            let killed = cluster.process(victim).was_killed();
            assert!(
                killed,
                "{failpoint}: {end}\n{}",
                cluster.nodes[victim].log_tail()
            );
            cluster.nodes[victim].environment.remove("FAILPOINTS");
            cluster.restart(victim);
            cluster.wait_caught_up();
            let has = cluster.nodes[victim].status().unwrap();
            assert!(
                has.generation > had.generation,
                "{failpoint}: {had:?} {has:?}"
            );
            scenario.say(format!(
                "{failpoint}: generation {} to {}",
                had.generation, has.generation
            ));
        }
    }
    // And without a failpoint: killed at a moment of chance, several times over.
    for _ in 0..2 * scale() {
        let victim = (cluster.wait_active() + 1) % 3;
        let had = cluster.nodes[victim].status().unwrap();
        cluster.kill(victim);
        eventually("fill", SOON, || {
            let active = cluster.wait_active();
            cluster.nodes[active].call("fill 2000 2000")
        });
        wait_purged(&cluster, had.last_log);
        for _ in 0..3 {
            cluster.spawn(victim);
            std::thread::sleep(std::time::Duration::from_millis(random.between(50, 700)));
            cluster.kill(victim);
        }
        cluster.restart(victim);
        cluster.wait_caught_up();
    }
    load.wait_acked(20, SOON);
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}
