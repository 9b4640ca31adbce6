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
    client::{Calls, Pool, make_pool, make_stock, makers, measure_operation},
    closed_loop::{Sample, Window},
    limits::{CHANNELS_MAX, HOUR, PAYLOAD_BYTES},
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
    async fn clients(&self, node: usize, clients: usize) -> Outcome<Vec<Client>> {
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
        let root = bearer(self.keys.root.expose())?;
        let client = |channel: &Channel| Client {
            tokens: TokenServiceClient::new(channel.clone()),
            leases: LeaseServiceClient::new(channel.clone()),
            root: root.clone(),
        };
        Ok(channels.iter().cycle().take(clients).map(client).collect())
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
    ) -> Outcome<(Sample, Written)> {
        let node = self.node(through).await?;
        let active = self.node(Through::Active).await?;
        let stock = match operation {
            Operation::Revoke => {
                make_stock(self.clients(active, makers(clients)).await?, window).await?
            }
            _ => Vec::new(),
        };
        let clients = self.clients(node, clients).await?;
        let scraped = self.cluster.node(active)?.metrics;
        let before = metrics::scrape(scraped).await?;
        let sample = measure_operation(clients, operation, &self.pool, stock, window).await?;
        let written = match operation.reads() {
            true => Written::default(),
            false => Written::between(&before, &metrics::scrape(scraped).await?)?,
        };
        Ok((sample, written))
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

/// A token, and the header that it goes in.
#[derive(Clone)]
struct Token {
    text: String,
    header: MetadataValue<Ascii>,
}

struct Client {
    tokens: TokenServiceClient<Channel>,
    leases: LeaseServiceClient<Channel>,
    root: MetadataValue<Ascii>,
}

impl Calls for Client {
    type Token = Token;

    async fn create(&mut self) -> Outcome<Token> {
        let call = with(request(HOUR), &self.root);
        let answer = self.tokens.create_token(call).await.map_err(failed)?;
        let auth = answer
            .into_inner()
            .auth
            .ok_or("an answer without a token")?;
        Ok(Token {
            header: bearer(&auth.client_token)?,
            text: auth.client_token,
        })
    }

    async fn lookup_self(&mut self, token: &Token) -> Outcome<()> {
        let call = with(LookupSelfRequest::default(), &token.header);
        let answer = self.tokens.lookup_self(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn renew_self(&mut self, token: &Token) -> Outcome<()> {
        let call = with(RenewSelfRequest::default(), &token.header);
        let answer = self.tokens.renew_self(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn revoke(&mut self, token: &Token) -> Outcome<()> {
        let token = token.text.clone();
        let call = with(RevokeTokenRequest { token }, &self.root);
        let answer = self.tokens.revoke_token(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn grant(&mut self) -> Outcome<()> {
        let call = with(grant(HOUR), &self.root);
        let answer = self.leases.grant_lease(call).await;
        answer.map(drop).map_err(failed)
    }
}
