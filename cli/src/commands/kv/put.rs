//! `tenure kv put`, `tenure kv patch`.

use clap::Args;

use super::{super::Context, PathArgs, version_body, written};
use crate::{data_input, failure::Failure};

/// Flags of `tenure kv put` and `tenure kv patch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PutArgs {
    /// Only if this version is the current one; 0: only if there is none
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,

    #[command(flatten)]
    path: PathArgs,

    /// The fields: key=value, key=@file, key=-; all of them: - or @file
    #[arg(value_name = "KEY=VALUE", allow_hyphen_values = true, required = true)]
    data: Vec<String>,
}

impl PutArgs {
    async fn fields(&self) -> Result<String, Failure> {
        data_input::object(&data_input::fields(&self.data).await?)
    }
}

pub(super) async fn put(args: PutArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let fields = args.fields().await?;
    let spot = args.path.find(context).await?;
    if args.cas.is_some() {
        spot.versioned()?;
    }
    let body = match spot.versioned {
        true => version_body(&fields, args.cas),
        false => fields,
    };
    let answer = spot.write("data", &body).await?;
    written(&args.path, &spot, &answer.data, answer.warnings, context)
}

pub(super) async fn patch(args: PutArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let body = version_body(&args.fields().await?, args.cas);
    let spot = args.path.find(context).await?;
    spot.versioned()?;
    let answer = spot.patch("data", &body).await?;
    written(&args.path, &spot, &answer.data, answer.warnings, context)
}
