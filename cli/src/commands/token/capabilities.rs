//! `tenure token capabilities`.

use clap::Args;
use tenure_client::CapabilitiesOf;

use super::{
    super::{CommonArgs, Context},
    token_argument,
};
use crate::{
    failure::{Failure, code},
    output::capabilities_report,
};

/// Flags of `tenure token capabilities`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CapabilitiesArgs {
    /// The paths, such as sys/leases/lookup
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,

    /// Whose: where a token is, - or @file. Not given: the token you call with
    #[arg(long, value_name = "-|@FILE", conflicts_with = "accessor")]
    token: Option<String>,

    /// Whose: an accessor
    #[arg(long, value_name = "ACCESSOR")]
    accessor: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: CapabilitiesArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    // Vault's form is TOKEN PATH. A token in argv is out already; it must not go further.
    if args
        .paths
        .iter()
        .any(|path| path.starts_with("hvs.") || path.starts_with("hvb."))
    {
        return Err(Failure::local(
            "Error: a path looks like a token. Give a token with -token=- or -token=@file",
        ));
    }
    let token = match &args.token {
        Some(argument) => Some(token_argument(argument, context).await?),
        None => None,
    };
    let of = match (&token, &args.accessor) {
        (Some(token), _) => CapabilitiesOf::Token(token),
        (None, Some(accessor)) => CapabilitiesOf::Accessor(accessor),
        (None, None) => CapabilitiesOf::Caller,
    };
    let client = context.client(&args.common)?;
    let paths: Vec<&str> = args.paths.iter().map(String::as_str).collect();
    let shown = client.capabilities(of, &paths).await;
    let shown = shown.map_err(|error| Failure::call("listing capabilities", &error))?;
    let output = &args.common.output;
    output.show(&capabilities_report(&shown), context.env, context.console)?;
    Ok(code::OK)
}
