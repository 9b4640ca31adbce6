//! kill -9 of real nodes under load: the leader, the followers, all at once; one node and
//! three. Nothing that was acknowledged is lost, no revision goes back, no node votes twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::{Duration, Instant};

use tenure_tests::cluster::SOON;
use tenure_tests::{Cluster, ClusterOptions, Load, Scenario, scale};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");

/// One node, killed again and again in the middle of its writes.
#[test]
fn single_node_killed_under_load() {
    let scenario = Scenario::new("single_node_killed_under_load");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 1));
    let load = Load::start(&cluster.controls(), 8, "one", &mut random);
    for round in 0..10 * scale() {
        load.wait_acked(random.between(1, 200), SOON);
        cluster.kill(0);
        cluster.restart(0);
        cluster.wait_active();
        scenario.say(format!("round {round}: {} acknowledged", load.acked()));
    }
    load.wait_acked(50, SOON);
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

/// The leader is killed while clients write: another takes over, and the writes go on.
#[test]
fn leader_killed_under_load() {
    let scenario = Scenario::new("leader_killed_under_load");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 8, "leader", &mut random);
    for round in 0..5 * scale() {
        load.wait_acked(random.between(20, 300), SOON);
        let leader = cluster.wait_active();
        let killed = Instant::now();
        cluster.kill(leader);
        load.wait_acked(20, SOON);
        let gap = killed.elapsed();
        cluster.restart(leader);
        cluster.wait_caught_up();
        scenario.say(format!(
            "round {round}: {} killed, writes again after {gap:?}",
            leader + 1
        ));
    }
    let ledger = load.finish();
    scenario.say(format!(
        "{} acknowledged, {} unknown",
        ledger.acked(),
        ledger.unknown()
    ));
    cluster.verify(&ledger).unwrap();
}

/// Each follower is killed in turn: no write waits for it, and it catches up afterwards.
#[test]
fn followers_killed_under_load() {
    let scenario = Scenario::new("followers_killed_under_load");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 8, "follower", &mut random);
    for _ in 0..scale() {
        for index in 0..3 {
            if index == cluster.wait_active() {
                continue;
            }
            load.wait_acked(50, SOON);
            cluster.kill(index);
            load.wait_acked(50, Duration::from_secs(15));
            cluster.restart(index);
            cluster.wait_caught_up();
        }
    }
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

/// All processes die at once, again and again.
#[test]
fn all_nodes_killed_at_once() {
    let scenario = Scenario::new("all_nodes_killed_at_once");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 8, "all", &mut random);
    for round in 0..8 * scale() {
        load.wait_acked(random.between(1, 200), SOON);
        cluster.kill_all();
        cluster.restart_all();
        cluster.wait_active();
        scenario.say(format!("round {round}: {} acknowledged", load.acked()));
    }
    load.wait_acked(50, SOON);
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

/// The target of a hand-over dies in the middle of it: while it saves its vote for itself,
/// or before it has caught up. Service resumes without it.
#[test]
fn hand_over_target_dies() {
    let scenario = Scenario::new("hand_over_target_dies");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 4, "handover", &mut random);
    for round in 0..4 * scale() {
        load.wait_acked(50, SOON);
        let leader = cluster.wait_active();
        let target = (0..3).find(|&index| index != leader).unwrap();
        let id = cluster.nodes[target].status().unwrap().id;
        let voting = round % 2 == 0;
        if voting {
            let point = *random.pick(&["vote::before_sync", "vote::after_sync"]);
            let armed = format!("arm {point} panic");
            cluster.nodes[target].call(&armed).unwrap();
        } else {
            // Paused, it still counts as reachable, and never catches up; then it dies.
            cluster.process(target).pause();
        }
        let began = Instant::now();
        let mut control = cluster.nodes[leader].connect().unwrap();
        let handing = std::thread::spawn(move || control.call(&format!("transfer {id}")));
        if voting {
            let end = cluster.process(target).wait_exit(SOON);
            end.expect("the target never stood");
            assert!(cluster.process(target).was_killed());
        } else {
            std::thread::sleep(Duration::from_millis(random.between(0, 300)));
            cluster.kill(target);
        }
        let handed = handing.join().unwrap();
        load.wait_acked(50, SOON);
        scenario.say(format!(
            "{handed:?}; writes again after {:?}",
            began.elapsed()
        ));
        cluster.restart(target);
        cluster.wait_caught_up();
    }
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

/// A hand-over under load: nothing is lost, and the gap is short.
#[test]
fn hand_over_under_load() {
    let scenario = Scenario::new("hand_over_under_load");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 8, "handover", &mut random);
    for round in 0..3 * scale() {
        load.wait_acked(50, SOON);
        let leader = cluster.wait_active();
        let before = cluster.nodes[leader].status().unwrap();
        let began = Instant::now();
        let target =
            tenure_tests::eventually("hand-over", SOON, || cluster.nodes[leader].call("transfer"));
        load.wait_acked(20, SOON);
        scenario.say(format!(
            "round {round}: to {target} in {:?}",
            began.elapsed()
        ));
        let now = cluster.wait_active();
        let after = cluster.nodes[now].status().unwrap();
        assert!(after.term > before.term, "{before:?} {after:?}");
    }
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}
