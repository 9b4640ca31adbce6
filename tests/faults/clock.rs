//! Cluster time: one node's clock is a day off, first a follower's, then the leader's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tenure_tests::cluster::SOON;
use tenure_tests::{Cluster, ClusterOptions, Load, Scenario, eventually};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");
const DAY_MS: i64 = 24 * 3_600_000;
/// Cluster time may differ from the median of the clocks by so much.
const TOLERANCE_MS: u64 = 3_000;
const WATCHED: Duration = Duration::from_secs(3);

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

/// Nodes read their own clocks between entries: they may differ by so much.
const SPREAD_MS: u64 = 200;

/// Watches cluster time through every node: near true time, never backwards on a node, and
/// the same on all of them.
fn watch(cluster: &Cluster, last: &mut [u64; 3], what: &str) {
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        for (node, index) in cluster.nodes.iter().zip(0..) {
            let text = eventually("cluster time", SOON, || node.call("time"));
            let time: u64 = text.parse().unwrap();
            let off = time.abs_diff(now_ms());
            assert!(
                off < TOLERANCE_MS,
                "{what}: {} says {time}, off by {off} ms",
                node.name
            );
            let newest = last.iter().max().copied().unwrap_or(0);
            assert!(
                time >= last[index] && time + SPREAD_MS >= newest,
                "{what}: {}: time ran backwards: {last:?} {time}",
                node.name
            );
            last[index] = time;
        }
    }
}

#[test]
fn one_clock_a_day_off() {
    let scenario = Scenario::new("one_clock_a_day_off");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 2, "clock", &mut random);
    let mut last = [0; 3];
    watch(&cluster, &mut last, "right clocks");
    for days in [1, -1] {
        let offset = (days * DAY_MS).to_string();
        // A follower's clock jumps while it runs.
        let leader = cluster.wait_active();
        let follower = (leader + 1) % 3;
        cluster.nodes[follower]
            .call(&format!("clock {offset}"))
            .unwrap();
        watch(&cluster, &mut last, &format!("a follower {days} day off"));
        cluster.nodes[follower].call("clock 0").unwrap();
        // The leader's clock jumps: it is noticed, and the leader yields.
        let leader = cluster.wait_active();
        cluster.nodes[leader]
            .call(&format!("clock {offset}"))
            .unwrap();
        watch(&cluster, &mut last, &format!("the leader {days} day off"));
        let next = cluster.wait_other_active(leader);
        scenario.say(format!(
            "{days} day: node {} yielded to {}",
            leader + 1,
            next + 1
        ));
        cluster.nodes[leader].call("clock 0").unwrap();
        load.wait_acked(20, SOON);
    }
    // A node that starts with a wrong clock.
    let victim = (cluster.wait_active() + 1) % 3;
    cluster.kill(victim);
    let offset = (DAY_MS).to_string();
    cluster.nodes[victim]
        .environment
        .insert("TENURE_TEST_CLOCK_OFFSET_MS".into(), offset);
    cluster.restart(victim);
    cluster.wait_caught_up();
    watch(&cluster, &mut last, "a node started a day ahead");
    // It is the wrong one that must not lead: the others die in turn, and one of them, with
    // its right clock, is there again before it takes over for long.
    let leader = cluster.wait_active();
    cluster.kill(leader);
    cluster.restart(leader);
    cluster.wait_caught_up();
    watch(&cluster, &mut last, "after a failover with a wrong clock");
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}
