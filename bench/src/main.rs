//! The load generator: drives Tenure, the bare stack under it and OpenBao in one run, each
//! through its own protocol, on this machine. Clusters are real processes in temporary
//! folders, which are gone when it ends.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bare;
mod client;
mod closed_loop;
mod data_dir;
mod foreground;
mod http_client;
mod limits;
mod maker;
mod metrics;
mod openbao;
mod operation;
mod runs;
mod system;
mod table;
mod tenure;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tenure_tests::server_cluster::Outcome;
use tokio::{
    runtime::{Builder, Runtime},
    task::LocalSet,
};

/// Measures Tenure on this machine, beside what it stands on and a peer
#[derive(Debug, Parser)]
#[command(name = "tenure-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Folder for the data of the clusters, on the disk that is to be measured; the build's
    /// target folder unless it is set
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Run(Run),
    /// One node of the bare stack (`operations` starts them)
    #[command(hide = true)]
    BareNode(bare::NodeArguments),
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Operations a second: Tenure, the bare stack, OpenBao
    Operations(runs::operations::Arguments),
    /// The gap in writes when the active node is killed
    Failover(runs::failover::Arguments),
    /// Time to ready by the number of live leases
    Ready(runs::ready::Arguments),
    /// A tree and a prefix revoked at once, and the clean-up behind it
    Tree(runs::tree::Arguments),
    /// Many tokens and leases that are due at once
    Expiry(runs::expiry::Arguments),
    /// Full load for minutes: no election without a cause
    Steady(runs::steady::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::BareNode(arguments) => match Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(bare::run(arguments)),
            Err(error) => failed(&error.to_string()),
        },
        Command::Run(run) => match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => measure(&runtime, run, arguments.dir),
            Err(error) => failed(&error.to_string()),
        },
    }
}

fn measure(runtime: &Runtime, run: Run, dir: Option<PathBuf>) -> ExitCode {
    let local = LocalSet::new();
    let ended = local.block_on(runtime, async {
        tokio::select! {
            ended = perform(run, dir) => Some(ended),
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match ended {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(reason)) => failed(&reason),
        None => {
            eprintln!("interrupted: the processes are stopped and their data is deleted");
            ExitCode::from(130)
        }
    }
}

async fn perform(run: Run, dir: Option<PathBuf>) -> Outcome<()> {
    let dir = data_dir::choose(dir)?;
    match run {
        Run::Operations(arguments) => runs::operations::run(arguments, &dir).await,
        Run::Failover(arguments) => runs::failover::run(arguments, &dir).await,
        Run::Ready(arguments) => runs::ready::run(arguments, &dir).await,
        Run::Tree(arguments) => runs::tree::run(arguments, &dir).await,
        Run::Expiry(arguments) => runs::expiry::run(arguments, &dir).await,
        Run::Steady(arguments) => runs::steady::run(arguments, &dir).await,
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("tenure-bench: {reason}");
    ExitCode::FAILURE
}
