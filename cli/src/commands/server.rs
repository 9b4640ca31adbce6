//! `tenure server`: hands over to the server crate. It must hold no logic of its own.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use clap::Args;
use tenure_server::{Dev, DevReady, RunError, config::DevOptions};

use crate::failure::{Failure, code};

/// Where the CLI looks for a token first.
const TOKEN_FILE: &str = ".tenure-token";

/// What of the configuration may come from the environment, as in Vault.
const ENVIRONMENT: &str = "\
Environment of the server. It wins over the configuration file, for what is a node's own where
all nodes share one file (the TENURE_ form wins over the VAULT_ one; one that is set to nothing
counts as not set):
  TENURE_RAFT_NODE_ID, VAULT_RAFT_NODE_ID  Stable name of the node: node_id of storage \"raft\"
  TENURE_RAFT_PATH, VAULT_RAFT_PATH        Its data folder: path of storage \"raft\"
  TENURE_API_ADDR, VAULT_API_ADDR          Where clients reach it: api_addr
  TENURE_CLUSTER_ADDR, VAULT_CLUSTER_ADDR  Where other nodes reach it: cluster_addr
  TENURE_LOG_LEVEL, VAULT_LOG_LEVEL        log_level
  TENURE_LOG_FORMAT, VAULT_LOG_FORMAT      log_format";

/// Flags of `tenure server`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = ENVIRONMENT)]
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
    let failed = |error: RunError| Failure::local(format!("Error: {error}"));
    match (args.dev, args.config.is_empty()) {
        (true, true) => tenure_server::dev(dev(args)?).map_err(failed)?,
        (true, false) => {
            return Err(Failure::local(
                "Error: -dev makes its own configuration; leave -config out",
            ));
        }
        (false, false) => tenure_server::serve(&args.config).map_err(failed)?,
        (false, true) => {
            return Err(Failure::local(
                "Error: give a configuration file with -config, or -dev",
            ));
        }
    }
    Ok(code::OK)
}

fn dev(args: &ServerArgs) -> Result<Dev, Failure> {
    let mut options = DevOptions::default();
    if let Some(address) = &args.dev_listen_address {
        options.address = address.parse().map_err(|_| {
            Failure::local("Error: -dev-listen-address: an IP address and a port, 127.0.0.1:8200")
        })?;
        options.cluster_port = 0;
    }
    if !options.address.ip().is_loopback() {
        return Err(Failure::local(
            "Error: -dev-listen-address: a development server speaks plain text, and only on \
             the loopback interface",
        ));
    }
    let store_token = !args.dev_no_store_token;
    Ok(Dev {
        options,
        root_token: args.dev_root_token_id.clone(),
        on_ready: Box::new(move |ready| announce(&ready, store_token)),
    })
}

/// Tells a person how to use a development server. It is the one place that shows a root
/// token and a key share, as `operator init` does.
fn announce(ready: &DevReady<'_>, store_token: bool) {
    let mut text = format!(
        "==> DEVELOPMENT SERVER. Plain text, one key share, its data is \
         gone when it ends.\n    Never use it for real secrets.\n\n\
         In another terminal:\n\n    export TENURE_ADDR='{}'\n\n\
         Unseal key: {}\nRoot token: {}\n",
        ready.address, ready.share, ready.root_token
    );
    if store_token {
        match write_token(ready.root_token) {
            Ok(path) => {
                text.push_str(&format!("\nThe root token is in {}.\n", path.display()));
            }
            Err(error) => {
                text.push_str(&format!("\nThe root token could not be stored: {error}\n"));
            }
        }
    }
    // A closed terminal is no reason to stop serving.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

fn write_token(token: &str) -> std::io::Result<PathBuf> {
    let home = std::env::home_dir().ok_or_else(|| std::io::Error::other("no home folder"))?;
    let path = home.join(TOKEN_FILE);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(token.as_bytes())?;
    Ok(path)
}
