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
    let answer = if args.accessor {
        let accessor = accessor_argument(args.target.as_deref())?;
        context
            .client(&args.common)?
            .lookup_accessor(accessor)
            .await
    } else if let Some(target) = &args.target {
        let token = token_argument(target, context).await?;
        context.client(&args.common)?.lookup_token(&token).await
    } else {
        context.client(&args.common)?.lookup_self().await
    };
    let token = answer.map_err(|error| Failure::call("looking up token", &error))?;
    args.common
        .output
        .show(&token_report(&token), context.env, context.console)?;
    Ok(code::OK)
}
