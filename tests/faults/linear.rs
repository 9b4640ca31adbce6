//! Linearizability: histories of clients on all nodes, while the leader is paused past its
//! lease, killed, and handed over, go through a checker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tenure_tests::cluster::SOON;
use tenure_tests::control::value_of;
use tenure_tests::linear::{Action, Operation, linearizable};
use tenure_tests::{CallError, Cluster, ClusterOptions, Control, Random, Scenario, scale};

const NODE: &str = env!("CARGO_BIN_EXE_raft_node");
/// A paused node holds a client up for so long.
const CALL_BOUND: Duration = Duration::from_millis(500);
/// Longer than the largest election timeout of the nodes.
const PAST_ELECTION: (u64, u64) = (900, 2_200);
const REGISTERS: u64 = 4;
const HISTORY_OPERATIONS: u64 = 500;

type Histories = BTreeMap<String, Vec<Operation>>;

struct Client {
    number: u64,
    controls: Vec<SocketAddr>,
    connections: Vec<Option<Control>>,
    leader: usize,
    reads: &'static [&'static str],
    random: Random,
    began: Instant,
    histories: Histories,
    /// Operations of all clients.
    recorded: Arc<AtomicU64>,
    seen: BTreeMap<String, u64>,
    written: u64,
}

impl Client {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn call(&mut self, target: usize, line: &str) -> Option<Result<String, CallError>> {
        let connection = &mut self.connections[target];
        if connection.is_none() {
            *connection = Control::connect(self.controls[target], CALL_BOUND).ok();
        }
        let answer = connection.as_mut()?.call(line);
        if answer.as_ref().is_err_and(CallError::is_unknown) {
            *connection = None;
        }
        Some(answer)
    }

    fn step(&mut self) {
        let round = self.recorded.load(Ordering::Relaxed) / (REGISTERS * HISTORY_OPERATIONS);
        let key = format!("r/{round}/{}", self.random.below(REGISTERS));
        let any = self.random.below(self.controls.len() as u64) as usize;
        self.written += 1;
        let new = (self.number << 40) | self.written;
        let called = self.now();
        match self.random.below(10) {
            0..=5 => {
                let how = *self.random.pick(self.reads);
                if let Some(Ok(answer)) = self.call(any, &format!("{how} {key}")) {
                    let value = value_of(&answer).and_then(|text| text.parse().ok());
                    self.record(&key, Action::Read(value), called, true);
                }
            }
            6..=8 => {
                // Mostly at the leader; sometimes at one that only believes it is.
                let target = if self.random.below(4) == 0 {
                    any
                } else {
                    self.leader
                };
                let answer = self.call(target, &format!("put {key} {new}"));
                self.wrote(&key, Action::Write(new), called, target, answer);
            }
            _ => {
                let target = self.leader;
                let expected = self.seen.get(&key).copied();
                let text = expected.map_or("-".to_owned(), |value| value.to_string());
                let answer = self.call(target, &format!("cas {key} {text} {new}"));
                // A failed comparison is a read of what was there.
                if let Some(Err(CallError::Conflict(found))) = &answer
                    && !found.is_empty()
                {
                    self.record(&key, Action::Read(found.parse().ok()), called, true);
                    return;
                }
                self.wrote(&key, Action::Swap(expected, new), called, target, answer);
            }
        }
    }

    fn wrote(
        &mut self,
        key: &str,
        action: Action,
        called: u64,
        target: usize,
        answer: Option<Result<String, CallError>>,
    ) {
        match answer {
            Some(Ok(_)) => {
                self.leader = target;
                self.record(key, action, called, true);
            }
            Some(Err(CallError::Unknown(_))) => {
                self.leader = (self.leader + 1) % self.controls.len();
                self.record(key, action, called, false);
            }
            // Certainly not applied.
            Some(Err(CallError::Conflict(_))) => {}
            Some(Err(_)) | None => self.leader = (self.leader + 1) % self.controls.len(),
        }
    }

    fn record(&mut self, key: &str, action: Action, called: u64, answered: bool) {
        let returned = answered.then(|| self.now());
        let value = match action {
            Action::Read(value) => value,
            Action::Write(value) | Action::Swap(_, value) => Some(value),
        };
        if let (true, Some(value)) = (answered, value) {
            self.seen.insert(key.to_owned(), value);
        }
        self.recorded.fetch_add(1, Ordering::Relaxed);
        let history = self.histories.entry(key.to_owned()).or_default();
        history.push(Operation {
            action,
            called,
            returned,
        });
    }
}

struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Histories>>,
}

fn start_clients(
    cluster: &Cluster,
    reads: &'static [&'static str],
    random: &mut Random,
) -> Clients {
    let stop = Arc::new(AtomicBool::new(false));
    let recorded = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let threads = (1..=12)
        .map(|number| {
            let controls = cluster.controls();
            let mut client = Client {
                number,
                connections: controls.iter().map(|_| None).collect(),
                controls,
                leader: 0,
                reads,
                random: random.fork(),
                began,
                histories: Histories::new(),
                recorded: Arc::clone(&recorded),
                seen: BTreeMap::new(),
                written: 0,
            };
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.step();
                    thread::sleep(Duration::from_micros(client.random.below(3_000)));
                }
                client.histories
            })
        })
        .collect();
    Clients { stop, threads }
}

impl Clients {
    fn finish(self) -> Histories {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Histories::new();
        for thread in self.threads {
            for (key, history) in thread.join().expect("a client") {
                all.entry(key).or_default().extend(history);
            }
        }
        all
    }
}

fn judge(histories: &Histories) -> Result<(), String> {
    for (key, history) in histories {
        if !linearizable(history) {
            let mut shown = history.clone();
            shown.sort_by_key(|operation| operation.called);
            let lines: Vec<String> = shown
                .iter()
                .map(|operation| format!("{operation:?}"))
                .collect();
            return Err(format!("{key} is not linearizable:\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// Pauses, kills and hand-overs, while clients read and write through every node.
#[test]
fn reads_are_linearizable_under_faults() {
    let scenario = Scenario::new("reads_are_linearizable_under_faults");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    let clients = start_clients(&cluster, &["get", "getri"], &mut random);
    let end = Instant::now() + Duration::from_secs(20 * scale() as u64);
    while Instant::now() < end {
        let leader = cluster.wait_active();
        let other = (leader + 1 + random.below(2) as usize) % 3;
        let what = random.below(5);
        match what {
            0 | 1 => {
                cluster.process(leader).pause();
                thread::sleep(Duration::from_millis(
                    random.between(PAST_ELECTION.0, PAST_ELECTION.1),
                ));
                cluster.process(leader).resume();
            }
            2 => {
                cluster.kill(leader);
                thread::sleep(Duration::from_millis(random.between(0, 1_500)));
                cluster.restart(leader);
            }
            3 => {
                cluster.process(other).pause();
                thread::sleep(Duration::from_millis(
                    random.between(PAST_ELECTION.0, PAST_ELECTION.1),
                ));
                cluster.process(other).resume();
            }
            _ => {
                let _ = cluster.nodes[leader].call("transfer");
            }
        }
        thread::sleep(Duration::from_millis(random.between(200, 1_500)));
    }
    let histories = clients.finish();
    let operations: usize = histories.values().map(Vec::len).sum();
    scenario.say(format!(
        "{} histories, {operations} operations",
        histories.len()
    ));
    assert!(operations > 2_000, "too few operations to prove anything");
    if let Err(found) = judge(&histories) {
        let path = scenario.dir().join("history.txt");
        std::fs::write(&path, &found).unwrap();
        panic!(
            "{} (all of it in {})",
            found.lines().next().unwrap(),
            path.display()
        );
    }
    cluster.verify(&tenure_tests::Ledger::default()).unwrap();
}

/// The planted bug: reads of whatever the node has, without a lease and without ReadIndex.
/// The checker must find it.
#[test]
fn local_reads_are_found_out() {
    let scenario = Scenario::new("local_reads_are_found_out");
    let mut random = scenario.random();
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    for round in 0..10 {
        let clients = start_clients(&cluster, &["getlocal"], &mut random);
        thread::sleep(Duration::from_millis(300));
        let leader = cluster.wait_active();
        cluster.process(leader).pause();
        thread::sleep(Duration::from_millis(PAST_ELECTION.1));
        cluster.process(leader).resume();
        thread::sleep(Duration::from_millis(300));
        if judge(&clients.finish()).is_err() {
            scenario.say(format!("found in round {round}"));
            return;
        }
    }
    panic!("the checker did not find stale local reads");
}

/// What a call that waited in a paused leader's socket is told when the leader wakes up, and
/// the value that was written meanwhile.
struct Woken {
    answer: Result<String, CallError>,
    old: u64,
    new: u64,
}

fn wake_with(cluster: &mut Cluster, key: &str, round: u64, line: &str) -> Woken {
    let (old, new) = (round * 10 + 1, round * 10 + 2);
    let leader = cluster.wait_active();
    let mut control = Control::connect(cluster.nodes[leader].control, SOON).unwrap();
    control.put(key, &old.to_string()).unwrap();
    // Everything that serves this connection is up before the pause.
    control.read("get", key).unwrap();
    cluster.process(leader).pause();
    let paused = Instant::now();
    let other = cluster.wait_other_active(leader);
    tenure_tests::eventually("a write at the new leader", SOON, || {
        cluster.nodes[other].connect()?.put(key, &new.to_string())
    });
    println!(
        "    another leads and has written {:?} after the pause",
        paused.elapsed()
    );
    // Asked after the new write was acknowledged, while the old leader sleeps: the call
    // waits in its socket, and is the first thing that it finds.
    control.send(line).unwrap();
    cluster.process(leader).resume();
    let answer = control.receive();
    Woken { answer, old, new }
}

/// A leader that was paused past its lease answers no read from before it slept, and its
/// late write is refused, not acknowledged.
#[test]
fn a_paused_leader_is_never_stale() {
    let scenario = Scenario::new("a_paused_leader_is_never_stale");
    let mut cluster = Cluster::start(&scenario, ClusterOptions::new(NODE, 3));
    for round in 0..2 * scale() as u64 {
        for how in ["get", "getri"] {
            let woken = wake_with(&mut cluster, "p/read", round, &format!("{how} p/read"));
            scenario.say(format!("{how} after the pause: {:?}", woken.answer));
            if let Ok(answer) = &woken.answer {
                assert_eq!(
                    value_of(answer),
                    Some(woken.new.to_string()),
                    "a stale read"
                );
            }
        }
        let late = format!("k/late/{round}");
        let woken = wake_with(&mut cluster, "p/write", round, &format!("put {late} late"));
        scenario.say(format!("put after the pause: {:?}", woken.answer));
        cluster.wait_caught_up();
        let active = cluster.wait_active();
        let found = tenure_tests::eventually("a read", SOON, || {
            cluster.nodes[active].connect()?.read("getri", &late)
        });
        match woken.answer {
            // It was still applied if it went through the new leader; then it must be there.
            Ok(_) => assert_eq!(found.as_deref(), Some("late"), "acknowledged and lost"),
            Err(error) if error.is_unknown() => {}
            Err(_) => assert_eq!(found, None, "refused and applied"),
        }
    }
    // The planted bug: a local read of a leader that was paused is stale, and is found.
    for round in 0..20 {
        let woken = wake_with(&mut cluster, "p/local", round, "getlocal p/local");
        let value = woken
            .answer
            .ok()
            .and_then(|answer| value_of(&answer)?.parse().ok());
        let history = [
            (Action::Write(woken.old), 0),
            (Action::Write(woken.new), 2),
            (Action::Read(value), 4),
        ];
        let history = history.map(|(action, at)| Operation {
            action,
            called: at,
            returned: Some(at + 1),
        });
        if value == Some(woken.old) {
            assert!(!linearizable(&history), "the checker missed a stale read");
            return;
        }
    }
    panic!("no local read was stale: the scenario proves nothing");
}
