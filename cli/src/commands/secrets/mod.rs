//! `tenure secrets …`: mounts of secrets engines.

mod enable;
mod tune;

use clap::{Args, Subcommand};

use super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::mounts_report,
};

/// The commands on mounts.
#[derive(Subcommand, Debug)]
pub(crate) enum SecretsCommand {
    /// Mount a secrets engine
    Enable(enable::EnableArgs),
    /// Unmount a secrets engine and delete all that it holds
    Disable(DisableArgs),
    /// List what is mounted
    List(ListArgs),
    /// Change a mount
    Tune(tune::TuneArgs),
    /// Move a mount with all that it holds
    Move(MoveArgs),
}

/// Flags of `tenure secrets disable`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DisableArgs {
    /// The mount's path
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure secrets list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Show all that is known
    #[arg(long)]
    detailed: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure secrets move`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MoveArgs {
    /// The mount's path
    #[arg(value_name = "SOURCE")]
    from: String,

    /// Its new path
    #[arg(value_name = "DESTINATION")]
    to: String,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(command: SecretsCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        SecretsCommand::Enable(args) => enable::run(args, context).await,
        SecretsCommand::Disable(args) => disable(args, context).await,
        SecretsCommand::List(args) => list(args, context).await,
        SecretsCommand::Tune(args) => tune::run(args, context).await,
        SecretsCommand::Move(args) => remount(args, context).await,
    }
}

/// A path as people write it: slashes at its ends don't count.
fn trimmed(text: &str) -> &str {
    text.trim_matches('/')
}

async fn disable(args: DisableArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let path = trimmed(&args.path);
    client
        .unmount(path)
        .await
        .map_err(|error| Failure::call("disabling secrets engine", &error))?;
    let told = format!("Success! Disabled the secrets engine (if it existed) at: {path}/");
    context.console.line(&told)?;
    Ok(code::OK)
}

async fn list(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let mounts = client
        .list_mounts()
        .await
        .map_err(|error| Failure::call("listing secrets engines", &error))?;
    let report = mounts_report(&mounts, args.detailed);
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn remount(args: MoveArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let (from, to) = (trimmed(&args.from), trimmed(&args.to));
    client
        .remount(from, to)
        .await
        .map_err(|error| Failure::call("moving secrets engine", &error))?;
    let told = format!("Success! Moved secrets engine {from}/ to: {to}/");
    context.console.line(&told)?;
    Ok(code::OK)
}
