//! `tenure auth …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tenure_client::proto::TuneTokensRequest;

use super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
};

/// The one auth method that is always there.
const TOKEN: &str = "token";

/// The commands on auth methods.
#[derive(Subcommand, Debug)]
pub(crate) enum AuthCommand {
    /// Change how long tokens live that are made or renewed from now on
    Tune(TuneArgs),
}

/// Flags of `tenure auth tune`. What isn't given stays.
#[derive(Args, Clone, Debug)]
pub(crate) struct TuneArgs {
    /// The path of the method: token/
    #[arg(value_name = "PATH")]
    path: String,

    /// Life when none is asked for; 0: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    default_lease_ttl: Option<Duration>,

    /// Longest life; 0: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_lease_ttl: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(command: AuthCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        AuthCommand::Tune(args) => tune(args, context).await,
    }
}

async fn tune(args: TuneArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let path = args.path.strip_suffix('/').unwrap_or(&args.path);
    if path != TOKEN {
        return Err(Failure::local("Error: the auth method is token/"));
    }
    let client = context.client(&args.common)?;
    let wire = |duration: Option<Duration>| {
        duration.and_then(|duration| prost_types::Duration::try_from(duration).ok())
    };
    let request = TuneTokensRequest {
        default_lease_ttl: wire(args.default_lease_ttl),
        max_lease_ttl: wire(args.max_lease_ttl),
    };
    let tuned = client.tune_tokens(request).await;
    tuned.map_err(|error| Failure::call("tuning auth method", &error))?;
    let told = format!("Success! Tuned the auth method at: {TOKEN}/");
    context.console.line(&told)?;
    Ok(code::OK)
}
