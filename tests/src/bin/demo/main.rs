//! `make demo`: what Tenure does, shown on three real processes of the program, in a folder
//! that is gone afterwards. Every line that claims something has checked it first; the exit
//! code is 0 only if all of it was true.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod failover;
mod stage;
mod tokens;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tenure_client::Secret;
use tenure_tests::server_cluster::{Keys, Outcome, SOON, ServerCluster, ServerOptions, until};
use tokio::signal::unix::{SignalKind, signal};

use crate::stage::{Stage, hint, say};
use crate::tokens::Tree;

/// The whole demo must be over by then.
const BOUND: Duration = Duration::from_secs(120);
/// Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no threads: {error}")),
    };
    // The folder and the processes end with what `show` holds, however it ends.
    runtime.block_on(async {
        let (mut interrupt, mut end) = match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
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

async fn show() -> Outcome<()> {
    let mut stage = Stage {
        began: Instant::now(),
        steps: 0,
    };
    let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir();
    let folder = folder.map_err(|error| format!("a temporary folder: {error}"))?;
    println!("Tenure hands out tokens that end on time, from servers that outlive each other.");
    println!("This shows it on three servers on this machine, with TLS and real disks.");

    stage.step("Start three servers");
    let options = ServerOptions {
        log_level: "info".to_owned(),
        ..ServerOptions::new(3)?
    };
    let mut cluster =
        ServerCluster::spawn(folder.path(), &folder.path().join("logs"), options).await?;
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        let (url, pid) = (node.url(), node.process()?.pid());
        say(format!("server {} is process {pid} at {url}", index + 1));
    }
    say(format!(
        "data, logs and certificates: {}",
        folder.path().display()
    ));

    let keys = init(&mut stage, &mut cluster).await?;
    unseal(&mut stage, &mut cluster, &keys).await?;
    let tree = Tree::plant(&mut stage, &mut cluster).await?;
    tokens::renew(&mut stage, &mut cluster, &tree).await?;
    tokens::expire(&mut stage, &cluster).await?;
    tokens::revoke(&mut stage, &cluster, &tree).await?;
    let killed = failover::kill(&mut stage, &mut cluster, &tree).await?;
    failover::rejoin(&mut stage, &mut cluster, &keys, killed, &tree).await?;

    stage.step("Clean up");
    stop(&mut cluster).await?;
    drop(cluster);
    let path = folder.path().to_owned();
    folder
        .close()
        .map_err(|error| format!("delete {}: {error}", path.display()))?;
    say("the servers have stopped (exit code 0 each) and their data is deleted");
    println!(
        "\nAll of it was checked. It took {:.1} s.",
        stage.began.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn init(stage: &mut Stage, cluster: &mut ServerCluster) -> Outcome<Keys> {
    stage.step("Make the key, split in five");
    let early = cluster.node(0)?.client_of(&Secret::new("hvs.none"));
    let early = early.with_retry_window(Duration::ZERO).lookup_self().await;
    match early {
        Err(error) => say(format!(
            "before it, a server serves nothing: {}",
            error.message()
        )),
        Ok(_) => return Err("a server without a key answered a lookup".to_owned()),
    }
    let keys = cluster.init(5, 3).await?;
    say("all data will be encrypted under a key that no server stores: it is split in 5");
    say("shares for 5 people, and any 3 of them open a server. Shown once, never again:");
    for (index, share) in keys.shares.iter().enumerate() {
        let start: String = share
            .iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        say(format!(
            "  share {} is {start}… ({} bytes)",
            index + 1,
            share.len()
        ));
    }
    say(format!(
        "  the first token, \"root\", is {}",
        hint(keys.root.expose())
    ));
    Ok(keys)
}

async fn unseal(stage: &mut Stage, cluster: &mut ServerCluster, keys: &Keys) -> Outcome<()> {
    stage.step("Open each server with three shares");
    for index in 0..cluster.nodes.len() {
        let progress = open(cluster, keys, index).await?;
        let how = if index == 0 {
            "is open"
        } else {
            "has joined and is open"
        };
        say(format!("server {}: {progress}, and it {how}", index + 1));
    }
    let active = cluster.wait_active().await?;
    cluster.wait_complete().await?;
    say(format!(
        "server {} is active; the others are standbys: they hold the same data,",
        active + 1
    ));
    say("answer reads themselves and pass writes on. A majority must store each write.");
    Ok(())
}

/// Gives a server shares one by one; what it said to each.
async fn open(cluster: &ServerCluster, keys: &Keys, index: usize) -> Outcome<String> {
    let node = cluster.node(index)?;
    // A new server must have found the cluster before it can take shares.
    let threshold = until(
        "the server knows how many shares it needs",
        SOON,
        async || {
            let status = node.status().await.map_err(|error| error.to_string())?;
            if status.threshold > 0 {
                Ok(status.threshold)
            } else {
                Err("not yet".to_owned())
            }
        },
    );
    let threshold = threshold.await?;
    let mut said = Vec::new();
    // Any three: another choice on each server.
    for number in (0..keys.threshold).map(|step| (index + 2 * step) % keys.shares.len()) {
        let share = keys.shares.get(number).ok_or("too few shares")?;
        let status = node.client().unseal(share).await;
        let status = status.map_err(|error| {
            format!(
                "server {} refused a share: {error}\n{}",
                index + 1,
                node.log_tail()
            )
        })?;
        said.push(match status.sealed {
            true => format!("share {}: {} of {threshold}", number + 1, status.progress),
            false => format!("share {}: enough", number + 1),
        });
        if !status.sealed {
            node.wait_health("tenure.ready", tenure_client::Health::Serving)
                .await?;
            return Ok(said.join(", "));
        }
    }
    Err(format!(
        "server {} is still sealed after {}",
        index + 1,
        said.join(", ")
    ))
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
