//! Power cuts: all nodes die, and go on from what was synced alone (see `lostwrite.c`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::fs;

use tenure_tests::cluster::SOON;
use tenure_tests::lostwrite::Disk;
use tenure_tests::process::copy_dir;
use tenure_tests::{Cluster, ClusterOptions, Load, Scenario, eventually, scale};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");

fn options(nodes: usize) -> ClusterOptions {
    // A disk slow enough that a cut falls into the middle of a sync.
    let disk = Some(Disk {
        sync_us: 2_000,
        ..Disk::default()
    });
    ClusterOptions {
        disk,
        snapshot_log_bytes: 256 << 10,
        ..ClusterOptions::new(NODE, nodes)
    }
}

/// From now on syncs of these paths are swallowed.
fn swallow(cluster: &mut Cluster, paths: &[&str]) {
    if let Some(disk) = &mut cluster.options.disk {
        disk.ignore_sync = paths.iter().map(|path| (*path).to_owned()).collect();
    }
}

fn power_cuts(name: &str, nodes: usize, rounds: usize) {
    let scenario = Scenario::new(name);
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, options(nodes));
    let mut lost_bytes = 0;
    let mut load = Load::start(&cluster.controls(), 8, "power", &mut random);
    for round in 0..rounds {
        load.wait_acked(random.between(1, 300), SOON);
        if round % 3 == 2 {
            // In the middle of a snapshot, too.
            let _ = cluster.nodes[random.below(nodes as u64) as usize].call("snapshot");
            std::thread::sleep(std::time::Duration::from_millis(random.below(60)));
        }
        // Every other time disks were in the middle of writing.
        let mut torn = random.fork();
        let lost = cluster.cut_power((round % 2 == 1).then_some(&mut torn));
        lost_bytes += lost.bytes;
        cluster.restart_all();
        cluster.wait_active();
        scenario.say(format!(
            "round {round}: {lost:?}, {} acknowledged",
            load.acked()
        ));
        if round % 10 == 9 {
            let ledger = load.finish();
            cluster.verify(&ledger).unwrap();
            load = Load::start(
                &cluster.controls(),
                8,
                &format!("power{round}"),
                &mut random,
            );
            load.continue_from(ledger);
        }
    }
    load.wait_acked(50, SOON);
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
    assert!(lost_bytes > 0, "the cuts took nothing: they prove nothing");
}

#[test]
fn power_cut_of_a_single_node() {
    power_cuts("power_cut_of_a_single_node", 1, 12 * scale());
}

#[test]
fn power_cut_of_all_nodes() {
    power_cuts("power_cut_of_all_nodes", 3, 8 * scale());
}

/// The planted bug: syncs of the log and its marker are swallowed. The same check must find
/// that acknowledged writes are lost.
#[test]
fn swallowed_syncs_are_found() {
    let scenario = Scenario::new("swallowed_syncs_are_found");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, options(3));
    // From now on: the cluster itself is on disk, the writes that follow are not.
    cluster.cut_power(None);
    swallow(&mut cluster, &["log/", "marker", "state/"]);
    cluster.restart_all();
    let load = Load::start(&cluster.controls(), 8, "planted", &mut random);
    load.wait_acked(200, SOON);
    cluster.cut_power(None);
    let ledger = load.finish();
    swallow(&mut cluster, &[]);
    cluster.restart_all();
    cluster.wait_active();
    let found = cluster
        .verify(&ledger)
        .expect_err("the planted bug was not found");
    assert!(found.contains("lost"), "{found}");
    scenario.say(format!("found: {found}"));
}

/// The log's syncs are swallowed, the marker's are not: the node itself finds that its log
/// came back shorter, refuses to start and says so.
#[test]
fn lost_log_syncs_are_refused_at_start() {
    let scenario = Scenario::new("lost_log_syncs_are_refused_at_start");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, options(1));
    cluster.cut_power(None);
    swallow(&mut cluster, &["log/"]);
    cluster.restart_all();
    let load = Load::start(&cluster.controls(), 4, "planted", &mut random);
    load.wait_acked(100, SOON);
    cluster.cut_power(None);
    drop(load);
    swallow(&mut cluster, &[]);
    refuses_to_start(&mut cluster, 0);
}

/// An older log under a newer marker (a disk restored from a backup): refused, too.
#[test]
fn older_log_is_refused_at_start() {
    let scenario = Scenario::new("older_log_is_refused_at_start");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let load = Load::start(&cluster.controls(), 4, "older", &mut random);
    load.wait_acked(50, SOON);
    let victim = (0..3)
        .find(|&index| index != cluster.wait_active())
        .unwrap();
    cluster.kill(victim);
    let log = cluster.nodes[victim].data.join("log");
    let kept = scenario.dir().join("older-log");
    copy_dir(&log, &kept).unwrap();
    cluster.restart(victim);
    cluster.wait_caught_up();
    load.wait_acked(100, SOON);
    cluster.wait_caught_up();
    cluster.kill(victim);
    fs::remove_dir_all(&log).unwrap();
    copy_dir(&kept, &log).unwrap();
    refuses_to_start(&mut cluster, victim);
    // The others go on, and the node comes back wiped, under a new id.
    load.wait_acked(50, SOON);
    let old_id = {
        let active = cluster.wait_active();
        let voters = cluster.nodes[active].status().unwrap().voters;
        let known: Vec<u64> = (0..3)
            .filter(|&index| index != victim)
            .map(|index| cluster.nodes[index].status().unwrap().id)
            .collect();
        voters.into_iter().find(|id| !known.contains(id)).unwrap()
    };
    fs::remove_dir_all(&cluster.nodes[victim].data).unwrap();
    cluster.restart(victim);
    cluster.join(victim);
    cluster.wait_voters(3);
    let status = cluster.nodes[victim].status().unwrap();
    assert!(
        status.id > old_id && !status.voters.contains(&old_id),
        "{status:?}"
    );
    let ledger = load.finish();
    cluster.verify(&ledger).unwrap();
}

fn refuses_to_start(cluster: &mut Cluster, index: usize) {
    cluster.spawn(index);
    let end = cluster
        .process(index)
        .wait_exit(SOON)
        .expect("it must not run on a shorter log");
    assert_eq!(end.code(), Some(3), "{}", cluster.nodes[index].log_tail());
    let log = eventually("the refusal is said", SOON, || {
        let log = cluster.nodes[index].log();
        if log.contains("start refused") {
            Ok(log)
        } else {
            Err(log)
        }
    });
    assert!(log.contains("shorter"), "{log}");
}
