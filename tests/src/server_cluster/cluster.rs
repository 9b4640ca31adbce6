//! A whole cluster: start, initialise, unseal, find the active node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tenure_client::proto::{GetClusterStatusResponse, Member, MemberRole};
use tenure_client::{Client, Health, Secret};

use super::node::builder;
use super::{Authority, Host, Outcome, SOON, ServerNode, tenure_binary, until};

/// How the nodes of a cluster run.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The program.
    pub binary: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// Whether the client port speaks TLS.
    pub tls: bool,
    /// `log_level` of the nodes.
    pub log_level: String,
    /// Further lines of the listener stanza.
    pub listener: String,
    /// Further lines of the storage stanza.
    pub storage: String,
    /// Further lines at the top level.
    pub top: String,
    /// A command before the program, which must become it (`exec`).
    pub launcher: Vec<String>,
    /// Whether the nodes' wall clocks can be set (`ServerNode::shift_clock`).
    pub clocks: bool,
    /// Where the nodes run, one after the other; none: here.
    pub hosts: Vec<Host>,
}

impl ServerOptions {
    /// `nodes` nodes with default settings.
    pub fn new(nodes: usize) -> Outcome<Self> {
        Ok(Self {
            binary: tenure_binary()?,
            nodes,
            tls: true,
            log_level: "debug".to_owned(),
            listener: String::new(),
            storage: String::new(),
            top: String::new(),
            launcher: Vec::new(),
            clocks: false,
            hosts: Vec::new(),
        })
    }
}

/// What init showed.
#[derive(Clone)]
pub struct Keys {
    /// All shares.
    pub shares: Vec<Vec<u8>>,
    /// How many of them open a node.
    pub threshold: usize,
    /// The root token.
    pub root: Secret,
}

impl Keys {
    /// Just enough shares.
    pub fn quorum(&self) -> &[Vec<u8>] {
        &self.shares[..self.threshold.min(self.shares.len())]
    }
}

/// A cluster.
pub struct ServerCluster {
    /// Its nodes.
    pub nodes: Vec<ServerNode>,
    /// How they run.
    pub options: ServerOptions,
    /// Who signed their certificates.
    pub authority: Authority,
    dir: PathBuf,
    logs: PathBuf,
    /// What init showed, or what a test put in its place.
    pub keys: Option<Keys>,
}

impl ServerCluster {
    /// Starts the nodes' processes, each knowing the others' addresses, and waits until they
    /// answer. Nothing is initialised.
    pub async fn spawn(dir: &Path, logs: &Path, options: ServerOptions) -> Outcome<Self> {
        let mut cluster = Self {
            nodes: Vec::new(),
            options,
            authority: Authority::new()?,
            dir: dir.to_owned(),
            logs: logs.to_owned(),
            keys: None,
        };
        for _ in 0..cluster.options.nodes {
            let node = cluster.new_node()?;
            cluster.nodes.push(node);
        }
        for index in 0..cluster.nodes.len() {
            cluster.launch(index)?;
        }
        for node in &mut cluster.nodes {
            node.wait_up().await?;
        }
        Ok(cluster)
    }

    /// Starts a cluster that is initialised (5 shares, threshold 3), unsealed and complete.
    pub async fn start(dir: &Path, logs: &Path, options: ServerOptions) -> Outcome<Self> {
        let mut cluster = Self::spawn(dir, logs, options).await?;
        cluster.init(5, 3).await?;
        cluster.unseal_all().await?;
        cluster.wait_complete().await?;
        Ok(cluster)
    }

    /// The next node, which has never run.
    fn new_node(&self) -> Outcome<ServerNode> {
        let index = self.nodes.len();
        let (name, host) = (format!("node-{}", index + 1), self.options.hosts.get(index));
        let node = ServerNode::new(&self.dir, &name, &self.authority, self.options.tls, host)?;
        if self.options.clocks {
            node.with_clock()
        } else {
            Ok(node)
        }
    }

    /// Starts a node's process, with the configuration that the options say; doesn't wait for it.
    pub fn launch(&mut self, index: usize) -> Outcome<()> {
        let own = self.node(index)?.peer;
        let others: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.peer)
            .filter(|peer| *peer != own)
            .collect();
        let (options, logs) = (self.options.clone(), self.logs.clone());
        let node = self.node_mut(index)?;
        node.configure(&others, &options)?;
        node.spawn(&options, &logs)
    }

    /// A node.
    pub fn node(&self, index: usize) -> Outcome<&ServerNode> {
        self.nodes
            .get(index)
            .ok_or_else(|| format!("there is no node {index}"))
    }

    /// A node.
    pub fn node_mut(&mut self, index: usize) -> Outcome<&mut ServerNode> {
        self.nodes
            .get_mut(index)
            .ok_or_else(|| format!("there is no node {index}"))
    }

    /// Starts a node again and waits until it answers. It is sealed. One that still runs is killed
    /// first: the new one needs its addresses.
    pub async fn restart(&mut self, index: usize) -> Outcome<()> {
        self.node_mut(index)?.kill();
        self.launch(index)?;
        self.node_mut(index)?.wait_up().await
    }

    /// Adds a node that has never run: starts it and waits until it answers.
    pub async fn add_node(&mut self) -> Outcome<usize> {
        let index = self.nodes.len();
        let node = self.new_node()?;
        self.nodes.push(node);
        self.restart(index).await?;
        Ok(index)
    }

    /// Initialises the cluster on the first node.
    pub async fn init(&mut self, shares: u32, threshold: u32) -> Outcome<Keys> {
        let node = self.node(0)?;
        let made = node.client().init(shares, threshold).await;
        let made = made.map_err(|error| format!("init: {error}\n{}", node.log_tail()))?;
        let keys = Keys {
            shares: made.shares.iter().map(|share| share.to_vec()).collect(),
            threshold: threshold as usize,
            root: made.root_token,
        };
        self.keys = Some(keys.clone());
        Ok(keys)
    }

    /// The keys of the cluster.
    pub fn keys(&self) -> Outcome<&Keys> {
        self.keys
            .as_ref()
            .ok_or_else(|| "the cluster isn't initialised".to_owned())
    }

    /// The root token.
    pub fn root(&self) -> Secret {
        self.keys
            .as_ref()
            .map_or_else(|| Secret::new("none"), |keys| keys.root.clone())
    }

    /// Unseals a node with a quorum of shares. A node outside the cluster joins by this.
    pub async fn unseal(&self, index: usize) -> Outcome<()> {
        self.node(index)?.unseal(self.keys()?.quorum()).await
    }

    /// Unseals all nodes, the first one first.
    pub async fn unseal_all(&self) -> Outcome<()> {
        for index in 0..self.nodes.len() {
            self.unseal(index).await?;
        }
        Ok(())
    }

    /// A client of all nodes, with the root token.
    pub fn client(&self) -> Outcome<Client> {
        let urls = self.nodes.iter().map(ServerNode::url);
        let client = builder(&self.authority)
            .addresses(urls)
            .token(self.root())
            .build();
        client.map_err(|error| error.to_string())
    }

    /// A client of some nodes, the first one asked first, with the root token.
    pub fn client_of(&self, indexes: &[usize]) -> Outcome<Client> {
        let urls: Outcome<Vec<String>> = indexes
            .iter()
            .map(|index| Ok(self.node(*index)?.url()))
            .collect();
        let client = builder(&self.authority)
            .addresses(urls?)
            .token(self.root())
            .build();
        client.map_err(|error| error.to_string())
    }

    /// A client of one node alone, with the root token.
    pub fn root_at(&self, index: usize) -> Outcome<Client> {
        Ok(self.node(index)?.client_of(&self.root()))
    }

    /// The nodes that say that they are active, among those that answer.
    pub async fn actives(&mut self) -> Vec<usize> {
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.runs() && matches!(node.health("tenure.active").await, Ok(Health::Serving)) {
                found.push(index);
            }
        }
        found
    }

    /// Waits until exactly one node is active.
    pub async fn wait_active(&mut self) -> Outcome<usize> {
        self.wait_active_but(&[]).await
    }

    /// Waits until exactly one node is active that isn't among `others` (nodes that are
    /// paused, and would hold up each question).
    pub async fn wait_active_but(&mut self, others: &[usize]) -> Outcome<usize> {
        until("one node is active", SOON, async || {
            let mut found = Vec::new();
            for (index, node) in self.nodes.iter_mut().enumerate() {
                if others.contains(&index) || !node.runs() {
                    continue;
                }
                if matches!(node.health("tenure.active").await, Ok(Health::Serving)) {
                    found.push(index);
                }
            }
            match found[..] {
                [index] => Ok(index),
                _ => Err(format!("active: {found:?}")),
            }
        })
        .await
    }

    /// A standby.
    pub async fn standby(&mut self) -> Outcome<usize> {
        let active = self.wait_active().await?;
        let standby = (0..self.nodes.len()).find(|index| *index != active);
        standby.ok_or_else(|| "one node has no standby".to_owned())
    }

    /// The members as the active node sees them.
    pub async fn members(&self) -> Outcome<GetClusterStatusResponse> {
        let status = self.client()?.cluster_status().await;
        status.map_err(|error| format!("cluster status: {error}"))
    }

    /// The member of a node's name.
    pub async fn member(&self, index: usize) -> Outcome<Member> {
        let name = &self.node(index)?.name;
        let members = self.members().await?.members;
        let found = members.into_iter().find(|member| member.name == *name);
        found.ok_or_else(|| format!("{name} is no member"))
    }

    /// Waits until every node that runs is a voter, unsealed, and has applied what is
    /// committed now.
    pub async fn wait_complete(&mut self) -> Outcome<()> {
        let goal = until("the committed index", SOON, async || self.members().await).await?;
        let goal = goal.committed_index;
        let mut wanted = Vec::new();
        for node in &mut self.nodes {
            if node.runs() {
                wanted.push(node.name.clone());
            }
        }
        until("all nodes are caught up voters", SOON, async || {
            let members = self.members().await?.members;
            for name in &wanted {
                let member = members.iter().find(|member| member.name == *name);
                let member = member.ok_or_else(|| format!("{name} is no member"))?;
                let state = member
                    .state
                    .as_ref()
                    .ok_or_else(|| format!("{name} is silent"))?;
                if member.role() != MemberRole::Voter {
                    return Err(format!("{name} is no voter"));
                }
                if state.sealed || state.applied_index < goal {
                    let at = state.applied_index;
                    return Err(format!("{name}: sealed {}, {at} of {goal}", state.sealed));
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits a bounded time for the cluster to take a write.
    pub async fn wait_writable(&self, bound: Duration) -> Outcome<()> {
        let client = self.client()?;
        until("a write is taken", bound, async || {
            let made = client.create_token(Default::default()).await;
            made.map(drop).map_err(|error| error.to_string())
        })
        .await
    }
}
