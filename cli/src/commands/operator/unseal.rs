//! `tenure operator unseal`.

use clap::Args;

use super::{
    super::{CommonArgs, Context, status::seal_report},
    key_share,
};
use crate::failure::{Failure, code};

/// What the prompt asks for.
const WHAT: &str = "Unseal Key";

/// Flags of `tenure operator unseal`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UnsealArgs {
    /// Where the key is: - for standard input, @file for a file. Not given: it is asked for
    /// on the terminal, without being shown. Unlike with Vault's command line, the key
    /// itself can't be given here, where other users of the machine could read it
    #[arg(value_name = "-|@FILE", conflicts_with = "reset")]
    key: Option<String>,

    /// Drop the keys that the server has been given so far
    #[arg(long)]
    reset: bool,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: UnsealArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.anonymous(&args.common)?;
    let answer = if args.reset {
        client.reset_unseal().await
    } else {
        let share = key_share::read(args.key.as_deref(), WHAT, context).await?;
        client.unseal(&share).await
    };
    let status = answer.map_err(|error| Failure::call("unsealing", &error))?;
    let report = seal_report(&status)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
