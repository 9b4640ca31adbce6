//! `tenure secrets tune`.

use std::time::Duration;

use clap::Args;
use tenure_client::proto::TuneMountRequest;

use super::{
    super::{CommonArgs, Context},
    enable::{options, wire},
    trimmed,
};
use crate::{
    duration,
    failure::{Failure, code},
};

/// Flags of `tenure secrets tune`. What isn't given stays.
#[derive(Args, Clone, Debug)]
pub(crate) struct TuneArgs {
    /// The mount's path
    #[arg(value_name = "PATH")]
    path: String,

    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Life of what it hands out when none is asked for; 0: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    default_lease_ttl: Option<Duration>,

    /// Longest life of what it hands out; 0: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_lease_ttl: Option<Duration>,

    /// Version of kv: 2 upgrades version 1 in place
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// Options of the engine; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    options: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn run(args: TuneArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let path = trimmed(&args.path).to_owned();
    client
        .tune_mount(TuneMountRequest {
            path: path.clone(),
            description: args.description,
            default_lease_ttl: wire(args.default_lease_ttl),
            max_lease_ttl: wire(args.max_lease_ttl),
            options: options(args.version, &args.options)?,
        })
        .await
        .map_err(|error| Failure::call("tuning secrets engine", &error))?;
    let told = format!("Success! Tuned the secrets engine at: {path}/");
    context.console.line(&told)?;
    Ok(code::OK)
}
