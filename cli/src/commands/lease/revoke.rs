//! `tenure lease revoke`.

use clap::Args;

use super::{super::Context, path};
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
};

/// Flags of `tenure lease revoke`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RevokeArgs {
    /// Id of the lease; with -prefix the path under which leases are to end
    #[arg(value_name = "ID|PREFIX")]
    id: String,

    /// End all your leases under the path, in one commit; with sudo on the path those of all
    /// tokens
    #[arg(long)]
    prefix: bool,

    /// With -prefix: also those that an outside system would not let go, for tokens with sudo
    #[arg(long, requires = "prefix")]
    force: bool,

    /// Wait until they have ended, as every revocation here does
    #[arg(long)]
    sync: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: RevokeArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = args.connection.client(context.env, context.console)?;
    let target = path(&args.id);
    let (doing, done) = if args.prefix {
        (
            "revoking leases",
            "Success! Revoked the leases under the prefix (if any existed)",
        )
    } else {
        ("revoking lease", "Success! Revoked lease")
    };
    let answer = match (args.prefix, args.force) {
        (true, true) => client.revoke_force(target).await,
        (true, false) => client.revoke_prefix(target).await,
        (false, _) => client.revoke_lease(target).await,
    };
    answer.map_err(|error| Failure::call(doing, &error))?;
    context.console.line(done)?;
    Ok(code::OK)
}
