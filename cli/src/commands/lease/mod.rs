//! `tenure lease …`.

mod count;
mod grant;
mod keep_alive;
mod list;
mod lookup;
mod renew;
mod revoke;
mod watch;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// The commands on leases.
#[derive(Subcommand, Debug)]
pub(crate) enum LeaseCommand {
    /// Put something on lease for the token you call with
    #[command(after_help = PAYLOAD)]
    Grant(grant::GrantArgs),
    /// Show a lease
    Lookup(lookup::LookupArgs),
    /// Extend a lease's life
    Renew(renew::RenewArgs),
    /// End a lease, or with -prefix all under a path
    Revoke(revoke::RevokeArgs),
    /// List leases
    List(list::ListArgs),
    /// Count leases
    Count(count::CountArgs),
    /// Keep leases alive, as long as this runs
    #[command(after_help = keep_alive::HELP)]
    KeepAlive(keep_alive::KeepAliveArgs),
    /// Show what happens to leases, as it happens
    #[command(after_help = watch::HELP)]
    Watch(watch::WatchArgs),
}

/// How a payload is given.
const PAYLOAD: &str = "\
What is put on lease is a secret, so it is never taken from the command line, where other
users of the machine could read it. Give - to read it from standard input, or @file. It is
kept byte by byte: nothing is trimmed.";

pub(crate) async fn run(command: LeaseCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        LeaseCommand::Grant(args) => grant::run(args, context).await,
        LeaseCommand::Lookup(args) => lookup::run(args, context).await,
        LeaseCommand::Renew(args) => renew::run(args, context).await,
        LeaseCommand::Revoke(args) => revoke::run(args, context).await,
        LeaseCommand::List(args) => list::run(args, context).await,
        LeaseCommand::Count(args) => count::run(args, context).await,
        LeaseCommand::KeepAlive(args) => keep_alive::run(args, context).await,
        LeaseCommand::Watch(args) => watch::run(args, context).await,
    }
}

/// A path as people write it: slashes at its ends don't count.
fn path(text: &str) -> &str {
    text.trim_matches('/')
}
