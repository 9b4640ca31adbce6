//! `make demo`: what Tenure does, shown on three real processes of the program, in a folder
//! that is gone afterwards. Every line that claims something has checked it first; the exit
//! code is 0 only if all of it was true.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tenure_client::proto::{Auth, CreateTokenRequest};
use tenure_client::{Client, Secret};
use tenure_tests::server_cluster::{
    Keys, Outcome, SOON, ServerCluster, ServerNode, ServerOptions, Traffic, until,
};
use tokio::signal::unix::{SignalKind, signal};

/// The whole demo must be over by then.
const BOUND: Duration = Duration::from_secs(120);
/// The token that is left to expire lives so long.
const SHORT_SECONDS: i64 = 2;
/// Clients that write while the leader is killed.
const WRITERS: usize = 4;
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no threads: {error}")),
    };
    // The folder and the processes end with what `show` holds, however it ends.
    runtime.block_on(async {
        let (mut interrupt, mut end) =
            match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(interrupt), Ok(end)) => (interrupt, end),
                (Err(error), _) | (_, Err(error)) => return failed(&format!("signals: {error}")),
            };
        tokio::select! {
            shown = tokio::time::timeout(BOUND, show()) => match shown {
                Ok(Ok(())) => ExitCode::SUCCESS,
                Ok(Err(reason)) => failed(&reason),
                Err(_) => failed(&format!("it took longer than {} s", BOUND.as_secs())),
            },
            _ = interrupt.recv() => interrupted(),
            _ = end.recv() => interrupted(),
        }
    })
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("\nThe demo failed: {reason}");
    ExitCode::FAILURE
}

fn interrupted() -> ExitCode {
    eprintln!("\nInterrupted: the servers are stopped and their data is deleted.");
    ExitCode::from(INTERRUPTED)
}

/// Numbers the steps and shows the time of each.
struct Stage {
    began: Instant,
    steps: u32,
}

impl Stage {
    fn step(&mut self, title: &str) {
        self.steps += 1;
        let at = self.began.elapsed().as_secs_f64();
        println!("\n{:2}. {title}  [{at:.1} s]", self.steps);
    }
}

fn say(text: impl AsRef<str>) {
    println!("    {}", text.as_ref());
}

/// The first characters of a secret: enough to tell two apart, too few to use.
fn hint(secret: &str) -> String {
    format!("{}…", secret.chars().take(8).collect::<String>())
}

async fn show() -> Outcome<()> {
    let mut stage = Stage { began: Instant::now(), steps: 0 };
    let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir();
    let folder = folder.map_err(|error| format!("a temporary folder: {error}"))?;
    println!("Tenure hands out tokens that end on time, from servers that outlive each other.");
    println!("This shows it on three servers on this machine, with TLS and real disks.");

    stage.step("Start three servers");
    let options = ServerOptions { log_level: "info".to_owned(), ..ServerOptions::new(3)? };
    let mut cluster =
        ServerCluster::spawn(folder.path(), &folder.path().join("logs"), options).await?;
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        let (url, pid) = (node.url(), node.process()?.pid());
        say(format!("server {} is process {pid} at {url}", index + 1));
    }
    say(format!("data, logs and certificates: {}", folder.path().display()));

    let keys = init(&mut stage, &mut cluster).await?;
    unseal(&mut stage, &mut cluster, &keys).await?;
    let tree = Tree::plant(&mut stage, &mut cluster).await?;
    renew(&mut stage, &mut cluster, &tree).await?;
    expire(&mut stage, &cluster).await?;
    revoke(&mut stage, &cluster, &tree).await?;
    let killed = kill(&mut stage, &mut cluster, &tree).await?;
    rejoin(&mut stage, &mut cluster, &keys, killed, &tree).await?;

    stage.step("Clean up");
    stop(&mut cluster).await?;
    drop(cluster);
    let path = folder.path().to_owned();
    folder.close().map_err(|error| format!("delete {}: {error}", path.display()))?;
    say("the servers have stopped (exit code 0 each) and their data is deleted");
    println!("\nAll of it was checked. It took {:.1} s.", stage.began.elapsed().as_secs_f64());
    Ok(())
}

async fn init(stage: &mut Stage, cluster: &mut ServerCluster) -> Outcome<Keys> {
    stage.step("Make the key, split in five");
    let early = cluster.node(0)?.client_of(&Secret::new("hvs.none"));
    let early = early.with_retry_window(Duration::ZERO).lookup_self().await;
    match early {
        Err(error) => say(format!("before it, a server serves nothing: {}", error.message())),
        Ok(_) => return Err("a server without a key answered a lookup".to_owned()),
    }
    let keys = cluster.init(5, 3).await?;
    say("all data will be encrypted under a key that no server stores: it is split in 5");
    say("shares for 5 people, and any 3 of them open a server. Shown once, never again:");
    for (index, share) in keys.shares.iter().enumerate() {
        let start: String = share.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        say(format!("  share {} is {start}… ({} bytes)", index + 1, share.len()));
    }
    say(format!("  the first token, \"root\", is {}", hint(keys.root.expose())));
    Ok(keys)
}

async fn unseal(stage: &mut Stage, cluster: &mut ServerCluster, keys: &Keys) -> Outcome<()> {
    stage.step("Open each server with three shares");
    for index in 0..cluster.nodes.len() {
        let progress = open(cluster, keys, index).await?;
        let how = if index == 0 { "is open" } else { "has joined and is open" };
        say(format!("server {}: {progress}, and it {how}", index + 1));
    }
    let active = cluster.wait_active().await?;
    cluster.wait_complete().await?;
    say(format!("server {} is active; the others are standbys: they hold the same data,", active + 1));
    say("answer reads themselves and pass writes on. A majority must store each write.");
    Ok(())
}

/// Gives a server shares one by one; what it said to each.
async fn open(cluster: &ServerCluster, keys: &Keys, index: usize) -> Outcome<String> {
    let node = cluster.node(index)?;
    // A new server must have found the cluster before it can take shares.
    let threshold = until("the server knows how many shares it needs", SOON, async || {
        let status = node.status().await.map_err(|error| error.to_string())?;
        if status.threshold > 0 { Ok(status.threshold) } else { Err("not yet".to_owned()) }
    });
    let threshold = threshold.await?;
    let mut said = Vec::new();
    // Any three: another choice on each server.
    for number in (0..keys.threshold).map(|step| (index + 2 * step) % keys.shares.len()) {
        let share = keys.shares.get(number).ok_or("too few shares")?;
        let status = node.client().unseal(share).await;
        let status = status
            .map_err(|error| format!("server {} refused a share: {error}\n{}", index + 1, node.log_tail()))?;
        said.push(match status.sealed {
            true => format!("share {}: {} of {threshold}", number + 1, status.progress),
            false => format!("share {}: enough", number + 1),
        });
        if !status.sealed {
            node.wait_health("tenure.ready", tenure_client::Health::Serving).await?;
            return Ok(said.join(", "));
        }
    }
    Err(format!("server {} is still sealed after {}", index + 1, said.join(", ")))
}

/// A small tree of tokens.
struct Tree {
    tokens: BTreeMap<&'static str, Secret>,
}

impl Tree {
    async fn plant(stage: &mut Stage, cluster: &mut ServerCluster) -> Outcome<Self> {
        let standby = cluster.standby().await?;
        stage.step(&format!("Make a small tree of tokens, through server {}, a standby", standby + 1));
        let node = cluster.node(standby)?;
        let mut tree = Self { tokens: BTreeMap::new() };
        let root = cluster.root();
        for (name, parent, minutes, line) in [
            ("team", "root", 60, "root ── team"),
            ("build", "team", 30, "        ├─ build"),
            ("job", "build", 10, "        │   └─ job"),
            ("deploy", "team", 30, "        └─ deploy"),
        ] {
            let parent = tree.tokens.get(parent).unwrap_or(&root);
            let auth = create(&node.client_of(parent), name, minutes * 60).await?;
            say(format!("{line:<24} {}  {minutes} minutes", hint(&auth.client_token)));
            tree.tokens.insert(name, Secret::new(auth.client_token));
        }
        for node in &cluster.nodes {
            for token in tree.tokens.values() {
                node.accepts(token).await?;
            }
        }
        say("every server accepts each of them at once");
        Ok(tree)
    }

    fn get(&self, name: &str) -> Outcome<&Secret> {
        self.tokens.get(name).ok_or_else(|| format!("there is no token {name}"))
    }
}

async fn create(client: &Client, name: &str, seconds: i64) -> Outcome<Auth> {
    let request = CreateTokenRequest {
        policies: vec!["default".to_owned()],
        display_name: name.to_owned(),
        ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..CreateTokenRequest::default()
    };
    // The first token of a client is root; it gives all its children "default" alone.
    client.create_token(request).await.map_err(|error| format!("make the token {name}: {error}"))
}

async fn left(node: &ServerNode, token: &Secret) -> Outcome<i64> {
    let info = node.client_of(token).lookup_self().await.map_err(|error| error.to_string())?;
    Ok(info.ttl.map_or(0, |ttl| ttl.seconds))
}

async fn renew(stage: &mut Stage, cluster: &mut ServerCluster, tree: &Tree) -> Outcome<()> {
    stage.step("Renew a token");
    let build = tree.get("build")?;
    let active = cluster.wait_active().await?;
    let before = left(cluster.node(active)?, build).await?;
    let longer = Duration::from_secs(3600);
    let renewed = cluster.node(active)?.client_of(build).renew_self(Some(longer)).await;
    renewed.map_err(|error| format!("renew: {error}"))?;
    say(format!("\"build\" had {before} s left, and asks server {} for an hour", active + 1));
    for (index, node) in cluster.nodes.iter().enumerate() {
        let now = left(node, build).await?;
        if !(3500..=3600).contains(&now) {
            return Err(format!("server {} shows {now} s after the renewal", index + 1));
        }
        say(format!("server {} shows {now} s left", index + 1));
    }
    Ok(())
}

async fn expire(stage: &mut Stage, cluster: &ServerCluster) -> Outcome<()> {
    stage.step("Let a token expire");
    let client = cluster.client()?;
    let asked = Instant::now();
    let auth = create(&client, "short", SHORT_SECONDS).await?;
    let made = Instant::now();
    let token = Secret::new(auth.client_token);
    for node in &cluster.nodes {
        node.accepts(&token).await?;
    }
    say(format!("a token of {SHORT_SECONDS} s: every server accepts it"));
    let life = Duration::from_secs(SHORT_SECONDS.unsigned_abs());
    for (index, node) in cluster.nodes.iter().enumerate() {
        until("an expired token is refused", SOON, async || match node.accepts(&token).await {
            Ok(()) => Err("it is still accepted".to_owned()),
            Err(_) => Ok(()),
        })
        .await?;
        if asked.elapsed() < life {
            return Err(format!("server {} ended a token early", index + 1));
        }
        node.refuses(&token).await?;
    }
    let late = made.elapsed().saturating_sub(life);
    say(format!("all three refuse it {} ms after its time, and not before", late.as_millis()));
    Ok(())
}

async fn revoke(stage: &mut Stage, cluster: &ServerCluster, tree: &Tree) -> Outcome<()> {
    stage.step("Revoke a parent, and its children with it");
    let began = Instant::now();
    let client = cluster.client()?;
    client.revoke_token(tree.get("build")?).await.map_err(|error| format!("revoke: {error}"))?;
    say(format!("\"build\" is revoked, in {} ms", began.elapsed().as_millis()));
    agree(cluster, tree).await?;
    say("every server refuses \"build\" and its child \"job\";");
    say("every server still accepts \"team\" and \"deploy\", which are not below it");
    Ok(())
}

/// Every server that runs sees the tree without its revoked branch.
async fn agree(cluster: &ServerCluster, tree: &Tree) -> Outcome<()> {
    for node in &cluster.nodes {
        for name in ["build", "job"] {
            node.refuses(tree.get(name)?).await.map_err(|why| format!("\"{name}\": {why}"))?;
        }
        for name in ["team", "deploy"] {
            node.accepts(tree.get(name)?).await.map_err(|why| format!("\"{name}\": {why}"))?;
        }
    }
    Ok(())
}

async fn kill(stage: &mut Stage, cluster: &mut ServerCluster, tree: &Tree) -> Outcome<usize> {
    let active = cluster.wait_active().await?;
    stage.step(&format!("Kill server {}, the active one, under load", active + 1));
    let others: Vec<usize> = (0..cluster.nodes.len()).filter(|index| *index != active).collect();
    let traffic = Traffic::start(cluster, &others, WRITERS)?;
    traffic.wait_acked(200).await?;
    let killed = Instant::now();
    cluster.node_mut(active)?.kill();
    let before = traffic.acked();
    say(format!("{WRITERS} clients write through the two others; kill -9 after {before} writes"));
    let next = cluster.wait_active_but(&[active]).await?;
    traffic.wait_acked(200).await?;
    let gap = traffic.longest_gap(killed);
    let notes = traffic.finish().await?;
    say(format!("server {} took over; the gap between two writes was {} ms", next + 1, gap.as_millis()));
    notes.verify(cluster, &others).await?;
    say(format!(
        "{} tokens that clients were promised are all there, {} revoked ones all refused",
        notes.live.len(),
        notes.revoked.len()
    ));
    for index in &others {
        cluster.node(*index)?.refuses(tree.get("build")?).await?;
        cluster.node(*index)?.accepts(tree.get("team")?).await?;
    }
    Ok(active)
}

async fn rejoin(
    stage: &mut Stage,
    cluster: &mut ServerCluster,
    keys: &Keys,
    killed: usize,
    tree: &Tree,
) -> Outcome<()> {
    stage.step(&format!("Start server {} again", killed + 1));
    cluster.restart(killed).await?;
    let status = cluster.node(killed)?.status().await.map_err(|error| error.to_string())?;
    if !status.sealed {
        return Err("the restarted server isn't sealed".to_owned());
    }
    say("it comes back sealed: its key was in memory alone");
    let progress = open(cluster, keys, killed).await?;
    say(format!("{progress}, and it is open"));
    cluster.wait_complete().await?;
    agree(cluster, tree).await?;
    let index = cluster.member(killed).await?.state.map_or(0, |state| state.applied_index);
    say(format!("it has caught up (log entry {index}) and agrees with the others on every token"));
    Ok(())
}

async fn stop(cluster: &mut ServerCluster) -> Outcome<()> {
    for node in &mut cluster.nodes {
        node.process()?.terminate();
    }
    for node in &mut cluster.nodes {
        let name = node.name.clone();
        let end = until(&format!("{name} ends"), SOON, async || {
            node.process()?.exited().ok_or_else(|| "it runs".to_owned())
        })
        .await?;
        if !end.success() {
            return Err(format!("{name} ended with {end}"));
        }
    }
    Ok(())
}
