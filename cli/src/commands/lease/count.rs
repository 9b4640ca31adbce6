//! `tenure lease count`.

use clap::{Args, ValueEnum};
use tenure_client::proto::CountLeasesBy;

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

    /// Also by the token that they belong to, by the path below the prefix, or by the role that made
    /// the token: who holds the most comes first
    #[arg(long, value_enum, value_name = "token|path|role")]
    by: Option<By>,

    /// With -by: so many rows
    #[arg(long, default_value_t = 10, requires = "by")]
    top: usize,

    #[command(flatten)]
    common: CommonArgs,
}

/// What leases are counted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// The token that they belong to.
    Token,
    /// The path one segment below the prefix.
    Path,
    /// The role that made the token.
    Role,
}

pub(crate) async fn run(args: CountArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let by = match args.by {
        None => CountLeasesBy::Unspecified,
        Some(By::Token) => CountLeasesBy::Token,
        Some(By::Path) => CountLeasesBy::Path,
        Some(By::Role) => CountLeasesBy::Role,
    };
    let (count, mut groups) = client
        .count_leases_by(path(&args.prefix), by)
        .await
        .map_err(|error| Failure::call("counting leases", &error))?;
    groups.truncate(args.top);
    args.common.output.show(
        &lease_count_report(count, &groups, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
