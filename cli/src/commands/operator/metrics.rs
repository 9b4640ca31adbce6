//! `tenure operator metrics`.

use clap::Args;

use super::super::Context;
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
};

/// Flags of `tenure operator metrics`.
#[derive(Args, Clone, Debug)]
pub(crate) struct MetricsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: MetricsArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = args.connection.client(context.env, context.console)?;
    let text = client
        .metrics()
        .await
        .map_err(|error| Failure::call("reading metrics", &error))?;
    context.console.line(text.trim_end())?;
    Ok(code::OK)
}
