//! Tenure under load: a cluster of the real program, and clients that speak its protobuf API
//! through plain gRPC channels (as any foreign client would).

mod client;

use std::{path::Path, rc::Rc, time::Duration};

use tenure_tests::server_cluster::{Keys, Outcome, ServerCluster, ServerOptions};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

pub use self::client::{Client, Leases, grant, request};
use crate::{
    client::{Pool, make_pool, make_stock, makers, measure_operation},
    closed_loop::{Sample, Window},
    limits::CHANNELS_MAX,
    metrics::{self, Written, value},
    operation::{Operation, Through},
    system::{MAKER, MAKER_TEXT, System},
};

const LOOKUP_SELF: &str = "/tenure.v1.TokenService/LookupSelf";

/// What the nodes counted while something was measured.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// What one call wrote.
    pub written: Written,
    /// Reads that each node answered itself.
    pub answered: Vec<u64>,
}

/// A running cluster.
pub struct Tenure {
    /// Its processes.
    pub cluster: ServerCluster,
    /// Its keys and root token.
    pub keys: Keys,
    tls: bool,
    pool: Pool<Client>,
}

impl Tenure {
    /// Starts `nodes` nodes, unsealed and complete, with tokens to look up and renew.
    ///
    /// # Errors
    /// What didn't work, for people.
    pub async fn start(dir: &Path, nodes: usize, tls: bool) -> Outcome<Self> {
        let options = ServerOptions {
            tls,
            log_level: "info".to_owned(),
            ..ServerOptions::new(nodes)?
        };
        let cluster = ServerCluster::start(dir, &dir.join("logs"), options).await?;
        let keys = cluster.keys()?.clone();
        let mut tenure = Self {
            cluster,
            keys,
            tls,
            pool: Rc::default(),
        };
        let active = tenure.node(Through::Active).await?;
        if let Some(client) = tenure.clients(active, 1).await?.pop() {
            tenure.pool = make_pool(client).await?;
        }
        Ok(tenure)
    }

    /// Index of the node that clients are to call.
    ///
    /// # Errors
    /// No node is active, or there is no standby.
    pub async fn node(&mut self, through: Through) -> Outcome<usize> {
        match through {
            Through::Active => self.cluster.wait_active().await,
            Through::Standby => self.cluster.standby().await,
        }
    }

    /// Clients of one node.
    ///
    /// # Errors
    /// No connection.
    pub async fn clients(&self, node: usize, clients: usize) -> Outcome<Vec<Client>> {
        let mut endpoint = Endpoint::from_shared(self.cluster.node(node)?.url())
            .map_err(|error| error.to_string())?
            .tcp_nodelay(true);
        if self.tls {
            let authority = Certificate::from_pem(self.cluster.authority.pem());
            let tls = ClientTlsConfig::new().ca_certificate(authority);
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| error.to_string())?;
        }
        let channels = connect(&endpoint, clients).await?;
        let client = |channel: &Channel| Client::new(channel, self.keys.root.expose());
        channels.iter().cycle().take(clients).map(client).collect()
    }

    async fn scrape_active(&mut self) -> Outcome<metrics::Values> {
        let active = self.node(Through::Active).await?;
        metrics::scrape(self.cluster.node(active)?.metrics).await
    }

    /// Measures one operation.
    ///
    /// # Errors
    /// Nothing could be measured.
    pub async fn measure(
        &mut self,
        operation: Operation,
        through: Through,
        clients: usize,
        window: Window,
    ) -> Outcome<(Sample, Counted)> {
        let node = self.node(through).await?;
        let active = self.node(Through::Active).await?;
        let stock = match operation {
            Operation::Revoke => {
                make_stock(self.clients(active, makers(clients)).await?, window).await?
            }
            _ => Vec::new(),
        };
        let clients = self.clients(node, clients).await?;
        let before = self.scrape().await?;
        let sample = measure_operation(clients, operation, &self.pool, stock, window).await?;
        let after = self.scrape().await?;
        let mut counted = Counted::default();
        if operation.reads() {
            counted.answered = metrics::answered(&before, &after, LOOKUP_SELF);
            // A standby that quietly asks the active node would pass for one that reads itself.
            let mut others = (0..).zip(&counted.answered).filter(|(at, _)| *at != node);
            if others.any(|(_, answered)| *answered > 0)
                || counted
                    .answered
                    .get(node)
                    .is_none_or(|answered| *answered == 0)
            {
                return Err(format!(
                    "node {node} was asked, and these were answered by each: {:?}",
                    counted.answered
                ));
            }
        } else if let (Some(before), Some(after)) = (before.get(active), after.get(active)) {
            counted.written = Written::between(before, after)?;
        }
        Ok((sample, counted))
    }

    /// The metrics of all nodes.
    async fn scrape(&self) -> Outcome<Vec<metrics::Values>> {
        let mut all = Vec::new();
        for node in &self.cluster.nodes {
            all.push(metrics::scrape(node.metrics).await?);
        }
        Ok(all)
    }
}

impl System for Tenure {
    type Client = Client;
    const NAME: &'static str = "Tenure";
    const LOOK_EVERY: Duration = Duration::from_millis(20);

    fn nodes(&self) -> usize {
        self.cluster.nodes.len()
    }

    async fn active(&mut self) -> Outcome<usize> {
        self.node(Through::Active).await
    }

    async fn connect(&self, node: usize, clients: usize) -> Outcome<Vec<Client>> {
        self.clients(node, clients).await
    }

    fn pool(&self) -> Pool<Client> {
        Rc::clone(&self.pool)
    }

    async fn write_maker(&mut self) -> Outcome<()> {
        let written = self.cluster.client()?.write_policy(MAKER, MAKER_TEXT).await;
        written.map_err(|error| error.to_string())
    }

    async fn is_clean(&mut self) -> Outcome<bool> {
        let values = self.scrape_active().await?;
        let tree = value(&values, "tenure_revocations_pending{kind=\"tree\"}")?;
        let prefix = value(&values, "tenure_revocations_pending{kind=\"prefix\"}")?;
        Ok(tree + prefix == 0.0)
    }

    async fn cleared(&mut self) -> Outcome<i64> {
        let values = self.scrape_active().await?;
        let of = |kind: &str| {
            let name = format!("tenure_expiration_lateness_seconds_count{{kind=\"{kind}\"}}");
            values.get(&name).copied().unwrap_or_default()
        };
        Ok((of("token") + of("lease")) as i64)
    }
}

/// Opens the channels that `clients` clients share.
///
/// # Errors
/// No connection.
pub async fn connect(endpoint: &Endpoint, clients: usize) -> Outcome<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..clients.clamp(1, CHANNELS_MAX) {
        let channel = endpoint.connect().await;
        channels.push(channel.map_err(|error| format!("connect: {error}"))?);
    }
    Ok(channels)
}
