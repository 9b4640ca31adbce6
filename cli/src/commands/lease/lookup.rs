//! `tenure lease lookup`.

use clap::Args;

use super::super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::lease_report,
};

/// Flags of `tenure lease lookup`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LookupArgs {
    /// Id of the lease
    #[arg(value_name = "ID")]
    id: String,

    /// Show what is on lease alone, byte by byte. It is shown to the token that the lease
    /// belongs to, and otherwise left out
    #[arg(long, conflicts_with_all = ["format", "field"])]
    payload: bool,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: LookupArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let lease = client
        .lookup_lease(super::path(&args.id))
        .await
        .map_err(|error| Failure::call("looking up lease", &error))?;
    if args.payload {
        let payload = lease.payload.ok_or_else(|| {
            Failure::local("Error: the lease belongs to another token: its payload isn't shown")
        })?;
        context.console.bytes(&payload)?;
        return Ok(code::OK);
    }
    args.common.output.show(
        &lease_report(&lease, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
