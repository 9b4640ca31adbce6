//! `tenure lease renew`.

use std::time::Duration;

use clap::Args;

use super::super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
    output::granted_report,
};

/// Flags of `tenure lease renew`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RenewArgs {
    /// Id of the lease
    #[arg(value_name = "ID")]
    id: String,

    /// How long the lease shall live from now: a wish, the answer says what was granted. 0
    /// or not given: as long as when it was granted
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    increment: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: RenewArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let increment = args.increment.filter(|increment| !increment.is_zero());
    let client = context.client(&args.common)?;
    let renewed = client
        .renew_lease(super::path(&args.id), increment)
        .await
        .map_err(|error| Failure::call("renewing lease", &error))?;
    args.common.output.show(
        &granted_report(
            renewed.lease_id,
            renewed.lease_duration,
            renewed.renewable,
            renewed.warnings,
            client.last_request_id(),
        ),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
