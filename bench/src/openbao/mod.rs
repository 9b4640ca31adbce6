//! OpenBao under the same load, over HTTP, with its integrated raft storage.

mod cluster;
pub mod http;

use std::{net::SocketAddr, path::Path, rc::Rc, time::Duration};

use ::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use tenure_tests::server_cluster::Outcome;

use self::{cluster::Cluster, http::Http};
use crate::{
    closed_loop::{Sample, Turn, Window, Worker, measure},
    limits::{FILL_CLIENTS, POOL},
    operation::{Operation, Through},
};

const CREATE: &str = "/v1/auth/token/create";
/// The token of the benchmark: as Tenure's.
const BODY: &[u8] = br#"{"ttl":"1h","policies":["default"]}"#;

/// A running cluster.
pub struct OpenBao {
    cluster: Cluster,
    pool: Rc<Vec<String>>,
}

impl OpenBao {
    /// Starts `nodes` nodes of a program `bao`, unsealed and all voters, with tokens to look
    /// up and renew.
    ///
    /// # Errors
    /// What didn't work, for people.
    pub async fn start(program: &Path, dir: &Path, nodes: usize) -> Outcome<Self> {
        let cluster = Cluster::start(program, dir, nodes).await?;
        let mut http = Http::connect(cluster.active().await?).await?;
        let mut pool = Vec::with_capacity(POOL);
        for _ in 0..POOL {
            pool.push(create(&mut http, &cluster.root).await?);
        }
        Ok(Self {
            cluster,
            pool: Rc::new(pool),
        })
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
        let mut stock = match operation {
            Operation::Revoke => self.stock(active, clients, window).await?,
            _ => Vec::new(),
        };
        let share = stock.len() / clients.max(1);
        let mut workers = Vec::new();
        for number in 0..clients {
            workers.push(Client {
                http: Http::connect(address).await?,
                operation,
                root: self.cluster.root.clone(),
                pool: Rc::clone(&self.pool),
                next: number * POOL / clients.max(1),
                own: stock.split_off(stock.len() - share),
            });
        }
        measure(workers, window).await
    }

    async fn stock(
        &self,
        address: SocketAddr,
        clients: usize,
        window: Window,
    ) -> Outcome<Vec<String>> {
        let made = Rc::default();
        let mut workers = Vec::new();
        for _ in 0..FILL_CLIENTS.min(clients * 8) {
            workers.push(Maker {
                http: Http::connect(address).await?,
                root: self.cluster.root.clone(),
                made: Rc::clone(&made),
            });
        }
        let window = Window {
            warm: Duration::ZERO,
            measured: window.warm + window.measured,
        };
        measure(workers, window).await?;
        Ok(made.take())
    }
}

async fn create(http: &mut Http, root: &str) -> Outcome<String> {
    let sent = Bytes::from_static(BODY);
    let (status, body) = http.call(Method::POST, CREATE, root, sent).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer["auth"]["client_token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(format!("create: status {status}")),
    }
}

struct Client {
    http: Http,
    operation: Operation,
    root: String,
    pool: Rc<Vec<String>>,
    next: usize,
    own: Vec<String>,
}

impl Worker for Client {
    async fn turn(&mut self) -> Result<Turn, String> {
        let (method, path, token, body) = match self.operation {
            Operation::Create => (
                Method::POST,
                CREATE,
                self.root.clone(),
                Bytes::from_static(BODY),
            ),
            Operation::LookupSelf | Operation::RenewSelf => {
                self.next = (self.next + 1) % self.pool.len();
                let token = self.pool[self.next].clone();
                match self.operation {
                    Operation::LookupSelf => (
                        Method::GET,
                        "/v1/auth/token/lookup-self",
                        token,
                        Bytes::new(),
                    ),
                    _ => (
                        Method::POST,
                        "/v1/auth/token/renew-self",
                        token,
                        Bytes::new(),
                    ),
                }
            }
            Operation::Revoke => {
                let Some(token) = self.own.pop() else {
                    return Ok(Turn::Exhausted);
                };
                (
                    Method::POST,
                    "/v1/auth/token/revoke",
                    self.root.clone(),
                    json!({ "token": token }).to_string().into(),
                )
            }
            Operation::GrantLease => return Err("OpenBao has no such lease".to_owned()),
        };
        match self.http.call(method, path, &token, body).await? {
            (200..=299, _) => Ok(Turn::Served),
            (status, _) => Err(format!("{path}: status {status}")),
        }
    }
}

struct Maker {
    http: Http,
    root: String,
    made: Rc<std::cell::RefCell<Vec<String>>>,
}

impl Worker for Maker {
    async fn turn(&mut self) -> Result<Turn, String> {
        let token = create(&mut self.http, &self.root).await?;
        self.made.borrow_mut().push(token);
        Ok(Turn::Served)
    }
}
