//! `tenure lease watch` and `tenure lease keep-alive`, by the program.

use std::process::{Command, Output};

use tenure_client::Secret;
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, tenure_binary, until};
use tenure_tests::{Process, Scenario};

use super::granted;
use crate::{ensure, make, run, run_with_input, seconds, text, three, wish};

/// The exit code of a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A command line with this token, which knows all nodes.
fn command(
    scenario: &Scenario,
    cluster: &ServerCluster,
    token: &Secret,
    arguments: &[&str],
) -> Outcome<Command> {
    let ca = scenario.dir().join("ca.pem");
    std::fs::write(&ca, cluster.authority.pem()).map_err(text)?;
    let urls: Vec<_> = cluster.nodes.iter().map(|node| node.url()).collect();
    let mut command = Command::new(tenure_binary()?);
    command
        .args(arguments)
        .env_clear()
        .env("HOME", scenario.dir())
        .env("TENURE_ADDR", urls.join(","))
        .env("TENURE_CACERT", &ca)
        .env("TENURE_TOKEN", token.expose());
    Ok(command)
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!(
        "{}: {out}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The whole lines that a process wrote, as JSON.
fn lines(process: &Process) -> Outcome<Vec<serde_json::Value>> {
    let written = std::fs::read_to_string(process.stdout()).map_err(text)?;
    let whole = written
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")))
        .collect()
}

/// Each event is a line, once, whoever dies; Ctrl-C ends it; what is gone says what to do.
#[test]
fn a_watch_by_the_program() {
    run(
        "streams::commands::a_watch_by_the_program",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.root();
            let watching = command(
                scenario,
                &cluster,
                &root,
                &["lease", "watch", "-since=1", "-format=json", "cli/"],
            )?;
            let mut watch = Process::spawn(watching, &scenario.logs(), "watch").map_err(text)?;
            let (mut ids, client) = (Vec::new(), cluster.client()?);
            for number in 0..6 {
                if number == 3 {
                    let active = cluster.wait_active().await?;
                    cluster.node_mut(active)?.kill();
                    cluster.wait_active().await?;
                }
                ids.push(granted(&client, &format!("cli/{number}"), 3600).await?);
            }
            client.revoke_lease(&ids[0]).await.map_err(text)?;
            let mut wanted: Vec<_> = ids.iter().map(|id| format!("granted {id}")).collect();
            wanted.push(format!("revoked {}", ids[0]));
            until("all events are shown", SOON, async || {
                if let Some(end) = watch.exited() {
                    return Ok(Err(format!("it ended: {end} {}", watch.log_tail(9))));
                }
                let word = |line: &serde_json::Value, key: &str| {
                    line[key].as_str().unwrap_or_default().to_owned()
                };
                let shown: Vec<_> = lines(&watch)?
                    .iter()
                    .map(|line| format!("{} {}", word(line, "event"), word(line, "lease_id")))
                    .collect();
                if shown == wanted {
                    return Ok(Ok(()));
                }
                Err(format!("{shown:?}"))
            })
            .await??;
            watch.interrupt();
            let end = watch.wait_exit(SOON)?;
            ensure(end.code() == Some(INTERRUPTED), || end.to_string())?;
            // A revision that isn't there yet is waited for; a token without the right is told.
            let (token, _) = make(&client, wish("watcher")).await?;
            client.delete_policy("service").await.map_err(text)?;
            let mut denied = command(scenario, &cluster, &token, &["lease", "watch", "cli"])?;
            let output = run_with_input(&mut denied, "")?;
            ensure(output.status.code() == Some(2), || said(&output))
        },
    );
}

/// Leases live on as long as the command runs, over the death of the active node; when nothing is
/// left it says so.
#[test]
fn leases_kept_alive_by_the_program() {
    run(
        "streams::commands::leases_kept_alive_by_the_program",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            let brief = tenure_client::proto::CreateTokenRequest {
                ttl: seconds(10),
                ..wish("keeper")
            };
            let (token, accessor) = make(&root, brief).await?;
            let own = cluster.client()?.with_token(token.clone()).map_err(text)?;
            let (first, second) = (
                granted(&own, "kept/first", 10).await?,
                granted(&own, "kept/second", 10).await?,
            );
            let words = [
                "lease",
                "keep-alive",
                "-and-token",
                "-format=json",
                &first,
                &second,
            ];
            let keeping = command(scenario, &cluster, &token, &words)?;
            let mut keeping = Process::spawn(keeping, &scenario.logs(), "keep").map_err(text)?;
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            let active = cluster.wait_active().await?;
            cluster.node_mut(active)?.kill();
            tokio::time::sleep(std::time::Duration::from_secs(12)).await;
            for id in [&first, &second] {
                let alive = root.lookup_lease(id).await;
                alive.map_err(|error| format!("{error} {}", keeping.log_tail(20)))?;
            }
            root.lookup_accessor(&accessor).await.map_err(text)?;
            root.revoke_token(&token).await.map_err(text)?;
            let end = keeping.wait_exit(SOON)?;
            ensure(end.code() == Some(2), || end.to_string())?;
            let mut gone: Vec<_> = lines(&keeping)?
                .into_iter()
                .filter(|line| line["event"] == "gone")
                .map(|line| line["lease_id"].as_str().unwrap_or("token").to_owned())
                .collect();
            gone.sort();
            let mut wanted = vec![first, second, "token".to_owned()];
            wanted.sort();
            ensure(gone == wanted, || keeping.log_tail(20))?;
            // Ids come by standard input, too.
            let mut unknown = command(
                scenario,
                &cluster,
                &cluster.root(),
                &["lease", "keep-alive", "-"],
            )?;
            let output = run_with_input(&mut unknown, "no/such/lease\nand/this\n")?;
            ensure(
                output.status.code() == Some(2) && said(&output).contains("gone  and/this"),
                || said(&output),
            )
        },
    );
}
