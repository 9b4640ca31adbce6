//! `tenure lease grant`.

use std::time::Duration;

use clap::{ArgAction, Args};
use tenure_client::proto::GrantLeaseRequest;

use super::{
    super::{CommonArgs, Context, new_request_id},
    path,
};
use crate::{
    duration,
    failure::{Failure, code},
    output::granted_report,
    secret_input::Source,
};

/// Flags of `tenure lease grant`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GrantArgs {
    /// Under which path the lease is to lie, such as db/prod
    #[arg(value_name = "PATH")]
    path: String,

    /// What is put on lease: - or @file. Not given: nothing
    #[arg(value_name = "-|@FILE", allow_hyphen_values = true)]
    payload: Option<String>,

    /// First time to live: 90 (seconds), 60s, 20m, 10h, 10d, 1h30m. 0 or not given: the
    /// server's default
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,

    /// Whether the lease can be renewed. Not given: yes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    renewable: Option<bool>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: GrantArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let payload = match &args.payload {
        None => Vec::new(),
        Some(source) => Source::parse(source, "The payload")?
            .read_bytes("the payload", context.console)
            .await?
            .to_vec(),
    };
    let client = context.client(&args.common)?;
    let request = GrantLeaseRequest {
        path: path(&args.path).to_owned(),
        payload,
        ttl: args
            .ttl
            .filter(|ttl| !ttl.is_zero())
            .and_then(|ttl| prost_types::Duration::try_from(ttl).ok()),
        renewable: args.renewable,
        // A failover in the middle must not leave a person in doubt.
        request_id: new_request_id(),
    };
    let granted = client
        .grant_lease(request)
        .await
        .map_err(|error| Failure::call("granting lease", &error))?;
    args.common.output.show(
        &granted_report(
            granted.lease_id,
            granted.lease_duration,
            granted.renewable,
            granted.warnings,
            client.last_request_id(),
        ),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}
