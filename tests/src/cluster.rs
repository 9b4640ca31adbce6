//! A cluster of bare raft nodes (`raft_node`), each a process with its own data folder.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tenure_raft::options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES};

use crate::control::{CallError, Control, Status};
use crate::invariants;
use crate::ledger::{Ledger, Records};
use crate::lostwrite::{self, Disk, Lost};
use crate::ports::free_address;
use crate::process::Process;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::wait::{eventually, try_eventually};

/// Bound of everything that a healthy cluster does in a second or two.
pub const SOON: Duration = Duration::from_secs(30);
const CALL_BOUND: Duration = Duration::from_secs(10);
const GLANCE_BOUND: Duration = Duration::from_millis(400);

/// How the nodes of a cluster run.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Path of the `raft_node` binary (`env!("CARGO_BIN_EXE_raft_node")`).
    pub binary: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// Log bytes after which a snapshot is built.
    pub snapshot_log_bytes: u64,
    /// Log entries kept behind a snapshot.
    pub entries_kept: u64,
    /// The disk of the lost-write library, when nodes run on it.
    pub disk: Option<Disk>,
}

impl ClusterOptions {
    /// `nodes` nodes with ordinary settings.
    pub fn new(binary: &str, nodes: usize) -> Self {
        Self {
            binary: PathBuf::from(binary),
            nodes,
            snapshot_log_bytes: SNAPSHOT_LOG_BYTES,
            entries_kept: ENTRIES_KEPT,
            disk: None,
        }
    }
}

/// One node: its folder and addresses, and its process while it runs.
pub struct Node {
    /// Its stable name.
    pub name: String,
    /// Its data folder.
    pub data: PathBuf,
    /// Its mirror, when it runs on the lost-write library.
    pub mirror: PathBuf,
    /// Its peer address.
    pub peer: SocketAddr,
    /// Its control port.
    pub control: SocketAddr,
    /// Its process.
    pub process: Option<Process>,
    /// Environment of its next start.
    pub environment: BTreeMap<String, String>,
    /// Further arguments of its next start.
    pub arguments: Vec<String>,
    runs: usize,
}

impl Node {
    /// A node that has not run yet.
    pub fn new(dir: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data: dir.join(name),
            mirror: dir.join("mirrors").join(name),
            peer: free_address(),
            control: free_address(),
            process: None,
            environment: BTreeMap::new(),
            arguments: Vec::new(),
            runs: 0,
        }
    }

    /// Starts its process; doesn't wait for it.
    pub fn spawn(&mut self, options: &ClusterOptions, logs: &Path) {
        let mut command = Command::new(&options.binary);
        command
            .arg("--data")
            .arg(&self.data)
            .args(["--name", &self.name])
            .args(["--peer", &self.peer.to_string()])
            .args(["--control", &self.control.to_string()])
            .args([
                "--snapshot-log-bytes",
                &options.snapshot_log_bytes.to_string(),
            ])
            .args(["--entries-kept", &options.entries_kept.to_string()])
            .args(&self.arguments)
            .envs(&self.environment);
        if let Some(disk) = &options.disk {
            lostwrite::preload(&mut command, &self.data, &self.mirror, disk);
        }
        let log = format!("{}.{}", self.name, self.runs);
        self.runs += 1;
        self.process = Some(Process::spawn(command, logs, &log).expect("start raft_node"));
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.exited().is_none())
    }

    /// A connection to its control port.
    pub fn connect(&self) -> Result<Control, CallError> {
        Control::connect(self.control, CALL_BOUND)
            .map_err(|error| CallError::NotApplied(format!("{}: {error}", self.name)))
    }

    /// One call on a connection of its own.
    pub fn call(&self, line: &str) -> Result<String, CallError> {
        self.connect()?.call(line)
    }

    /// Its status.
    pub fn status(&self) -> Result<Status, CallError> {
        self.connect()?.status()
    }

    /// Its status, if it says it soon: a paused node must not hold every look-up up.
    fn glance(&self) -> Result<Status, CallError> {
        Control::connect(self.control, GLANCE_BOUND)
            .map_err(|error| CallError::NotApplied(format!("{}: {error}", self.name)))?
            .status()
    }

    /// Waits until its control port answers; fails at once when the process ends.
    pub fn wait_up(&mut self) -> Status {
        let bound = SOON;
        let found = try_eventually(bound, || match self.status() {
            Ok(status) => Ok(Ok(status)),
            Err(error) => match self.process.as_mut().and_then(Process::exited) {
                Some(end) => Ok(Err(format!("{} ended: {end}", self.name))),
                None => Err(error),
            },
        });
        match found {
            Ok(Ok(status)) => status,
            Ok(Err(end)) => panic!("{end}\n{}", self.log_tail()),
            Err(error) => panic!("{} not up: {error}\n{}", self.name, self.log_tail()),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.process
            .as_ref()
            .map(|process| process.log_tail(30))
            .unwrap_or_default()
    }

    /// Everything that its present run has logged.
    pub fn log(&self) -> String {
        let path = self
            .process
            .as_ref()
            .map(|process| process.stderr().to_owned());
        let bytes = path
            .and_then(|path| fs::read(path).ok())
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A running cluster.
pub struct Cluster {
    /// Its nodes; the first one was bootstrapped, the others joined by token.
    pub nodes: Vec<Node>,
    /// How they run.
    pub options: ClusterOptions,
    dir: PathBuf,
    logs: PathBuf,
}

impl Cluster {
    /// Brings a cluster up: one node is bootstrapped, the others join by token, and all are
    /// voters when this returns.
    pub fn start(scenario: &Scenario, options: ClusterOptions) -> Self {
        let mut cluster = Self::unstarted(scenario, options);
        cluster.bootstrap();
        for index in 1..cluster.options.nodes {
            cluster.spawn(index);
            cluster.nodes[index].wait_up();
            cluster.join(index);
        }
        cluster.wait_voters(cluster.options.nodes);
        cluster
    }

    /// The nodes of a cluster, none of them started.
    pub fn unstarted(scenario: &Scenario, options: ClusterOptions) -> Self {
        let dir = scenario.dir().to_owned();
        let nodes = (1..=options.nodes)
            .map(|n| Node::new(&dir, &format!("n{n}")))
            .collect();
        Self {
            nodes,
            options,
            logs: scenario.logs(),
            dir,
        }
    }

    /// Starts the first node and bootstraps it.
    pub fn bootstrap(&mut self) {
        self.spawn(0);
        self.nodes[0].wait_up();
        self.nodes[0].call("bootstrap").expect("bootstrap");
        self.wait_active();
    }

    /// Adds a node that has not run yet; gives its index.
    pub fn add(&mut self, name: &str, folder: &str) -> usize {
        let mut node = Node::new(&self.dir, folder);
        node.name = name.to_owned();
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Starts a node's process without waiting for it.
    pub fn spawn(&mut self, index: usize) {
        self.nodes[index].spawn(&self.options, &self.logs);
    }

    /// Starts a node again and waits until it answers.
    pub fn restart(&mut self, index: usize) -> Status {
        self.spawn(index);
        self.nodes[index].wait_up()
    }

    /// Starts all nodes that don't run, and waits until they answer.
    pub fn restart_all(&mut self) {
        let down: Vec<usize> = (0..self.nodes.len())
            .filter(|&index| !self.nodes[index].runs())
            .collect();
        for &index in &down {
            self.spawn(index);
        }
        for &index in &down {
            self.nodes[index].wait_up();
        }
    }

    /// kill -9 of one node.
    pub fn kill(&mut self, index: usize) {
        if let Some(process) = &mut self.nodes[index].process {
            process.kill();
        }
    }

    /// kill -9 of all nodes at once.
    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.send_kill();
            }
        }
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
    }

    /// The process of a node that was started.
    pub fn process(&mut self, index: usize) -> &mut Process {
        self.nodes[index]
            .process
            .as_mut()
            .expect("the node was started")
    }

    /// Kills all nodes and leaves in their folders what a power cut would have left.
    pub fn cut_power(&mut self, mut torn: Option<&mut Random>) -> Lost {
        self.kill_all();
        let mut lost = Lost::default();
        for node in &self.nodes {
            let part = lostwrite::cut_power(&node.data, &node.mirror, torn.as_deref_mut());
            let part = part.expect("power cut");
            lost.bytes += part.bytes;
            lost.files += part.files;
        }
        lost
    }

    /// Joins a running node by a fresh token. While the membership changes for another node
    /// the cluster asks to try again.
    pub fn join(&mut self, index: usize) {
        let token = self.mint(300_000);
        eventually("join", SOON, || {
            let joined = self.join_with(index, &token);
            match &joined {
                Err(error) if !error.to_string().contains("no member could be reached") => {
                    panic!("join: {error}")
                }
                _ => joined.map(|_| ()),
            }
        });
    }

    /// A join token from the active node.
    pub fn mint(&mut self, ttl_ms: u64) -> String {
        let active = self.wait_active();
        eventually("a join token", SOON, || {
            self.nodes[active].call(&format!("mint {ttl_ms}"))
        })
    }

    /// Lets a node join with a token, at whichever node is active.
    pub fn join_with(&mut self, index: usize, token: &str) -> Result<String, CallError> {
        let active = self.wait_active();
        let address = self.nodes[active].peer;
        let mut connection = Control::connect(self.nodes[index].control, SOON)
            .map_err(|error| CallError::NotApplied(error.to_string()))?;
        connection.call(&format!("join {address} {token}"))
    }

    /// The active node, if one says that it is.
    pub fn active(&self) -> Option<usize> {
        let mut found: Option<(u64, usize)> = None;
        for (index, node) in self.nodes.iter().enumerate() {
            if let Ok(status) = node.glance()
                && status.active
                && found.is_none_or(|(term, _)| term < status.term)
            {
                found = Some((status.term, index));
            }
        }
        found.map(|(_, index)| index)
    }

    /// Waits until a node is active.
    pub fn wait_active(&self) -> usize {
        eventually("an active node", SOON, || {
            self.active().ok_or_else(|| self.states())
        })
    }

    /// Waits until a node other than `not` is active.
    pub fn wait_other_active(&self, not: usize) -> usize {
        eventually("another active node", SOON, || {
            self.active()
                .filter(|&index| index != not)
                .ok_or_else(|| self.states())
        })
    }

    /// Waits until all running nodes see `count` voters, no learner and one leader.
    pub fn wait_voters(&self, count: usize) {
        eventually("all nodes are voters", SOON * 2, || {
            for node in &self.nodes {
                let status = node.status().map_err(|error| error.to_string())?;
                if status.voters.len() != count
                    || !status.learners.is_empty()
                    || status.leader.is_none()
                {
                    return Err(self.states());
                }
            }
            Ok(())
        });
    }

    /// Waits until every running node has applied what the active one has.
    pub fn wait_caught_up(&mut self) {
        let active = self.wait_active();
        let goal = eventually("status", SOON, || self.nodes[active].status()).applied;
        for node in &mut self.nodes {
            if node.runs() {
                eventually("caught up", SOON, || match node.status() {
                    Ok(status) if status.applied >= goal => Ok(()),
                    Ok(status) => Err(format!("{}: {} of {goal}", node.name, status.applied)),
                    Err(error) => Err(format!("{}: {error}", node.name)),
                });
            }
        }
    }

    /// All control ports.
    pub fn controls(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.control).collect()
    }

    /// Who is what, for messages.
    pub fn states(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let state = match node.glance() {
                Ok(status) => format!("{status:?}"),
                Err(error) => error.to_string(),
            };
            text.push_str(&format!("\n  {}: {state}", node.name));
        }
        text
    }

    /// Reads the whole state through every running node and judges it: nothing that was
    /// acknowledged is lost, all nodes agree, no node voted twice, one leader a term.
    pub fn verify(&mut self, ledger: &Ledger) -> Result<(), String> {
        let mut first: Option<(String, Records)> = None;
        for index in 0..self.nodes.len() {
            if !self.nodes[index].runs() {
                continue;
            }
            let node = &self.nodes[index];
            let (revision, records) = try_eventually(SOON, || node.connect()?.dump())
                .map_err(|error| format!("no linearizable read through {}: {error}", node.name))?;
            ledger
                .check(revision, &records)
                .map_err(|text| format!("{}: {text}", node.name))?;
            match &first {
                None => first = Some((node.name.clone(), records)),
                Some((name, same)) if *same != records => {
                    return Err(format!("{name} and {} differ", node.name));
                }
                Some(_) => {}
            }
        }
        invariants::check(&self.logs).map(|_| ())
    }
}
