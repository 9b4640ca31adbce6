//! `tenure token revoke`.

use clap::{Args, ValueEnum};

use super::{super::Context, accessor_argument, token_argument};
use crate::{
    connection::ConnectionArgs,
    failure::{Failure, code},
};

/// What ends besides the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Nothing: the token's children become orphans and live on.
    Orphan,
}

/// Flags of `tenure token revoke`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RevokeArgs {
    /// Where the token is, - or @file; or with -accessor an accessor
    #[arg(
        value_name = "-|@FILE|ACCESSOR",
        required_unless_present = "revoke_self"
    )]
    target: Option<String>,

    /// The argument is an accessor
    #[arg(long, conflicts_with_all = ["revoke_self", "mode"])]
    accessor: bool,

    /// Revoke the token you call with
    #[arg(long = "self", id = "revoke_self", conflicts_with_all = ["target", "mode"])]
    revoke_self: bool,

    /// "orphan" leaves the children of the token alive, as orphans. Not given: its
    /// descendants end with it
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: RevokeArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let target = args.target.as_deref();
    let failed = |error: &tenure_client::Error| Failure::call("revoking token", error);
    if args.revoke_self {
        let client = args.connection.client(context.env, context.console)?;
        client.revoke_self().await.map_err(|error| failed(&error))?;
    } else if args.accessor {
        let accessor = accessor_argument(target)?;
        let client = args.connection.client(context.env, context.console)?;
        let warnings = client
            .revoke_accessor(accessor)
            .await
            .map_err(|error| failed(&error))?;
        for warning in warnings {
            context.console.error(&format!("WARNING! {warning}"));
        }
    } else {
        let target = target.ok_or_else(|| {
            Failure::local(
                "Error: name what to revoke: - or @file for a token, -accessor with an \
                 accessor, or -self for the token you call with",
            )
        })?;
        let token = token_argument(target, context).await?;
        let client = args.connection.client(context.env, context.console)?;
        match args.mode {
            None => client.revoke_token(&token).await,
            Some(Mode::Orphan) => client.revoke_orphan(&token).await,
        }
        .map_err(|error| failed(&error))?;
    }
    context
        .console
        .line("Success! Revoked token (if it existed)")?;
    Ok(code::OK)
}
