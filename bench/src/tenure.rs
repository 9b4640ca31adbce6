//! Tenure under load: a cluster of the real program, and clients that speak its protobuf API
//! through plain gRPC channels (as any foreign client would).

use std::{path::Path, rc::Rc, time::Duration};

use tenure_client::proto::{
    CreateTokenRequest, GrantLeaseRequest, LookupSelfRequest, RenewSelfRequest, RevokeTokenRequest,
};
use tenure_proto::v1::{
    lease_service_client::LeaseServiceClient, token_service_client::TokenServiceClient,
};
use tenure_tests::server_cluster::{Keys, Outcome, ServerCluster, ServerOptions};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    closed_loop::{Turn, Window, Worker, measure},
    limits::{CHANNELS_MAX, FILL_CLIENTS, HOUR, PAYLOAD_BYTES, POOL},
    metrics::{self, Written},
    operation::{Operation, Through},
};

/// A running cluster.
pub struct Tenure {
    /// Its processes.
    pub cluster: ServerCluster,
    /// Its keys and root token.
    pub keys: Keys,
    tls: bool,
    pool: Rc<Vec<MetadataValue<Ascii>>>,
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
        tenure.pool = Rc::new(tenure.make_pool().await?);
        Ok(tenure)
    }

    async fn make_pool(&self) -> Outcome<Vec<MetadataValue<Ascii>>> {
        let client = self.cluster.client()?;
        let mut pool = Vec::with_capacity(POOL);
        for _ in 0..POOL {
            let made = client.create_token(request(HOUR)).await;
            let made = made.map_err(|error| format!("fill: {error}"))?;
            pool.push(bearer(&made.client_token)?);
        }
        Ok(pool)
    }

    fn root(&self) -> Outcome<MetadataValue<Ascii>> {
        bearer(self.keys.root.expose())
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

    /// Channels to one node, for so many clients.
    ///
    /// # Errors
    /// No connection.
    pub async fn channels(&self, node: usize, clients: usize) -> Outcome<Vec<Channel>> {
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
        connect(&endpoint, clients).await
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
    ) -> Outcome<(crate::closed_loop::Sample, Written)> {
        let node = self.node(through).await?;
        let active = self.node(Through::Active).await?;
        let mut stock = match operation {
            Operation::Revoke => self.stock(active, clients, window).await?,
            _ => Vec::new(),
        };
        let share = stock.len() / clients.max(1);
        let (channels, root) = (self.channels(node, clients).await?, self.root()?);
        let workers = (0..clients).map(|number| {
            let channel = channels[number % channels.len()].clone();
            Client {
                tokens: TokenServiceClient::new(channel.clone()),
                leases: LeaseServiceClient::new(channel),
                operation,
                root: root.clone(),
                pool: Rc::clone(&self.pool),
                next: number * POOL / clients.max(1),
                own: stock.split_off(stock.len() - share),
            }
        });
        let workers = workers.collect();
        let scraped = self.cluster.node(active)?.metrics;
        let before = metrics::scrape(scraped).await?;
        let sample = measure(workers, window).await?;
        let after = metrics::scrape(scraped).await?;
        Ok((sample, Written::between(&before, &after)))
    }

    /// Tokens for a measurement of revocation: as many as are made in the time it takes.
    async fn stock(&self, node: usize, clients: usize, window: Window) -> Outcome<Vec<String>> {
        let made = Rc::default();
        let makers = FILL_CLIENTS.min(clients * 8);
        let (channels, root) = (self.channels(node, makers).await?, self.root()?);
        let workers = (0..makers).map(|number| Maker {
            tokens: TokenServiceClient::new(channels[number % channels.len()].clone()),
            root: root.clone(),
            made: Rc::clone(&made),
        });
        let window = Window {
            warm: Duration::ZERO,
            measured: window.warm + window.measured,
        };
        measure(workers.collect(), window).await?;
        Ok(made.take())
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

fn bearer(token: &str) -> Outcome<MetadataValue<Ascii>> {
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "a token that is no header value".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request for a token of the benchmark.
pub fn request(ttl: Duration) -> CreateTokenRequest {
    CreateTokenRequest {
        policies: vec!["default".to_owned()],
        ttl: duration(ttl),
        ..CreateTokenRequest::default()
    }
}

/// A lease of the benchmark.
pub fn grant(ttl: Duration) -> GrantLeaseRequest {
    GrantLeaseRequest {
        path: "bench/service".to_owned(),
        payload: vec![7; PAYLOAD_BYTES],
        ttl: duration(ttl),
        ..GrantLeaseRequest::default()
    }
}

fn duration(of: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(of).ok()
}

fn with<T>(message: T, token: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", token.clone());
    request
}

fn failed(status: Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

struct Client {
    tokens: TokenServiceClient<Channel>,
    leases: LeaseServiceClient<Channel>,
    operation: Operation,
    root: MetadataValue<Ascii>,
    pool: Rc<Vec<MetadataValue<Ascii>>>,
    next: usize,
    own: Vec<String>,
}

impl Client {
    fn token(&mut self) -> MetadataValue<Ascii> {
        self.next = (self.next + 1) % self.pool.len();
        self.pool[self.next].clone()
    }
}

impl Worker for Client {
    async fn turn(&mut self) -> Result<Turn, String> {
        match self.operation {
            Operation::Create => {
                let call = with(request(HOUR), &self.root);
                self.tokens.create_token(call).await.map(drop)
            }
            Operation::LookupSelf => {
                let call = with(LookupSelfRequest::default(), &self.token());
                self.tokens.lookup_self(call).await.map(drop)
            }
            Operation::RenewSelf => {
                let call = with(RenewSelfRequest::default(), &self.token());
                self.tokens.renew_self(call).await.map(drop)
            }
            Operation::Revoke => {
                let Some(token) = self.own.pop() else {
                    return Ok(Turn::Exhausted);
                };
                let call = with(RevokeTokenRequest { token }, &self.root);
                self.tokens.revoke_token(call).await.map(drop)
            }
            Operation::GrantLease => {
                let call = with(grant(HOUR), &self.root);
                self.leases.grant_lease(call).await.map(drop)
            }
        }
        .map(|()| Turn::Served)
        .map_err(failed)
    }
}

struct Maker {
    tokens: TokenServiceClient<Channel>,
    root: MetadataValue<Ascii>,
    made: Rc<std::cell::RefCell<Vec<String>>>,
}

impl Worker for Maker {
    async fn turn(&mut self) -> Result<Turn, String> {
        let call = with(request(HOUR), &self.root);
        let answer = self.tokens.create_token(call).await.map_err(failed)?;
        if let Some(auth) = &answer.into_inner().auth {
            self.made.borrow_mut().push(auth.client_token.clone());
        }
        Ok(Turn::Served)
    }
}
