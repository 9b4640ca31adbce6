//! `tenure kv …`: the key/value engine, of either version. Which one a mount has, the server
//! is asked.

mod get;
mod metadata;
mod put;
mod versions;

use clap::{Args, Subcommand};
use tenure_client::{Client, proto};

use super::{CommonArgs, Context, list, new_request_id};
use crate::{
    failure::{Failure, code},
    output::{data_report, keys_report},
};

/// The commands on secrets.
#[derive(Subcommand, Debug)]
pub(crate) enum KvCommand {
    /// Show a secret
    Get(get::GetArgs),
    /// Write a secret; with version 2 a new version of it
    #[command(after_help = crate::data_input::HELP)]
    Put(put::PutArgs),
    /// Change fields of a secret and keep the others
    #[command(after_help = crate::data_input::HELP)]
    Patch(put::PutArgs),
    /// List the names in a folder
    List(PathArgs),
    /// Delete the latest version, or those that -versions names; undelete brings them back
    Delete(versions::DeleteArgs),
    /// Bring deleted versions back
    Undelete(versions::VersionsArgs),
    /// Delete versions for good
    Destroy(versions::VersionsArgs),
    /// Write an older version as the newest one
    Rollback(get::RollbackArgs),
    /// Show and change what is known of a secret beside its data
    #[command(subcommand, arg_required_else_help = true)]
    Metadata(metadata::MetadataCommand),
}

/// Which secret.
#[derive(Args, Clone, Debug)]
pub(crate) struct PathArgs {
    /// The secret: mount and name, or with -mount the name alone
    #[arg(value_name = "PATH")]
    path: String,

    /// Where the engine is mounted
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// A secret whose mount is known.
struct Spot {
    client: Client,
    mount: String,
    name: String,
    versioned: bool,
}

impl PathArgs {
    async fn find(&self, context: &mut Context<'_>) -> Result<Spot, Failure> {
        let client = context.client(&self.common)?;
        let name = self.path.trim_matches('/');
        let whole = match &self.mount {
            Some(mount) if name.is_empty() => mount.trim_matches('/').to_owned(),
            Some(mount) => format!("{}/{name}", mount.trim_matches('/')),
            None => name.to_owned(),
        };
        let found = client
            .get_mount(&whole)
            .await
            .map_err(|error| Failure::call("looking for the mount", &error))?;
        let mount = found.path.trim_end_matches('/');
        let name = whole.strip_prefix(mount).unwrap_or(&whole);
        Ok(Spot {
            client,
            mount: mount.to_owned(),
            name: name.trim_start_matches('/').to_owned(),
            versioned: found.options.get("version").is_some_and(|text| text == "2"),
        })
    }
}

impl Spot {
    /// The path of this part of the secret: with version 1 there is one alone.
    fn path(&self, part: &str) -> String {
        let middle = if self.versioned { part } else { "" };
        let parts = [self.mount.as_str(), middle, self.name.as_str()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }

    /// Refuses what version 1 hasn't.
    fn versioned(&self) -> Result<(), Failure> {
        match self.versioned {
            true => Ok(()),
            false => Err(Failure::local(
                "Error: the engine there keeps no versions: it is not kv version 2",
            )),
        }
    }

    async fn write(&self, part: &str, data: &str) -> Result<proto::WriteResponse, Failure> {
        let request = proto::WriteRequest {
            path: self.path(part),
            data: data.as_bytes().to_vec(),
            request_id: new_request_id(),
        };
        let written = self.client.write(request).await;
        written.map_err(|error| Failure::call("writing", &error))
    }

    async fn patch(&self, part: &str, data: &str) -> Result<proto::PatchResponse, Failure> {
        let request = proto::PatchRequest {
            path: self.path(part),
            data: data.as_bytes().to_vec(),
            request_id: new_request_id(),
        };
        let patched = self.client.patch(request).await;
        patched.map_err(|error| Failure::call("patching", &error))
    }

    async fn delete(&self, part: &str) -> Result<(), Failure> {
        let deleted = self.client.delete(&self.path(part)).await;
        deleted
            .map(drop)
            .map_err(|error| Failure::call("deleting", &error))
    }
}

pub(crate) async fn run(command: KvCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        KvCommand::Get(args) => get::run(args, context).await,
        KvCommand::Put(args) => put::put(args, context).await,
        KvCommand::Patch(args) => put::patch(args, context).await,
        KvCommand::List(args) => names(args, context).await,
        KvCommand::Delete(args) => versions::delete(args, context).await,
        KvCommand::Undelete(args) => versions::run("undelete", args, context).await,
        KvCommand::Destroy(args) => versions::run("destroy", args, context).await,
        KvCommand::Rollback(args) => get::rollback(args, context).await,
        KvCommand::Metadata(command) => metadata::run(command, context).await,
    }
}

async fn names(args: PathArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let spot = args.find(context).await?;
    let keys = list::all(&spot.client, &spot.path("metadata")).await?;
    let report = keys_report(&keys);
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

/// The body of a new version: the secret as JSON text, and the version that it follows.
fn version_body(data: &str, cas: Option<u64>) -> String {
    let options = cas.map_or_else(String::new, |cas| format!(r#","options":{{"cas":{cas}}}"#));
    format!(r#"{{"data":{data}{options}}}"#)
}

/// Shows what a write answered: the new version, or that it is done.
fn written(
    args: &PathArgs,
    spot: &Spot,
    data: &[u8],
    warnings: Vec<String>,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    if data.is_empty() {
        let told = format!("Success! Data written to: {}", spot.path("data"));
        context.console.line(&told)?;
        return Ok(code::OK);
    }
    let report = data_report(data, None, warnings, spot.client.last_request_id())?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
