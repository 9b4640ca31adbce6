//! `tenure lease count`.

use clap::Args;

use super::{
    super::{CommonArgs, Context},
    path,
};
use crate::{
    failure::{Failure, code},
    output::lease_count_report,
};

/// Flags of `tenure lease count`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CountArgs {
    /// The path under which they lie. Not given: all
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: CountArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let count = client
        .count_leases(path(&args.prefix))
        .await
        .map_err(|error| Failure::call("counting leases", &error))?;
    args.common.output.show(
        &lease_count_report(count, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
