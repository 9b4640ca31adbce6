//! `tenure token renew`.

use std::time::Duration;

use clap::Args;

use super::{
    super::{CommonArgs, Context},
    accessor_argument, token_argument,
};
use crate::{
    duration,
    failure::{Failure, code},
    output::auth_report,
};

/// Flags of `tenure token renew`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RenewArgs {
    /// Where the token is, - or @file; or with -accessor an accessor. Not given: the token
    /// you call with
    #[arg(value_name = "-|@FILE|ACCESSOR")]
    target: Option<String>,

    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,

    /// How long the token shall live from now: a wish, the answer says what was granted. 0
    /// or not given: as long as when it was made
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    increment: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: RenewArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let increment = args.increment.filter(|increment| !increment.is_zero());
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
        (Some(accessor), _) => client.renew_accessor(accessor, increment).await,
        (None, Some(token)) => client.renew_token(token, increment).await,
        (None, None) => client.renew_self(increment).await,
    };
    let auth = answer.map_err(|error| Failure::call("renewing token", &error))?;
    args.common.output.show(
        &auth_report(auth, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
