//! `tenure operator rotate-config`: when keys are rotated by themselves.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure_client::proto::WriteRotationConfigRequest;

use super::super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
    output::{Report, key_values},
};

/// Flags of `tenure operator rotate-config`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RotateConfigArgs {
    /// Whether the active server adds a barrier key by itself
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    enabled: Option<bool>,

    /// After so many operations (committed transactions) with one key, 1000000 to 3865470566
    #[arg(long, value_name = "COUNT")]
    max_operations: Option<u64>,

    /// When the key is so old: at least 24h, or 0 for never
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Serialize)]
struct Body {
    enabled: bool,
    max_operations: u64,
    /// Seconds; 0: never.
    interval: i64,
}

pub(crate) async fn run(args: RotateConfigArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    args.common.output.format(context.env)?;
    let interval = args.interval.map(|interval| prost_types::Duration {
        seconds: i64::try_from(interval.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    });
    let request = WriteRotationConfigRequest {
        enabled: args.enabled,
        max_operations: args.max_operations,
        interval,
    };
    if request != WriteRotationConfigRequest::default() {
        let written = client.write_rotation_config(request).await;
        written.map_err(|error| Failure::call("writing the configuration", &error))?;
    }
    let config = client.rotation_config().await;
    let config = config.map_err(|error| Failure::call("reading the configuration", &error))?;
    let body = Body {
        enabled: config.enabled,
        max_operations: config.max_operations,
        interval: config.interval.map_or(0, |interval| interval.seconds),
    };
    let interval = match body.interval {
        0 => "never".to_owned(),
        seconds => duration::show(seconds),
    };
    let rows = [
        ("Enabled".to_owned(), body.enabled.to_string()),
        ("Max Operations".to_owned(), body.max_operations.to_string()),
        ("Interval".to_owned(), interval),
    ];
    let report = Report::flat(key_values(&rows), body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
