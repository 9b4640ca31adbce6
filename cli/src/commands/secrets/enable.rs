//! `tenure secrets enable`.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use tenure_client::proto::{MountConfig, MountRequest};

use super::{
    super::{CommonArgs, Context, new_request_id},
    trimmed,
};
use crate::{
    duration,
    failure::{Failure, code},
};

/// Flags of `tenure secrets enable`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EnableArgs {
    /// The engine: kv, kv-v2
    #[arg(value_name = "TYPE")]
    kind: String,

    /// Where. Not given: at the engine's name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// For people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,

    /// Life of what it hands out when none is asked for. Not given: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    default_lease_ttl: Option<Duration>,

    /// Longest life of what it hands out. Not given: the system's
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_lease_ttl: Option<Duration>,

    /// Version of kv: 1 or 2
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// Options of the engine; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    options: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn run(args: EnableArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let path = trimmed(args.path.as_deref().unwrap_or(&args.kind)).to_owned();
    client
        .mount(MountRequest {
            path: path.clone(),
            r#type: args.kind.clone(),
            description: args.description,
            config: Some(MountConfig {
                default_lease_ttl: wire(args.default_lease_ttl),
                max_lease_ttl: wire(args.max_lease_ttl),
            }),
            options: options(args.version, &args.options)?,
            request_id: new_request_id(),
        })
        .await
        .map_err(|error| Failure::call("enabling secrets engine", &error))?;
    let told = format!(
        "Success! Enabled the {} secrets engine at: {path}/",
        args.kind
    );
    context.console.line(&told)?;
    Ok(code::OK)
}

pub(super) fn wire(duration: Option<Duration>) -> Option<prost_types::Duration> {
    duration.and_then(|duration| prost_types::Duration::try_from(duration).ok())
}

pub(super) fn options(
    version: Option<u32>,
    words: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut options = BTreeMap::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| Failure::local("Error: -options is given as key=value"))?;
        options.insert(key.to_owned(), value.to_owned());
    }
    if let Some(version) = version {
        options.insert("version".to_owned(), version.to_string());
    }
    Ok(options)
}
