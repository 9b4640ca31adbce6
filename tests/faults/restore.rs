//! kill -9 at each step of a restore, on the leader and on a follower: every node ends with the
//! state before or with the one that was saved, all of it, and all of them with the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_tests::cluster::SOON;
use tenure_tests::{Cluster, ClusterOptions, Scenario, eventually};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");
/// Passed while a backup is swapped in.
const SWAP: &[&str] = &[
    "swap::before",
    "swap::tables",
    "swap::ingested",
    "swap::before_current",
    "swap::after_current",
];

type State = BTreeMap<String, String>;

fn state(cluster: &Cluster, index: usize) -> State {
    let dumped = eventually("a node answers", SOON, || cluster.nodes[index].call("dump"));
    let dumped: Value = serde_json::from_str(&dumped).unwrap();
    let rows = dumped["records"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(&row[0]), text(&row[1])))
        .collect()
}

fn put(cluster: &mut Cluster, key: &str, value: &str) {
    eventually("a write is taken", SOON, || {
        let active = cluster.wait_active();
        cluster.nodes[active].call(&format!("put {key} {value}"))
    });
}

#[test]
fn killed_at_each_step_of_a_restore() {
    let scenario = Scenario::new("killed_at_each_step_of_a_restore");
    let mut cluster = Cluster::unstarted(&scenario, ClusterOptions::new(NODE, 3));
    cluster.bootstrap();
    for index in 1..3 {
        cluster.spawn(index);
        cluster.nodes[index].wait_up();
        cluster.join(index);
    }
    cluster.wait_voters(3);
    for n in 0..40 {
        put(&mut cluster, &format!("k/{n}"), "saved");
    }
    let file = scenario.dir().join("backup");
    let file = file.display();
    let active = cluster.wait_active();
    cluster.nodes[active].call(&format!("save {file}")).unwrap();
    let saved = state(&cluster, active);
    assert_eq!(saved.len(), 40);

    for (round, failpoint) in SWAP.iter().enumerate() {
        for victim_leads in [true, false] {
            put(
                &mut cluster,
                "k/0",
                &format!("later-{round}-{victim_leads}"),
            );
            put(&mut cluster, "k/later", "x");
            cluster.wait_caught_up();
            let active = cluster.wait_active();
            let before = state(&cluster, active);
            let victim = if victim_leads {
                active
            } else {
                (active + 1) % 3
            };
            let _ = cluster.nodes[victim].call(&format!("arm {failpoint} panic"));
            let restored = cluster.nodes[active].call(&format!("restore {file}"));
            wait_death(&mut cluster, victim, failpoint);
            assert_eq!(restored.is_ok(), !victim_leads, "{failpoint}: {restored:?}");
            cluster.restart(victim);
            cluster.wait_active();
            cluster.wait_caught_up();
            let now = state(&cluster, victim);
            // The entry was committed before anyone applied it.
            assert!(now == saved, "{failpoint}: not the saved state");
            assert_ne!(now, before);
            for index in 0..3 {
                assert!(state(&cluster, index) == saved, "{failpoint}: node {index}");
            }
            scenario.say(format!("{failpoint}, on the leader: {victim_leads}"));
        }
    }
}

/// All nodes die while pieces are staged: nothing is restored, and what was staged is cleared.
#[test]
fn killed_while_pieces_are_staged() {
    let scenario = Scenario::new("killed_while_pieces_are_staged");
    let mut cluster = Cluster::unstarted(&scenario, ClusterOptions::new(NODE, 1));
    cluster.bootstrap();
    let active = cluster.wait_active();
    cluster.nodes[active].call("fill 40 65536").unwrap();
    put(&mut cluster, "k/0", "saved");
    let file = scenario.dir().join("backup");
    let file = file.display();
    cluster.nodes[0].call(&format!("save {file}")).unwrap();
    put(&mut cluster, "k/0", "later");
    let _ = cluster.nodes[0].call("arm apply::after 1*off->panic");
    assert!(cluster.nodes[0].call(&format!("restore {file}")).is_err());
    wait_death(&mut cluster, 0, "apply::after");
    cluster.restart(0);
    cluster.wait_active();
    assert_eq!(state(&cluster, 0)["k/0"], "later");
    eventually("what was staged is cleared", SOON, || {
        match cluster.nodes[0].call("staged").as_deref() {
            Ok("0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    cluster.nodes[0].call(&format!("restore {file}")).unwrap();
    cluster.wait_active();
    assert_eq!(state(&cluster, 0)["k/0"], "saved");
}

fn wait_death(cluster: &mut Cluster, index: usize, failpoint: &str) {
    let end = Instant::now() + SOON;
    while cluster.nodes[index].runs() {
        assert!(
            Instant::now() < end,
            "{failpoint} was not met\n{}",
            cluster.nodes[index].log_tail()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(cluster.process(index).was_killed(), "{failpoint}");
}
