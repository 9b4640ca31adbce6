//! `tenure quota …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tenure_client::proto;

use super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
    output::{lease_quotas_report, quota_config_report, rate_limits_report},
};

/// The commands on quotas.
#[derive(Subcommand, Debug)]
pub(crate) enum QuotaCommand {
    /// Set, show, list and remove rate limits: how often a client may call a node
    #[command(subcommand, arg_required_else_help = true)]
    RateLimit(RateLimitCommand),
    /// Set, show, list and remove lease-count quotas: how many leases and tokens there may be
    #[command(subcommand, arg_required_else_help = true)]
    LeaseCount(LeaseCountCommand),
    /// Show what holds for all rate limits, or with flags set it
    Config(ConfigArgs),
}

/// The commands on rate limits.
#[derive(Subcommand, Debug)]
pub(crate) enum RateLimitCommand {
    /// Set a rate limit, new or anew
    Write(RateLimitArgs),
    /// Show a rate limit
    Read(NameArgs),
    /// List the rate limits
    List(ListArgs),
    /// Remove a rate limit
    Delete(NameArgs),
}

/// The commands on lease-count quotas.
#[derive(Subcommand, Debug)]
pub(crate) enum LeaseCountCommand {
    /// Set a quota, new or anew
    Write(LeaseCountArgs),
    /// Show a quota, and how many leases and tokens there are
    Read(NameArgs),
    /// List the quotas
    List(ListArgs),
    /// Remove a quota
    Delete(NameArgs),
}

/// Flags of `tenure quota rate-limit write`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RateLimitArgs {
    /// Its name
    name: String,

    /// The path that it covers, with all below it. Not given: everything
    #[arg(long, default_value = "", hide_default_value = true)]
    path: String,

    /// Most requests of one client in an interval
    #[arg(long)]
    rate: u64,

    /// Length of an interval. Not given: 1s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,

    /// How long a client is refused that exceeds it. Not given: until its interval ends
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    block_interval: Option<Duration>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure quota lease-count write`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LeaseCountArgs {
    /// Its name
    name: String,

    /// The path that it covers, with all below it. Not given: everything
    #[arg(long, default_value = "", hide_default_value = true)]
    path: String,

    /// Most leases and tokens at once
    #[arg(long)]
    max_leases: u64,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of the commands on one quota.
#[derive(Args, Clone, Debug)]
pub(crate) struct NameArgs {
    /// Its name
    name: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of the lists.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure quota config`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// A path that is never limited; may be given more than once, and replaces what was set.
    /// Given as nothing: none
    #[arg(long, value_name = "PATH")]
    exempt_path: Option<Vec<String>>,

    /// Whether answers tell the limit and what is left of it
    #[arg(long, value_name = "true|false")]
    headers: Option<bool>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(command: QuotaCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        QuotaCommand::RateLimit(command) => rate_limit(command, context).await,
        QuotaCommand::LeaseCount(command) => lease_count(command, context).await,
        QuotaCommand::Config(args) => config(args, context).await,
    }
}

fn failed(doing: &'static str) -> impl Fn(tenure_client::Error) -> Failure {
    move |error| Failure::call(doing, &error)
}

async fn rate_limit(command: RateLimitCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    let (common, one, limits) = match command {
        RateLimitCommand::Write(args) => {
            let client = context.client(&args.common)?;
            let limit = proto::RateLimit {
                name: args.name.clone(),
                path: args.path,
                rate: args.rate,
                interval: args.interval.map(wire),
                block_interval: args.block_interval.map(wire),
            };
            let written = client.write_rate_limit(limit).await;
            written.map_err(failed("writing the rate limit"))?;
            let told = format!("Success! Set the rate limit: {}\n", args.name);
            context.console.print(&told)?;
            return Ok(code::OK);
        }
        RateLimitCommand::Delete(args) => {
            let client = context.client(&args.common)?;
            let deleted = client.delete_rate_limit(&args.name).await;
            deleted.map_err(failed("deleting the rate limit"))?;
            let told = format!("Success! Removed the rate limit: {}\n", args.name);
            context.console.print(&told)?;
            return Ok(code::OK);
        }
        RateLimitCommand::Read(args) => {
            let client = context.client(&args.common)?;
            let limit = client.read_rate_limit(&args.name).await;
            (
                args.common,
                true,
                vec![limit.map_err(failed("reading the rate limit"))?],
            )
        }
        RateLimitCommand::List(args) => {
            let client = context.client(&args.common)?;
            let limits = client.list_rate_limits().await;
            (
                args.common,
                false,
                limits.map_err(failed("listing rate limits"))?,
            )
        }
    };
    if limits.is_empty() {
        return Err(Failure::nothing("No rate limits found"));
    }
    let report = rate_limits_report(&limits, one);
    common.output.show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn lease_count(command: LeaseCountCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    let (common, one, quotas) = match command {
        LeaseCountCommand::Write(args) => {
            let client = context.client(&args.common)?;
            let written = client.write_lease_count(&args.name, &args.path, args.max_leases);
            let counting = written.await.map_err(failed("writing the quota"))?;
            let mut told = format!("Success! Set the lease-count quota: {}\n", args.name);
            if counting {
                told.push_str(
                    "What is there already is being counted: until that is done, the quota refuses by \
                     what it has counted so far.\n",
                );
            }
            context.console.print(&told)?;
            return Ok(code::OK);
        }
        LeaseCountCommand::Delete(args) => {
            let client = context.client(&args.common)?;
            let deleted = client.delete_lease_count(&args.name).await;
            deleted.map_err(failed("deleting the quota"))?;
            let told = format!("Success! Removed the lease-count quota: {}\n", args.name);
            context.console.print(&told)?;
            return Ok(code::OK);
        }
        LeaseCountCommand::Read(args) => {
            let client = context.client(&args.common)?;
            let quota = client.read_lease_count(&args.name).await;
            (
                args.common,
                true,
                vec![quota.map_err(failed("reading the quota"))?],
            )
        }
        LeaseCountCommand::List(args) => {
            let client = context.client(&args.common)?;
            let quotas = client.list_lease_counts().await;
            (
                args.common,
                false,
                quotas.map_err(failed("listing quotas"))?,
            )
        }
    };
    if quotas.is_empty() {
        return Err(Failure::nothing("No lease-count quotas found"));
    }
    let report = lease_quotas_report(&quotas, one);
    common.output.show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn config(args: ConfigArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    if args.exempt_path.is_none() && args.headers.is_none() {
        let config = client.read_quota_config().await;
        let report = quota_config_report(&config.map_err(failed("reading the configuration"))?);
        let output = &args.common.output;
        output.show(&report, context.env, context.console)?;
        return Ok(code::OK);
    }
    let exempt = args.exempt_path.map(|paths| {
        let given = paths.into_iter().filter(|path| !path.is_empty());
        given.collect()
    });
    let written = client.write_quota_config(exempt, args.headers).await;
    written.map_err(failed("writing the configuration"))?;
    context
        .console
        .print("Success! Set what holds for all rate limits.\n")?;
    Ok(code::OK)
}

fn wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
