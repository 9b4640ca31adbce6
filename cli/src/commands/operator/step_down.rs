//! `tenure operator step-down`.

use clap::Args;

use super::super::Context;
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
};

/// Flags of `tenure operator step-down`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StepDownArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: StepDownArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = args.connection.client(context.env, context.console)?;
    client
        .step_down()
        .await
        .map_err(|error| Failure::call("stepping down", &error))?;
    context
        .console
        .line("Success! The active node has handed over.")?;
    Ok(code::OK)
}
