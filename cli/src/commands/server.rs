//! `tenure server`: hands over to the server crate. It must hold no logic of its own.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// Flags of `tenure server`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerArgs {
    /// Configuration file (HCL) or a folder of such files; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Vec<PathBuf>,

    /// Run a development server: in a folder of its own that goes when it ends, unsealed,
    /// plain text on the loopback interface. Never for real secrets
    #[arg(long)]
    pub(crate) dev: bool,

    /// Root token of the development server. Default: a random one
    #[arg(long, value_name = "TOKEN", requires = "dev")]
    pub(crate) dev_root_token_id: Option<String>,

    /// Address that the development server listens on. Default: 127.0.0.1:8200
    #[arg(long, value_name = "HOST:PORT", requires = "dev")]
    pub(crate) dev_listen_address: Option<String>,

    /// Don't write the development server's root token to ~/.tenure-token
    #[arg(long, requires = "dev")]
    pub(crate) dev_no_store_token: bool,
}

/// Runs a server until it is told to stop, and answers with the exit code.
pub(crate) fn run(args: &ServerArgs) -> Result<u8, Failure> {
    if args.config.is_empty() && !args.dev {
        return Err(Failure::local(
            "Error: give a configuration file with -config, or -dev",
        ));
    }
    Err(Failure::local("Error: this build has no server in it"))
}
