//! `tenure kv delete`, `tenure kv undelete`, `tenure kv destroy`.

use clap::Args;
use serde_json::json;

use super::{super::Context, PathArgs};
use crate::failure::{Failure, code};

/// Flags of `tenure kv delete`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeleteArgs {
    /// The versions. Not given: the latest
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    versions: Vec<u64>,

    #[command(flatten)]
    path: PathArgs,
}

/// Flags of `tenure kv undelete` and `tenure kv destroy`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VersionsArgs {
    /// The versions
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', required = true)]
    versions: Vec<u64>,

    #[command(flatten)]
    path: PathArgs,
}

pub(super) async fn delete(args: DeleteArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    if !args.versions.is_empty() {
        let DeleteArgs { versions, path } = args;
        return run("delete", VersionsArgs { versions, path }, context).await;
    }
    let spot = args.path.find(context).await?;
    spot.delete("data").await?;
    let path = spot.path("data");
    let told = format!("Success! Data deleted (if it existed) at: {path}");
    context.console.line(&told)?;
    Ok(code::OK)
}

pub(super) async fn run(
    part: &str,
    args: VersionsArgs,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let spot = args.path.find(context).await?;
    spot.versioned()?;
    spot.write(part, &json!({"versions": args.versions}).to_string())
        .await?;
    let told = format!("Success! Data written to: {}", spot.path(part));
    context.console.line(&told)?;
    Ok(code::OK)
}
