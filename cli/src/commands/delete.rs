//! `tenure delete`.

use clap::Args;

use super::{CommonArgs, Context};
use crate::failure::{Failure, code};

/// Flags of `tenure delete`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeleteArgs {
    /// The path
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: DeleteArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let path = args.path.trim_start_matches('/');
    client
        .delete(path)
        .await
        .map_err(|error| Failure::call("deleting", &error))?;
    let told = format!("Success! Data deleted (if it existed) at: {path}");
    context.console.line(&told)?;
    Ok(code::OK)
}
