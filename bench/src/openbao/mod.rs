//! OpenBao under the same load, over HTTP, with its integrated raft storage.

mod cluster;

use std::{net::SocketAddr, path::Path};

use ::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use tenure_tests::server_cluster::Outcome;

use self::cluster::Cluster;
use crate::{
    client::{Calls, Pool, make_pool, make_stock, makers, measure_operation},
    closed_loop::{Sample, Window},
    http_client::Http,
    operation::{Operation, Through},
};

const CREATE: &str = "/v1/auth/token/create";
/// The token of the benchmark: as Tenure's.
const BODY: &[u8] = br#"{"ttl":"1h","policies":["default"]}"#;

/// A running cluster.
pub struct OpenBao {
    cluster: Cluster,
    pool: Pool<Client>,
}

impl OpenBao {
    /// Starts `nodes` nodes of a program `bao`, unsealed and all voters, with tokens to look
    /// up and renew.
    ///
    /// # Errors
    /// What didn't work, for people.
    pub async fn start(program: &Path, dir: &Path, nodes: usize) -> Outcome<Self> {
        let cluster = Cluster::start(program, dir, nodes).await?;
        let active = cluster.active().await?;
        let pool = make_pool(Client::connect(active, &cluster.root).await?).await?;
        Ok(Self { cluster, pool })
    }

    /// Measures one operation.
    ///
    /// # Errors
    /// Nothing could be measured, or OpenBao doesn't have it.
    pub async fn measure(
        &self,
        operation: Operation,
        through: Through,
        clients: usize,
        window: Window,
    ) -> Outcome<Sample> {
        let active = self.cluster.active().await?;
        let address = match through {
            Through::Active => active,
            Through::Standby => self.cluster.standby().await?,
        };
        let stock = match operation {
            Operation::Revoke => {
                make_stock(self.clients(active, makers(clients)).await?, window).await?
            }
            _ => Vec::new(),
        };
        let clients = self.clients(address, clients).await?;
        measure_operation(clients, operation, &self.pool, stock, window).await
    }

    async fn clients(&self, address: SocketAddr, clients: usize) -> Outcome<Vec<Client>> {
        let mut all = Vec::new();
        for _ in 0..clients {
            all.push(Client::connect(address, &self.cluster.root).await?);
        }
        Ok(all)
    }
}

struct Client {
    http: Http,
    root: String,
}

impl Client {
    async fn connect(address: SocketAddr, root: &str) -> Outcome<Self> {
        Ok(Self {
            http: Http::connect(address).await?,
            root: root.to_owned(),
        })
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: Bytes,
    ) -> Outcome<Bytes> {
        match self.http.call(method, path, token, body).await? {
            (200..=299, body) => Ok(body),
            (status, _) => Err(format!("{path}: status {status}")),
        }
    }
}

impl Calls for Client {
    type Token = String;

    async fn create(&mut self) -> Outcome<String> {
        let (root, sent) = (self.root.clone(), Bytes::from_static(BODY));
        let body = self.call(Method::POST, CREATE, &root, sent).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer["auth"]["client_token"].as_str();
        token
            .map(str::to_owned)
            .ok_or_else(|| "an answer without a token".to_owned())
    }

    async fn lookup_self(&mut self, token: &String) -> Outcome<()> {
        let path = "/v1/auth/token/lookup-self";
        let answer = self.call(Method::GET, path, token, Bytes::new()).await;
        answer.map(drop)
    }

    async fn renew_self(&mut self, token: &String) -> Outcome<()> {
        let path = "/v1/auth/token/renew-self";
        let answer = self.call(Method::POST, path, token, Bytes::new()).await;
        answer.map(drop)
    }

    async fn revoke(&mut self, token: &String) -> Outcome<()> {
        let (root, path) = (self.root.clone(), "/v1/auth/token/revoke");
        let body = json!({ "token": token }).to_string().into();
        let answer = self.call(Method::POST, path, &root, body).await;
        answer.map(drop)
    }

    async fn grant(&mut self) -> Outcome<()> {
        Err("OpenBao has no such lease".to_owned())
    }
}
