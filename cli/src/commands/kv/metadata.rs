//! `tenure kv metadata …`.

use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{super::Context, PathArgs};
use crate::{
    duration,
    failure::{Failure, code},
    output::data_report,
};

/// The commands on metadata.
#[derive(Subcommand, Debug)]
pub(crate) enum MetadataCommand {
    /// Show what is known of a secret
    Get(PathArgs),
    /// Set what is given; custom metadata is replaced whole
    Put(SetArgs),
    /// Set what is given; custom metadata is merged
    Patch(SetArgs),
    /// Delete a secret with all its versions, for good
    Delete(PathArgs),
}

/// Flags of `tenure kv metadata put` and `patch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SetArgs {
    /// How many versions are kept; 0: as the mount has it
    #[arg(long, value_name = "COUNT")]
    max_versions: Option<u32>,

    /// Whether each write must name the version that it follows
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    cas_required: Option<bool>,

    /// After which time new versions are deleted; 0: as the mount has it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    delete_version_after: Option<Duration>,

    /// Custom metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    custom_metadata: Vec<String>,

    /// Remove this key of the custom metadata (patch alone); may be given several times
    #[arg(long, value_name = "KEY")]
    remove_custom_metadata: Vec<String>,

    #[command(flatten)]
    path: PathArgs,
}

impl SetArgs {
    fn body(&self) -> Result<String, Failure> {
        let mut body = Map::new();
        if let Some(max) = self.max_versions {
            body.insert("max_versions".into(), json!(max));
        }
        if let Some(required) = self.cas_required {
            body.insert("cas_required".into(), json!(required));
        }
        if let Some(after) = self.delete_version_after {
            body.insert("delete_version_after".into(), json!(after.as_secs()));
        }
        let mut custom = Map::new();
        for word in &self.custom_metadata {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| Failure::local("Error: -custom-metadata is given as key=value"))?;
            custom.insert(key.to_owned(), json!(value));
        }
        for key in &self.remove_custom_metadata {
            custom.insert(key.clone(), Value::Null);
        }
        if !custom.is_empty() {
            body.insert("custom_metadata".into(), Value::Object(custom));
        }
        Ok(Value::Object(body).to_string())
    }
}

pub(super) async fn run(
    command: MetadataCommand,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    match command {
        MetadataCommand::Get(args) => get(args, context).await,
        MetadataCommand::Put(args) if !args.remove_custom_metadata.is_empty() => Err(
            Failure::local("Error: -remove-custom-metadata is for patch alone"),
        ),
        MetadataCommand::Put(args) => {
            let body = args.body()?;
            let spot = args.path.find(context).await?;
            spot.versioned()?;
            spot.write("metadata", &body).await?;
            done(&spot.path("metadata"), context)
        }
        MetadataCommand::Patch(args) => {
            let body = args.body()?;
            let spot = args.path.find(context).await?;
            spot.versioned()?;
            spot.patch("metadata", &body).await?;
            done(&spot.path("metadata"), context)
        }
        MetadataCommand::Delete(args) => {
            let spot = args.find(context).await?;
            spot.versioned()?;
            spot.delete("metadata").await?;
            let path = spot.path("metadata");
            let told = format!("Success! Data deleted (if it existed) at: {path}");
            context.console.line(&told)?;
            Ok(code::OK)
        }
    }
}

fn done(path: &str, context: &mut Context<'_>) -> Result<u8, Failure> {
    let told = format!("Success! Data written to: {path}");
    context.console.line(&told)?;
    Ok(code::OK)
}

async fn get(args: PathArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let spot = args.find(context).await?;
    spot.versioned()?;
    let read = spot
        .client
        .read(&spot.path("metadata"), b"")
        .await
        .map_err(|error| Failure::call("reading", &error))?;
    let id = spot.client.last_request_id();
    let report = data_report(&read.data, None, read.warnings, id)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
