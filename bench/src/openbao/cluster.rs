//! OpenBao's processes: configured, initialised with one share, unsealed, all voters.

use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use ::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use tenure_tests::{
    Process,
    ports::free_address,
    server_cluster::{Outcome, until},
};

use crate::http_client::Http;

/// A node becomes a voter ten to fifteen seconds after it joined.
const PATIENCE: Duration = Duration::from_secs(90);
/// A node that was given its share while it joins is given it again only after so long: two
/// at once make it run two leadership loops (seen with 2.7.2).
const SHARE_AGAIN_AFTER: Duration = Duration::from_secs(15);

pub(super) struct Cluster {
    nodes: Vec<BaoNode>,
    pub(super) root: String,
}

struct BaoNode {
    api: SocketAddr,
    process: Process,
}

impl BaoNode {
    /// What `sys/health` says: 200 active, 429 standby, 501 not initialised, 503 sealed.
    async fn health(&self) -> Outcome<u16> {
        let mut http = Http::connect(self.api).await?;
        let asked = http.call(Method::GET, "/v1/sys/health", "", Bytes::new());
        Ok(asked.await?.0)
    }

    async fn unseal(&self, share: &str) -> Outcome<()> {
        let mut http = Http::connect(self.api).await?;
        let body = json!({ "key": share });
        let given = http.json(Method::PUT, "/v1/sys/unseal", "", &body).await;
        given.map(drop)
    }

    async fn wait(&self, wanted: &[u16]) -> Outcome<()> {
        let waited = until("OpenBao's health", PATIENCE, async || {
            match self.health().await? {
                status if wanted.contains(&status) => Ok(()),
                status => Err(format!("health {status}, wanted {wanted:?}")),
            }
        });
        waited
            .await
            .map_err(|reason| format!("{reason}\n{}", self.process.log_tail(20)))
    }
}

impl Cluster {
    pub(super) async fn start(program: &Path, dir: &Path, count: usize) -> Outcome<Self> {
        let mut nodes = Vec::new();
        let mut first = None;
        for number in 1..=count {
            let name = format!("bao-{number}");
            let (api, peer) = (free_address(), free_address());
            let config = configure(&dir.join(&name), &name, api, peer, first)?;
            first = first.or(Some(api));
            let mut command = Command::new(program);
            command
                .arg("server")
                .arg(format!("-config={}", config.display()));
            let process = Process::spawn(command, &dir.join("logs"), &name);
            let process = process.map_err(|error| format!("{}: {error}", program.display()))?;
            nodes.push(BaoNode { api, process });
        }
        let [first, others @ ..] = &nodes[..] else {
            return Err("a cluster needs a node".to_owned());
        };
        first.wait(&[501]).await?;
        let mut http = Http::connect(first.api).await?;
        let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = http.json(Method::PUT, "/v1/sys/init", "", &body).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (share, root) = (text(&made["keys"][0]), text(&made["root_token"]));
        first.unseal(&share).await?;
        first.wait(&[200]).await?;
        for node in others {
            join(node, &share).await?;
        }
        let cluster = Self { nodes, root };
        cluster.wait_voters().await?;
        Ok(cluster)
    }

    async fn wait_voters(&self) -> Outcome<()> {
        let wanted = self.nodes.len();
        until("OpenBao's nodes vote", PATIENCE, async || {
            let mut http = Http::connect(self.active().await?).await?;
            let path = "/v1/sys/storage/raft/configuration";
            let answer = http.json(Method::GET, path, &self.root, &Value::Null).await;
            let answer = answer?;
            let servers = answer["data"]["config"]["servers"].as_array();
            let voters = servers.map_or(0, |all| {
                all.iter().filter(|one| one["voter"] == true).count()
            });
            match voters == wanted {
                true => Ok(()),
                false => Err(format!("{voters} of {wanted} voters")),
            }
        })
        .await
    }

    async fn find(&self, wanted: &[u16]) -> Outcome<SocketAddr> {
        until("an OpenBao node in its role", PATIENCE, async || {
            for node in &self.nodes {
                if wanted.contains(&node.health().await?) {
                    return Ok(node.api);
                }
            }
            Err("none".to_owned())
        })
        .await
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.api).collect()
    }

    pub(super) async fn active(&self) -> Outcome<SocketAddr> {
        self.find(&[200]).await
    }

    pub(super) async fn standby(&self) -> Outcome<SocketAddr> {
        self.find(&[429, 472, 473]).await
    }
}

/// A node asks to join, and opens with the share once it was let in.
async fn join(node: &BaoNode, share: &str) -> Outcome<()> {
    node.wait(&[501, 503]).await?;
    let mut given: Option<Instant> = None;
    until("an OpenBao node joins", PATIENCE, async || {
        if given.is_none_or(|at| at.elapsed() > SHARE_AGAIN_AFTER) {
            // Refused until it has heard of the cluster.
            if node.unseal(share).await.is_ok() {
                given = Some(Instant::now());
            }
        }
        match node.health().await? {
            200 | 429 | 472 | 473 => Ok(()),
            status => Err(format!("health {status}")),
        }
    })
    .await
}

fn configure(
    dir: &Path,
    name: &str,
    api: SocketAddr,
    peer: SocketAddr,
    leader: Option<SocketAddr>,
) -> Outcome<std::path::PathBuf> {
    let mut text = format!(
        "storage \"raft\" {{\n  path = \"{}/raft\"\n  node_id = \"{name}\"\n",
        dir.display()
    );
    let join = leader.map_or(Ok(()), |leader| {
        writeln!(
            text,
            "  retry_join {{ leader_api_addr = \"http://{leader}\" }}"
        )
    });
    let rest = write!(
        text,
        "}}\nlistener \"tcp\" {{\n  address = \"{api}\"\n  cluster_address = \"{peer}\"\n  \
         tls_disable = true\n}}\napi_addr = \"http://{api}\"\ncluster_addr = \"https://{peer}\"\n\
         log_level = \"info\"\n"
    );
    join.and(rest).map_err(|error| error.to_string())?;
    let path = dir.join("bao.hcl");
    fs::create_dir_all(dir.join("raft"))
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
