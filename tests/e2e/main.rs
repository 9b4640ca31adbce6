//! Clusters of the real program, end to end: processes, TLS, disks, signals, and the public
//! API. Each test brings up a cluster of its own, one test at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::indexing_slicing)]

mod auto_unseal;
mod backup;
mod clock;
mod commands;
mod deploy;
mod disk;
mod failover;
mod health;
mod http;
mod http_client;
mod http_cluster;
mod http_mounts;
mod http_rows;
mod http_secrets;
mod input;
mod keys;
mod lease;
mod main_path;
mod membership;
mod partition;
mod pgp;
mod policies;
mod program;
mod quotas;
mod races;
mod raw;
mod ready;
mod reflection;
mod requests;
mod restart;
mod sealed;
mod secrecy;
mod secrets;
mod snapshot;
mod streams;
mod sweep;
mod timing;
mod tokens;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tenure_client::Secret;
use tenure_client::proto::CreateTokenRequest;
use tenure_tests::Scenario;
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions};

/// A test that takes longer hangs.
const BOUND: Duration = Duration::from_secs(150);

/// The nodes of a cluster of three.
const ALL: [usize; 3] = [0, 1, 2];

/// All of three but one.
fn others(index: usize) -> [usize; 2] {
    [(index + 1) % 3, (index + 2) % 3]
}

/// Runs one test: `name` is the path of its function, so that a failure can be replayed.
fn run(name: &str, body: impl AsyncFnOnce(&Scenario) -> Outcome<()>) {
    let scenario = Scenario::new(name);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = runtime
        .unwrap()
        .block_on(async { tokio::time::timeout(BOUND, body(&scenario)).await });
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => panic!("{reason}"),
        Err(_) => panic!("not over after {BOUND:?}"),
    }
}

/// A cluster of three, initialised, open and complete.
async fn three(scenario: &Scenario) -> Outcome<ServerCluster> {
    start(scenario, ServerOptions::new(3)?).await
}

async fn start(scenario: &Scenario, options: ServerOptions) -> Outcome<ServerCluster> {
    let cluster = ServerCluster::start(scenario.dir(), &scenario.logs(), options).await?;
    write_service_policy(&cluster).await?;
    scenario.say("the cluster is complete");
    Ok(cluster)
}

async fn write_service_policy(cluster: &ServerCluster) -> Outcome<()> {
    let written = cluster.client()?.write_policy("service", SERVICE).await;
    written.map_err(text)
}

/// What the tokens of most tests may do beside `default`: make children, and handle their own
/// leases.
const SERVICE: &str = r#"
path "auth/token/create" { capabilities = ["update"] }
path "sys/leases/*" { capabilities = ["update", "list", "read"] }
"#;

/// A wish for an ordinary token of an hour.
fn wish(name: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        policies: vec!["service".to_owned()],
        display_name: name.to_owned(),
        ttl: seconds(3600),
        ..CreateTokenRequest::default()
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Makes a token and gives it and its accessor.
async fn make(
    client: &tenure_client::Client,
    request: CreateTokenRequest,
) -> Outcome<(Secret, String)> {
    let auth = client
        .create_token(request)
        .await
        .map_err(|error| format!("create: {error}"))?;
    Ok((Secret::new(auth.client_token), auth.accessor))
}

/// Fails with the text unless it holds.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(text()) }
}

/// Runs a command with this input, and gives what it wrote.
fn run_with_input(command: &mut Command, input: &str) -> Outcome<Output> {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(text)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().map_err(text)
}

/// An error as text, for `?`.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
