//! OpenBao under the same load, over HTTP, with its integrated raft storage.

mod cluster;

use std::{net::SocketAddr, path::Path, rc::Rc, time::Duration};

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
    system::{MAKER, MAKER_TEXT, System},
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

impl System for OpenBao {
    type Client = Client;
    const NAME: &'static str = "OpenBao";
    const LOOK_EVERY: Duration = Duration::from_millis(500);

    fn nodes(&self) -> usize {
        self.cluster.addresses().len()
    }

    async fn active(&mut self) -> Outcome<usize> {
        let active = self.cluster.active().await?;
        let addresses = self.cluster.addresses();
        let found = addresses.iter().position(|address| *address == active);
        found.ok_or_else(|| "no OpenBao node is active".to_owned())
    }

    async fn connect(&self, node: usize, clients: usize) -> Outcome<Vec<Client>> {
        let addresses = self.cluster.addresses();
        let address = addresses.get(node).ok_or("there is no such node")?;
        self.clients(*address, clients).await
    }

    fn pool(&self) -> Pool<Client> {
        Rc::clone(&self.pool)
    }

    async fn write_maker(&mut self) -> Outcome<()> {
        let mut http = Http::connect(self.cluster.active().await?).await?;
        let path = format!("/v1/sys/policies/acl/{MAKER}");
        let body = json!({ "policy": MAKER_TEXT });
        let written = http.json(Method::PUT, &path, &self.cluster.root, &body);
        written.await.map(drop)
    }

    /// Its revocation is answered when all is done.
    async fn is_clean(&mut self) -> Outcome<bool> {
        Ok(true)
    }

    /// By the accessors that are left: it counts nothing that would tell.
    async fn cleared(&mut self) -> Outcome<i64> {
        let mut http = Http::connect(self.cluster.active().await?).await?;
        let path = "/v1/auth/token/accessors?list=true";
        let listed = http.json(Method::GET, path, &self.cluster.root, &Value::Null);
        let listed = listed.await?;
        let left = listed["data"]["keys"].as_array().map_or(0, Vec::len);
        Ok(-i64::try_from(left).unwrap_or(i64::MAX))
    }
}

/// A client of one node.
pub struct Client {
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

fn token_of(body: &[u8]) -> Outcome<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = answer["auth"]["client_token"].as_str();
    token
        .map(str::to_owned)
        .ok_or_else(|| "an answer without a token".to_owned())
}

impl Calls for Client {
    type Token = String;

    async fn create(&mut self) -> Outcome<String> {
        let (root, sent) = (self.root.clone(), Bytes::from_static(BODY));
        let body = self.call(Method::POST, CREATE, &root, sent).await?;
        token_of(&body)
    }

    async fn create_child(&mut self, parent: Option<&String>, ttl: Duration) -> Outcome<String> {
        let caller = parent.unwrap_or(&self.root).clone();
        let ttl = format!("{}s", ttl.as_secs());
        let body = json!({ "ttl": ttl, "policies": ["default", MAKER] }).to_string();
        let answer = self
            .call(Method::POST, CREATE, &caller, body.into())
            .await?;
        token_of(&answer)
    }

    async fn refuses(&mut self, token: &String) -> Outcome<bool> {
        let path = "/v1/auth/token/lookup-self";
        match self
            .http
            .call(Method::GET, path, token, Bytes::new())
            .await?
        {
            (200, _) => Ok(false),
            (403, _) => Ok(true),
            (status, _) => Err(format!("{path}: status {status}")),
        }
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
