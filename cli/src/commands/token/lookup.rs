//! `tenure token lookup`.

use clap::Args;

use super::{
    super::{CommonArgs, Context},
    accessor_argument, token_argument,
};
use crate::{
    failure::{Failure, code},
    output::token_report,
};

/// Flags of `tenure token lookup`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LookupArgs {
    /// Where the token is, - or @file; or with -accessor an accessor. Not given: the token
    /// you call with
    #[arg(value_name = "-|@FILE|ACCESSOR")]
    target: Option<String>,

    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: LookupArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let accessor = args
        .accessor
        .then(|| accessor_argument(args.target.as_deref()))
        .transpose()?;
    let token = match (&args.target, accessor) {
        (Some(target), None) => Some(token_argument(target, context).await?),
        _ => None,
    };
    let client = context.client(&args.common)?;
    let answer = match (accessor, &token) {
        (Some(accessor), _) => client.lookup_accessor(accessor).await,
        (None, Some(token)) => client.lookup_token(token).await,
        (None, None) => client.lookup_self().await,
    };
    let found = answer.map_err(|error| Failure::call("looking up token", &error))?;
    args.common.output.show(
        &token_report(&found, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
