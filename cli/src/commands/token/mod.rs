//! `tenure token …`.

mod capabilities;
mod create;
mod list;
mod lookup;
mod renew;
mod revoke;
mod role;

use clap::Subcommand;
use tenure_client::Secret;

use super::Context;
use crate::{failure::Failure, secret_input::Source};

/// The commands on tokens.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token, a child of the one you call with
    Create(create::CreateArgs),
    /// Show a token: your own, another one, or that of an accessor
    #[command(after_help = SECRETS)]
    Lookup(lookup::LookupArgs),
    /// Extend a token's life: your own, another one's, or that of an accessor
    #[command(after_help = SECRETS)]
    Renew(renew::RenewArgs),
    /// End a token and its descendants: your own, another one, or that of an accessor
    #[command(after_help = SECRETS)]
    Revoke(revoke::RevokeArgs),
    /// List the tokens of the cluster: who has them, made how, with which rights, for how long
    List(list::ListArgs),
    /// Write, show, list and delete the roles with which tokens are made
    #[command(subcommand, arg_required_else_help = true)]
    Role(role::RoleCommand),
    /// Show what a token may do with paths
    #[command(after_help = SECRETS)]
    Capabilities(capabilities::CapabilitiesArgs),
}

/// How this differs from Vault's command line.
const SECRETS: &str = "\
A token is a secret, so unlike Vault's command line this one takes none as an argument,
where other users of the machine could read it. Give - to read it from standard input (on a
terminal it is asked for without being shown), or @file to read it from a file. An accessor
is no secret, and is given as it is.";

pub(crate) async fn run(command: TokenCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        TokenCommand::Create(args) => create::run(args, context).await,
        TokenCommand::Lookup(args) => lookup::run(args, context).await,
        TokenCommand::Renew(args) => renew::run(args, context).await,
        TokenCommand::Revoke(args) => revoke::run(args, context).await,
        TokenCommand::List(args) => list::run(args, context).await,
        TokenCommand::Role(command) => role::run(command, context).await,
        TokenCommand::Capabilities(args) => capabilities::run(args, context).await,
    }
}

/// The token that a positional argument names.
async fn token_argument(argument: &str, context: &mut Context<'_>) -> Result<Secret, Failure> {
    Source::parse(argument, "Token")?
        .read("Token", context.console)
        .await
}

/// The accessor that a positional argument must be.
fn accessor_argument(argument: Option<&str>) -> Result<&str, Failure> {
    argument
        .filter(|accessor| !accessor.is_empty())
        .ok_or_else(|| Failure::local("Error: -accessor needs an accessor"))
}
