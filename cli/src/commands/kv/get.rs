//! `tenure kv get`, `tenure kv rollback`.

use clap::Args;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{super::Context, PathArgs, Spot, version_body, written};
use crate::{
    failure::{Failure, code},
    output::kv_report,
};

/// Flags of `tenure kv get`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GetArgs {
    /// Show this version. Not given: the latest
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,

    #[command(flatten)]
    path: PathArgs,
}

/// Flags of `tenure kv rollback`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RollbackArgs {
    /// The version that is to come back
    #[arg(long, value_name = "NUMBER")]
    version: u64,

    #[command(flatten)]
    path: PathArgs,
}

/// A version as the server shows it: the secret stays text, so that no digit is lost.
#[derive(Deserialize)]
struct Shown {
    data: Box<RawValue>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

fn parse(data: &[u8]) -> Result<Shown, Failure> {
    serde_json::from_slice(data)
        .map_err(|_| Failure::local("Error: the server's answer isn't a version of a secret"))
}

pub(super) async fn run(args: GetArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let spot = args.path.find(context).await?;
    if args.version.is_some() {
        spot.versioned()?;
    }
    let (data, deleted) = read(&spot, args.version.unwrap_or(0)).await?;
    let id = spot.client.last_request_id();
    let report = kv_report(&spot.path("data"), &data, Vec::new(), id)?;
    args.path
        .common
        .output
        .show(&report, context.env, context.console)?;
    Ok(match deleted {
        true => code::REFUSED,
        false => code::OK,
    })
}

async fn read(spot: &Spot, version: u64) -> Result<(Vec<u8>, bool), Failure> {
    let parameters = match version {
        0 => String::new(),
        version => json!({ "version": version }).to_string(),
    };
    let read = spot
        .client
        .read(&spot.path("data"), parameters.as_bytes())
        .await
        .map_err(|error| Failure::call("reading", &error))?;
    Ok((read.data, read.deleted))
}

pub(super) async fn rollback(args: RollbackArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let spot = args.path.find(context).await?;
    spot.versioned()?;
    let (latest, _) = read(&spot, 0).await?;
    let current = parse(&latest)?.metadata.version;
    let (old, deleted) = read(&spot, args.version).await?;
    if deleted {
        return Err(Failure::nothing(
            "Error: that version is deleted or destroyed: it can't come back",
        ));
    }
    // If somebody writes in between, it is refused.
    let body = version_body(parse(&old)?.data.get(), Some(current));
    let answer = spot.write("data", &body).await?;
    written(&args.path, &spot, &answer.data, answer.warnings, context)
}
