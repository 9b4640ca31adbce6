//! `tenure operator rotate`.

use clap::Args;

use super::{
    super::{CommonArgs, Context},
    key_status::report,
};
use crate::failure::{Failure, code};

/// Flags of `tenure operator rotate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: RotateArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    client
        .rotate()
        .await
        .map_err(|error| Failure::call("rotating the key", &error))?;
    let status = client
        .key_status()
        .await
        .map_err(|error| Failure::call("reading key status", &error))?;
    let mut report = report(&status)?;
    report.table.insert_str(0, "Success! Rotated key\n\n");
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
