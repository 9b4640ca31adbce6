//! `tenure read`.

use clap::Args;

use super::{CommonArgs, Context};
use crate::{
    data_input,
    failure::{Failure, code},
    output::data_report,
};

/// Flags of `tenure read`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReadArgs {
    /// The path, such as secret/data/app
    #[arg(value_name = "PATH")]
    path: String,

    /// Parameters, where the engine takes some: key=value
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: ReadArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let parameters = data_input::object(&data_input::fields(&args.parameters).await?)?;
    let client = context.client(&args.common)?;
    let read = client
        .read(args.path.trim_matches('/'), parameters.as_bytes())
        .await
        .map_err(|error| Failure::call("reading", &error))?;
    let id = client.last_request_id();
    let report = data_report(&read.data, read.lease_duration, read.warnings, id)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(match read.deleted {
        // As Vault's 404: something is shown, and the exit code tells.
        true => code::REFUSED,
        false => code::OK,
    })
}
