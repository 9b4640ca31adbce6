//! One node: its configuration, its process, and questions to it alone.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tenure_client::proto::SealStatus;
use tenure_client::{Client, Code, Error, Health, Secret};

use super::{Authority, Host, Outcome, SOON, ServerOptions, until};
use crate::clockshift::ClockShift;
use crate::ports::{free_address, loopback};
use crate::process::Process;

/// Bound of one question to one node. Short: a paused node must not hold a probe up.
const ASK: Duration = Duration::from_secs(2);

/// A node of a cluster.
pub struct ServerNode {
    /// Its stable name.
    pub name: String,
    /// Its folder: configuration and certificate.
    pub dir: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// Where clients reach it.
    pub api: SocketAddr,
    /// Where other nodes reach it.
    pub peer: SocketAddr,
    /// Where it serves health checks in plain text.
    pub health: SocketAddr,
    /// Where it shows its metrics.
    pub metrics: SocketAddr,
    /// Environment of its next start.
    pub environment: Vec<(String, String)>,
    tls: bool,
    /// Its wall clock, if the cluster was asked for clocks that can be set.
    pub clock: Option<ClockShift>,
    /// What enters its network namespace, if it isn't the test's own.
    launcher: Vec<String>,
    process: Option<Process>,
    client: Client,
    plain: Client,
    runs: usize,
}

impl ServerNode {
    /// A node that has not run yet, with free ports and a certificate of its own.
    pub(super) fn new(
        dir: &Path,
        name: &str,
        authority: &Authority,
        tls: bool,
        host: Option<&Host>,
    ) -> Outcome<Self> {
        let node = dir.join(name);
        authority.server(&node, host.map_or_else(loopback, |host| host.ip))?;
        // A host of its own has all ports free.
        let address = |port| host.map_or_else(free_address, |host| (host.ip, port).into());
        let (api, peer, health) = (address(8200), address(8201), address(8202));
        let metrics = address(9200);
        let client = builder(authority).address(url(tls, api)).build();
        let plain = Client::builder()
            .address(format!("http://{health}"))
            .deadline(ASK)
            .build();
        Ok(Self {
            name: name.to_owned(),
            data: node.join("data"),
            dir: node,
            api,
            peer,
            health,
            metrics,
            tls,
            environment: Vec::new(),
            clock: None,
            launcher: host.map_or_else(Vec::new, Host::launcher),
            process: None,
            client: client.map_err(|error| error.to_string())?,
            plain: plain.map_err(|error| error.to_string())?,
            runs: 0,
        })
    }

    /// Lets its wall clock be set, from its next start on.
    pub(super) fn with_clock(mut self) -> Outcome<Self> {
        let clock = ClockShift::new(&self.dir.join("clock"));
        let clock = clock.map_err(|error| format!("{}: a clock: {error}", self.name))?;
        self.environment.extend(clock.environment());
        self.clock = Some(clock);
        Ok(self)
    }

    /// Sets its wall clock so far from true time, while it runs.
    pub fn shift_clock(&self, milliseconds: i64) -> Outcome<()> {
        let clock = self.clock.as_ref();
        let clock = clock.ok_or_else(|| format!("{}: its clock can't be set", self.name))?;
        clock
            .set_ms(milliseconds)
            .map_err(|error| format!("{}: set its clock: {error}", self.name))
    }

    /// The URL that clients use.
    pub fn url(&self) -> String {
        url(self.tls, self.api)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("tenure.hcl")
    }

    /// Writes its configuration. It asks the nodes of `join` to let it in.
    pub fn configure(&self, join: &[SocketAddr], options: &ServerOptions) -> Outcome<()> {
        let mut text = String::new();
        let joins: String = join
            .iter()
            .map(|peer| format!("  retry_join {{\n    leader_peer_addr = \"{peer}\"\n  }}\n"))
            .collect();
        let dir = self.dir.display();
        let tls = match self.tls {
            true => format!(
                "  tls_cert_file = \"{dir}/server.crt\"\n  tls_key_file = \"{dir}/server.key\"\n"
            ),
            false => "  tls_disable = true\n".to_owned(),
        };
        let written = write!(
            text,
            "listener \"tcp\" {{\n  address = \"{api}\"\n  cluster_address = \"{peer}\"\n  \
             health_address = \"{health}\"\n{tls}{listener}}}\n\nstorage \"raft\" {{\n  path = \
             \"{data}\"\n  node_id = \"{name}\"\n{joins}{storage}}}\n\napi_addr = \"{url}\"\n\
             cluster_addr = \"https://{peer}\"\ncluster_name = \"tenure-test\"\n\
             log_level = \"{level}\"\n{top}telemetry {{\n  prometheus_address = \"{metrics}\"\n}}\n",
            api = self.api,
            peer = self.peer,
            health = self.health,
            data = self.data.display(),
            name = self.name,
            url = self.url(),
            level = options.log_level,
            metrics = self.metrics,
            listener = options.listener,
            storage = options.storage,
            top = options.top,
        );
        written
            .map_err(|error| error.to_string())
            .and_then(|()| fs::write(self.config(), text).map_err(|error| error.to_string()))
            .map_err(|error| format!("write {}: {error}", self.config().display()))
    }

    /// Starts its process; doesn't wait for it.
    pub fn spawn(&mut self, options: &ServerOptions, logs: &Path) -> Outcome<()> {
        let binary = options.binary.display().to_string();
        let launchers = self.launcher.iter().chain(&options.launcher);
        let mut words = launchers.chain([&binary]);
        let mut command = Command::new(words.next().unwrap_or(&binary));
        command.args(words);
        command
            .arg("server")
            .arg(format!("-config={}", self.config().display()))
            .envs(self.environment.iter().cloned());
        // What the person who runs this has set must not reach the nodes.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name.starts_with("VAULT_")
                    || (name.starts_with("TENURE_") && !name.starts_with("TENURE_TEST_"))
            }) {
                command.env_remove(name);
            }
        }
        let log = format!("{}.{}", self.name, self.runs);
        self.runs += 1;
        let process = Process::spawn(command, logs, &log);
        let process =
            process.map_err(|error| format!("start {}: {error}", options.binary.display()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until its process answers; fails at once when it ends.
    pub async fn wait_up(&mut self) -> Outcome<()> {
        let (name, plain) = (self.name.clone(), self.plain.clone());
        let what = format!("{name} answers");
        let up = until(&what, SOON, async || {
            if let Some(end) = self.process.as_mut().and_then(Process::exited) {
                return Ok(Err(format!("{name} ended: {end}")));
            }
            match plain.health("").await {
                Ok(Health::Serving) => Ok(Ok(())),
                Ok(other) => Err(format!("{other:?}")),
                Err(error) => Err(error.to_string()),
            }
        });
        match up.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) | Err(reason) => Err(format!("{reason}\n{}", self.log_tail())),
        }
    }

    /// Its process.
    pub fn process(&mut self) -> Outcome<&mut Process> {
        self.process
            .as_mut()
            .ok_or_else(|| format!("{} doesn't run", self.name))
    }

    /// Whether its process runs.
    pub fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.exited().is_none())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.process
            .as_ref()
            .map(|process| process.log_tail(30))
            .unwrap_or_default()
    }

    /// A client of this node alone, without a token.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client of this node alone, with a token.
    pub fn client_of(&self, token: &Secret) -> Client {
        // Fails only for text that no server hands out; without a token it is refused.
        self.client
            .with_token(token.clone())
            .unwrap_or_else(|_| self.client.without_token())
    }

    /// Its seal status, asked once.
    pub async fn status(&self) -> Result<SealStatus, Error> {
        let client = self
            .client
            .with_deadline(ASK)
            .with_retry_window(Duration::ZERO);
        client.seal_status().await
    }

    /// Its health, asked once on the plain-text listener.
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        self.plain
            .with_retry_window(Duration::ZERO)
            .health(service)
            .await
    }

    /// Waits for a health.
    pub async fn wait_health(&self, service: &str, wanted: Health) -> Outcome<()> {
        let what = format!("{}: health {service:?} is {wanted:?}", self.name);
        until(&what, SOON, async || match self.health(service).await {
            Ok(health) if health == wanted => Ok(()),
            Ok(health) => Err(format!("{health:?}")),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Gives it shares until it is open, and waits until it serves.
    pub async fn unseal(&self, shares: &[Vec<u8>]) -> Outcome<()> {
        let name = &self.name;
        until(&format!("{name} is unsealed"), SOON, async || {
            for share in shares {
                let status = self
                    .client
                    .unseal(share)
                    .await
                    .map_err(|error| error.to_string())?;
                if !status.sealed {
                    return Ok(());
                }
            }
            // A node that joins by its shares opens a little later.
            let status = self.status().await.map_err(|error| error.to_string())?;
            match status.sealed {
                false => Ok(()),
                true => Err(format!("still sealed, progress {}", status.progress)),
            }
        })
        .await
        .map_err(|reason| format!("{reason}\n{}", self.log_tail()))?;
        self.wait_health("tenure.ready", Health::Serving).await
    }

    /// Whether this node refuses the token for good. A node that can't answer is asked again.
    pub async fn refuses(&self, token: &Secret) -> Outcome<()> {
        let client = self.client_of(token);
        until(
            &format!("{} says whether a token is good", self.name),
            SOON,
            async || match client.lookup_self().await {
                Ok(_) => Ok(Err(format!("{} accepts a token that is over", self.name))),
                Err(error) if refused_token(&error) => Ok(Ok(())),
                Err(error) => Err(error.to_string()),
            },
        )
        .await?
    }

    /// Whether this node accepts the token.
    pub async fn accepts(&self, token: &Secret) -> Outcome<()> {
        match self.client_of(token).lookup_self().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "{} doesn't accept a good token: {error}",
                self.name
            )),
        }
    }
}

/// Whether the server said that there is no such token.
pub fn refused_token(error: &Error) -> bool {
    matches!(error.code(), Code::Unauthenticated | Code::NotFound)
        && matches!(
            error.reason(),
            Some("INVALID_TOKEN" | "TOKEN_NOT_FOUND" | "NOT_FOUND")
        )
}

fn url(tls: bool, api: SocketAddr) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{api}")
}

pub(super) fn builder(authority: &Authority) -> tenure_client::Builder {
    Client::builder().ca_pem(authority.pem())
}
