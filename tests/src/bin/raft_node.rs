//! A bare raft node for the fault tests: the replicated store alone, without the server. It
//! takes commands on a loopback port (a line for a call, a line for its answer) and traces
//! to standard error what the tests judge: `leading term=<t> id=<n>`.
//!
//! Everything that depends on the raft crate's node API is in this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use tenure_raft::batch::SubmitError;
use tenure_raft::clock::WallClock;
use tenure_raft::node::{JoinCredential, JoinError, Node, NodeConfig, TokensOnly};
use tenure_raft::options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES, Timing};
use tenure_raft::reads::{Consistency, ReadError};
use tenure_raft::state::NoObserver;
use tenure_raft::tls::PeerTlsOptions;
use tenure_raft::txn::{Op, ReadSet, Txn};
use tenure_raft::view::View;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_stream::StreamExt;

const CALL_BOUND: Duration = Duration::from_secs(5);
/// Tag of the layer above the seam.
const TAG: u8 = 2;
/// Tag of the pieces of a backup that is being restored.
const STAGED_TAG: u8 = 3;
const SCAN_ROWS: usize = 1_000;
const FILL_TXN_BYTES: usize = 512 << 10;

/// The machine's clock, moved by so many milliseconds.
struct ShiftedClock(AtomicI64);

impl WallClock for ShiftedClock {
    fn wall_ms(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as u64);
        now.saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}

struct Arguments {
    data: PathBuf,
    name: String,
    peer: SocketAddr,
    control: SocketAddr,
    sealed: bool,
    snapshot_log_bytes: u64,
    entries_kept: u64,
    timing: Timing,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut all = std::env::args().skip(1);
        let (mut data, mut name, mut peer, mut control) = (None, None, None, None);
        let mut sealed = false;
        let (mut snapshot_log_bytes, mut entries_kept) = (SNAPSHOT_LOG_BYTES, ENTRIES_KEPT);
        // Two cores carry three nodes, their load and the checks.
        let mut timing = Timing {
            heartbeat_ms: 80,
            election_min_ms: 400,
            election_max_ms: 800,
        };
        while let Some(flag) = all.next() {
            if flag == "--sealed" {
                sealed = true;
                continue;
            }
            let value = all.next()?;
            match flag.as_str() {
                "--data" => data = Some(PathBuf::from(value)),
                "--name" => name = Some(value),
                "--peer" => peer = value.parse().ok(),
                "--control" => control = value.parse().ok(),
                "--snapshot-log-bytes" => snapshot_log_bytes = value.parse().ok()?,
                "--entries-kept" => entries_kept = value.parse().ok()?,
                "--heartbeat-ms" => timing.heartbeat_ms = value.parse().ok()?,
                "--election-min-ms" => timing.election_min_ms = value.parse().ok()?,
                "--election-max-ms" => timing.election_max_ms = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(Self {
            data: data?,
            name: name?,
            peer: peer?,
            control: control?,
            sealed,
            snapshot_log_bytes,
            entries_kept,
            timing,
        })
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("usage: raft_node --data DIR --name NAME --peer ADDR --control ADDR [--sealed]");
        return ExitCode::from(2);
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "info,openraft=warn,rocksdb=error".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    die_at_failpoints();
    let failpoints = fail::FailScenario::setup();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(run(arguments));
    failpoints.teardown();
    code
}

/// A failpoint kills the process like kill -9 does: no unwinding, no destructors, no exit
/// handlers. Any other panic is a bug: it is shown, and ends the process at once.
fn die_at_failpoints() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failpoint ") {
            crash();
        }
        shown(panic);
        std::process::abort();
    }));
}

fn crash() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

struct Service {
    node: Node,
    clock: Arc<ShiftedClock>,
    unsealed: AtomicBool,
}

async fn run(arguments: Arguments) -> ExitCode {
    let offset = std::env::var("TENURE_TEST_CLOCK_OFFSET_MS").ok();
    let offset = offset.and_then(|text| text.parse().ok()).unwrap_or(0);
    let clock = Arc::new(ShiftedClock(AtomicI64::new(offset)));
    let config = NodeConfig {
        data_dir: arguments.data,
        name: arguments.name,
        peer_listen: arguments.peer,
        peer_address: arguments.peer.to_string(),
        api_address: format!("http://{}", arguments.control),
        timing: arguments.timing,
        snapshot_log_bytes: arguments.snapshot_log_bytes,
        entries_kept: arguments.entries_kept,
        clock: Arc::clone(&clock) as Arc<dyn WallClock>,
        tls: PeerTlsOptions::default(),
    };
    let started = Node::start(
        config,
        Arc::new(NoObserver),
        Arc::new(TokensOnly),
        tonic::service::Routes::default(),
    );
    let node = match started.await {
        Ok(node) => node,
        Err(error) => {
            eprintln!("start refused: {error}");
            return ExitCode::from(3);
        }
    };
    let listener = TcpListener::bind(arguments.control)
        .await
        .expect("the control port");
    let service = Arc::new(Service {
        node,
        clock,
        unsealed: AtomicBool::new(!arguments.sealed),
    });
    service.node.set_unsealed(!arguments.sealed).await;
    tokio::spawn(lead(Arc::clone(&service)));
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM");
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(serve(Arc::clone(&service), stream));
                }
            }
            _ = terminate.recv() => {
                let handed = service.node.hand_over(None).await;
                tracing::info!(?handed, "SIGTERM");
                service.node.shutdown().await;
                return ExitCode::SUCCESS;
            }
            () = service.node.stopped() => {
                eprintln!("the node stopped by itself");
                return ExitCode::from(4);
            }
        }
    }
}

/// Activates the node whenever it leads and may.
async fn lead(service: Arc<Service>) {
    let node = &service.node;
    let mut leadership = node.leadership();
    let mut traced = 0;
    loop {
        let now = *leadership.borrow_and_update();
        if now.is_leader && now.term != traced {
            traced = now.term;
            eprintln!("leading term={} id={}", now.term, node.id().unwrap_or(0));
        }
        if now.is_leader
            && service.unsealed.load(Ordering::Acquire)
            && !node.is_active()
            && let Err(error) = node.activate().await
        {
            tracing::info!(%error, "not activated");
        }
        let _ = tokio::time::timeout(Duration::from_millis(50), leadership.changed()).await;
    }
}

async fn serve(service: Arc<Service>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match service.answer(&line).await {
            Ok(text) if text.is_empty() => "ok\n".to_owned(),
            Ok(text) => format!("ok {text}\n"),
            Err(text) => format!("err {}\n", text.replace('\n', " ")),
        };
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn key_of(name: &str) -> Bytes {
    let mut key = vec![TAG];
    key.extend_from_slice(name.as_bytes());
    key.into()
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("refused not a number: {text}"))
}

fn deadline() -> Instant {
    Instant::now() + CALL_BOUND
}

fn refused(error: impl std::fmt::Display) -> String {
    format!("refused {error}")
}

/// Reads change nothing: all may be retried.
fn unread(error: ReadError) -> String {
    format!("not-applied {error}")
}

impl Service {
    async fn answer(&self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["put", key, value] => self.put(key, value).await,
            ["cas", key, expected, new] => self.cas(key, expected, new).await,
            ["get", key] => self.get(key, Consistency::Lease).await,
            ["getri", key] => self.get(key, Consistency::Quorum).await,
            ["getlocal", key] => record(&self.node.view().map_err(unread)?, key),
            ["dump"] => self.dump().await,
            ["status"] => Ok(self.status()),
            ["time"] => {
                let read = self.node.read(Consistency::Quorum, deadline()).await;
                Ok(read.map_err(unread)?.1.to_string())
            }
            ["cluster-id"] => {
                let id = self.node.cluster_id().ok_or("refused no cluster yet")?;
                Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            ["bootstrap"] => {
                self.node.bootstrap().await.map_err(refused)?;
                self.stand().await
            }
            ["mint", ttl_ms] => {
                let ttl = Duration::from_millis(number(ttl_ms)?);
                let token = self.node.mint_join_token(ttl, deadline()).await;
                token
                    .map(|token| token.to_string())
                    .map_err(|error| self.unsubmitted(error))
            }
            ["join", address, token] => self.join(address, token).await,
            ["transfer"] => self.transfer(None).await,
            ["transfer", id] => self.transfer(Some(number(id)?)).await,
            ["remove", id] => {
                self.node.remove(number(id)?).await.map_err(refused)?;
                Ok(String::new())
            }
            ["snapshot"] => {
                self.node.snapshot().await;
                Ok(String::new())
            }
            ["fill", count, bytes] => self.fill(number(count)?, number(bytes)?).await,
            ["entries", count] => self.entries(number(count)?).await,
            ["seal"] => {
                self.unsealed.store(false, Ordering::Release);
                self.node.set_unsealed(false).await;
                Ok(String::new())
            }
            ["unseal"] => {
                self.unsealed.store(true, Ordering::Release);
                self.stand().await
            }
            ["clock", offset_ms] => {
                let offset = offset_ms.parse().map_err(refused)?;
                self.clock.0.store(offset, Ordering::Relaxed);
                Ok(String::new())
            }
            ["arm", failpoint, actions] => {
                fail::cfg(*failpoint, actions).map_err(refused)?;
                Ok(String::new())
            }
            ["save", path] => self.save(path).await,
            ["restore", path] => self.restore(path).await,
            ["staged"] => {
                let view = self.node.view().map_err(unread)?;
                let staged = view.scan(&[STAGED_TAG], &[STAGED_TAG + 1], SCAN_ROWS);
                Ok(staged.map_err(refused)?.len().to_string())
            }
            ["memory"] => memory_kib().map(|kib| kib.to_string()),
            ["crash"] => crash(),
            _ => Err("refused unknown command".to_owned()),
        }
    }

    async fn stand(&self) -> Result<String, String> {
        self.node
            .set_unsealed(self.unsealed.load(Ordering::Acquire))
            .await;
        Ok(String::new())
    }

    fn unsubmitted(&self, error: SubmitError) -> String {
        match error {
            SubmitError::Conflict => "conflict".to_owned(),
            SubmitError::NotActive => {
                let leader = self.node.leadership().borrow().leader;
                format!(
                    "not-active {}",
                    leader.map(|id| id.to_string()).unwrap_or_default()
                )
            }
            SubmitError::MaybeApplied => format!("maybe-applied {error}"),
            SubmitError::Overloaded => "refused overloaded".to_owned(),
            SubmitError::Expired | SubmitError::TooLarge { .. } => format!("not-applied {error}"),
        }
    }

    async fn submit(&self, txn: Txn) -> Result<u64, String> {
        let submitted = self.node.submit(txn, deadline()).await;
        submitted.map_err(|error| self.unsubmitted(error))
    }

    async fn put(&self, key: &str, value: &str) -> Result<String, String> {
        let op = Op::Put {
            key: key_of(key),
            value: Bytes::copy_from_slice(value.as_bytes()),
            create_revision: None,
        };
        let txn = Txn {
            ops: vec![op],
            ..Txn::default()
        };
        Ok(self.submit(txn).await?.to_string())
    }

    async fn cas(&self, key: &str, expected: &str, new: &str) -> Result<String, String> {
        let read = self.node.read(Consistency::Lease, deadline()).await;
        let (view, _) = read.map_err(unread)?;
        let name = key_of(key);
        let found = view.get(&name).map_err(refused)?;
        let value = found
            .as_ref()
            .map(|record| String::from_utf8_lossy(&record.value));
        if value.as_deref().unwrap_or("-") != expected {
            return Err(format!("conflict {}", value.as_deref().unwrap_or("-")));
        }
        let txn = Txn {
            read_revision: view.revision(),
            reads: ReadSet {
                keys: vec![name.clone()],
                ranges: Vec::new(),
            },
            ops: vec![Op::Put {
                key: name,
                value: Bytes::copy_from_slice(new.as_bytes()),
                create_revision: found.map(|record| record.create_revision),
            }],
            ..Txn::default()
        };
        // The view pins a snapshot: not across the commit.
        drop(view);
        Ok(self.submit(txn).await?.to_string())
    }

    async fn get(&self, key: &str, consistency: Consistency) -> Result<String, String> {
        let (view, _) = self
            .node
            .read(consistency, deadline())
            .await
            .map_err(unread)?;
        record(&view, key)
    }

    /// All records below `k/`, read through ReadIndex.
    async fn dump(&self) -> Result<String, String> {
        let (view, _) = self
            .node
            .read(Consistency::Quorum, deadline())
            .await
            .map_err(unread)?;
        let dumped = tokio::task::spawn_blocking(move || {
            let (mut start, end) = (key_of("k/"), key_of("k0"));
            let mut rows = Vec::new();
            loop {
                let page = view.scan(&start, &end, SCAN_ROWS).map_err(refused)?;
                let Some((last, _)) = page.last() else { break };
                start = [last.as_ref(), &[0]].concat().into();
                rows.extend(page.iter().map(|(key, record)| {
                    json!([
                        String::from_utf8_lossy(&key[1..]),
                        String::from_utf8_lossy(&record.value),
                        record.mod_revision
                    ])
                }));
            }
            Ok(json!({ "revision": view.revision(), "records": rows }).to_string())
        });
        dumped.await.map_err(refused)?
    }

    fn status(&self) -> String {
        let Some(status) = self.node.status() else {
            return json!({ "id": 0 }).to_string();
        };
        let of = |voter: bool| -> Vec<u64> {
            let members = status.members.iter().filter(|member| member.voter == voter);
            members.map(|member| member.id).collect()
        };
        json!({
            "id": status.id,
            "term": status.term,
            "role": if status.leader == Some(status.id) { "leader" } else { "follower" },
            "active": status.active,
            "leader": status.leader,
            "applied": status.applied_index,
            "last_log": status.last_log_index,
            "snapshot": status.snapshot_index,
            "revision": status.revision,
            "time_ms": status.cluster_time_ms,
            "skew_ms": status.clock_skew_ms,
            "generation": self.node.generation(),
            "voters": of(true),
            "learners": of(false),
        })
        .to_string()
    }

    async fn join(&self, address: &str, token: &str) -> Result<String, String> {
        let credential = JoinCredential::Token(Arc::new(token.to_owned().into()));
        let joined = self.node.join(&[address.to_owned()], &credential).await;
        joined.map_err(|error: JoinError| refused(error))?;
        self.stand().await?;
        Ok(self.node.id().unwrap_or(0).to_string())
    }

    async fn transfer(&self, target: Option<u64>) -> Result<String, String> {
        let target = self.node.hand_over(target).await.map_err(refused)?;
        Ok(target.to_string())
    }

    /// `count` records of `bytes` random bytes, in few large entries.
    async fn fill(&self, count: u64, bytes: u64) -> Result<String, String> {
        let mut random = tenure_tests::Random::new(u64::from(std::process::id()));
        let mut ops = Vec::new();
        let mut size = 0;
        for n in 0..count {
            let value = random.text(bytes as usize);
            size += value.len();
            let key = key_of(&format!("f/{:016x}", random.next_u64()));
            ops.push(Op::Put {
                key,
                value: value.into(),
                create_revision: None,
            });
            if size >= FILL_TXN_BYTES || n + 1 == count {
                let txn = Txn {
                    ops: std::mem::take(&mut ops),
                    ..Txn::default()
                };
                self.submit(txn).await?;
                size = 0;
            }
        }
        Ok(count.to_string())
    }

    /// Writes a backup to a file.
    async fn save(&self, path: &str) -> Result<String, String> {
        let read = self.node.read(Consistency::Quorum, deadline()).await;
        let (view, _) = read.map_err(unread)?;
        let cluster = self.node.cluster_id().ok_or("refused no cluster yet")?;
        let mut frames = tenure_raft::backup::save(view, cluster, ());
        let mut file = Vec::new();
        while let Some(frame) = frames.next().await {
            file.extend_from_slice(&frame.map_err(refused)?);
        }
        std::fs::write(path, &file).map_err(refused)?;
        Ok(file.len().to_string())
    }

    /// Restores the backup of a file.
    async fn restore(&self, path: &str) -> Result<String, String> {
        let file = std::fs::read(path).map_err(refused)?;
        let mut restore = self.node.begin_restore().await.map_err(refused)?;
        restore.push(&file).await.map_err(refused)?;
        let verified = restore.verify(|_| {}).await.map_err(refused)?;
        let held = Op::Put {
            key: key_of("held"),
            value: Bytes::from_static(b"x"),
            create_revision: None,
        };
        let on_top = Txn {
            ops: vec![held],
            ..Txn::default()
        };
        let swapped = restore.swap_in(&verified, on_top, deadline()).await;
        Ok(swapped.map_err(refused)?.to_string())
    }

    /// `count` small entries, one transaction each.
    async fn entries(&self, count: u64) -> Result<String, String> {
        for n in 0..count {
            let key = key_of(&format!("e/{}", n % 100));
            let op = Op::Put {
                key,
                value: Bytes::from_static(b"x"),
                create_revision: None,
            };
            self.submit(Txn {
                ops: vec![op],
                ..Txn::default()
            })
            .await?;
        }
        Ok(count.to_string())
    }
}

fn record(view: &View, key: &str) -> Result<String, String> {
    let found = view.get(&key_of(key)).map_err(refused)?;
    Ok(found.map_or(String::new(), |record| {
        format!(
            "{} {}",
            record.mod_revision,
            String::from_utf8_lossy(&record.value)
        )
    }))
}

fn memory_kib() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(refused)?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let word = line
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_default();
    number(word)
}
