//! `tenure operator seal`.

use clap::Args;

use super::super::Context;
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
};

/// Flags of `tenure operator seal`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: SealArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = args.connection.client(context.env, context.console)?;
    client
        .seal()
        .await
        .map_err(|error| Failure::call("sealing", &error))?;
    context.console.line("Success! The server is sealed.")?;
    Ok(code::OK)
}
