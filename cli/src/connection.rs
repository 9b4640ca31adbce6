//! How a command reaches the cluster: addresses, certificates, the token.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use clap::Args;
use tenure_client::{Client, Secret};
use zeroize::Zeroizing;

use crate::{console::Console, env::Env, failure::Failure};

/// Where a server is expected when nobody says.
const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";
/// A call of the command line is given up after so long.
const DEADLINE: Duration = Duration::from_secs(60);
/// A call that fails is tried again for so long: longer than a failover takes.
const RETRY_WINDOW: Duration = Duration::from_secs(3);
/// Files in the home folder that may hold the token, in order.
const TOKEN_FILES: [&str; 2] = [".tenure-token", ".vault-token"];

/// Flags of every command that calls a server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Address of the server, or several with commas between: https://host:port, or
    /// http://host:port for plain text. Commands about one node (status, operator init,
    /// unseal, seal, raft join) use the first. Default: https://127.0.0.1:8200. Also
    /// TENURE_ADDR, VAULT_ADDR
    #[arg(long, value_name = "URL[,URL]")]
    pub(crate) address: Option<String>,

    /// File of PEM certificates to trust instead of the system's. Also TENURE_CACERT,
    /// VAULT_CACERT
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<String>,

    /// Name to expect in the server's certificate instead of the address's host. Also
    /// TENURE_TLS_SERVER_NAME, VAULT_TLS_SERVER_NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
}

impl ConnectionArgs {
    /// A client that sends the token of the environment, if there is one.
    pub(crate) fn client(&self, env: &Env, console: &mut Console) -> Result<Client, Failure> {
        self.build(env, token(env, console)?)
    }

    /// A client that sends no token.
    pub(crate) fn anonymous(&self, env: &Env) -> Result<Client, Failure> {
        self.build(env, None)
    }

    fn build(&self, env: &Env, token: Option<Secret>) -> Result<Client, Failure> {
        let addresses = self
            .address
            .clone()
            .or_else(|| env.setting("ADDR"))
            .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let mut builder = Client::builder()
            .addresses(addresses.split(',').map(str::trim))
            .deadline(DEADLINE)
            .retry_window(RETRY_WINDOW)
            .note_request_ids();
        if let Some(path) = self.ca_cert.clone().or_else(|| env.setting("CACERT")) {
            let pem = fs::read(&path)
                .map_err(|error| Failure::local(format!("Error reading {path}: {error}")))?;
            builder = builder.ca_pem(pem);
        }
        let name = self.tls_server_name.clone();
        if let Some(name) = name.or_else(|| env.setting("TLS_SERVER_NAME")) {
            builder = builder.tls_server_name(name);
        }
        if let Some(token) = token {
            builder = builder.token(token);
        }
        builder
            .build()
            .map_err(|error| Failure::local(format!("Error: {error}")))
    }
}

/// The token to call with: the environment's, else that of a file in the home folder.
fn token(env: &Env, console: &mut Console) -> Result<Option<Secret>, Failure> {
    if let Some(token) = env.setting("TOKEN") {
        return Ok(Some(Secret::new(token)));
    }
    for name in TOKEN_FILES {
        let Some(path) = env.home_file(name) else {
            continue;
        };
        if let Some(token) = token_file(&path, console)? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

fn token_file(path: &Path, console: &mut Console) -> Result<Option<Secret>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::local(format!("Error reading {}: {error}", path.display()))
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let content = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let token = Secret::new(content.trim());
    if token.is_empty() {
        return Ok(None);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        console.error(&format!(
            "WARNING! Other users may read {0}: chmod 600 {0}",
            path.display()
        ));
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_come_from_the_flag_then_the_environment_then_the_default() {
        let args = |address: Option<&str>| ConnectionArgs {
            address: address.map(str::to_owned),
            ..Default::default()
        };
        let env = Env::of(&[("VAULT_ADDR", "http://b:1")]);
        let addresses = |args: &ConnectionArgs, env: &Env| {
            let client = args.anonymous(env).unwrap();
            client.addresses().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            addresses(&args(Some("http://a:1, http://c:2")), &env),
            ["http://a:1", "http://c:2"]
        );
        assert_eq!(addresses(&args(None), &env), ["http://b:1"]);
        let failure = args(Some("a:1,")).anonymous(&env).unwrap_err();
        assert_eq!(failure.code(), 1);
    }
}
