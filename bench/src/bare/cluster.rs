//! A cluster of bare nodes, and clients of it.

use std::{cell::Cell, net::SocketAddr, path::Path, process::Command, rc::Rc};

use bytes::Bytes;
use tenure_tests::{
    Process,
    ports::free_address,
    server_cluster::{Outcome, SOON, until},
};
use tonic::transport::{Channel, Endpoint};

use super::proto::{
    BootstrapRequest, EchoRequest, GetRequest, GetStatusRequest, JoinRequest, MintJoinTokenRequest,
    Pair, PutRequest, bare_service_client::BareServiceClient,
};
use crate::{
    closed_loop::{Sample, Turn, Window, Worker, measure},
    limits::POOL_TOKENS,
    metrics::Written,
    operation::Through,
    tenure::connect,
};

/// First byte of the keys above the seam.
const TAG: u8 = 2;
const KEY_BYTES: usize = 33;
const VALUE_BYTES: usize = 200;

/// A call of the bare stack.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// gRPC alone.
    Echo,
    /// One key.
    Get,
    /// A transaction of so many keys and bytes.
    Put(Written),
}

/// A running cluster.
pub struct Bare {
    nodes: Vec<BareNode>,
    /// Calls so far: each put has keys of its own, so that the state grows as Tenure's does.
    calls: Rc<Cell<u64>>,
}

struct BareNode {
    api: SocketAddr,
    peer: SocketAddr,
    _process: Process,
}

impl BareNode {
    fn endpoint(&self) -> Outcome<Endpoint> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.api));
        Ok(endpoint
            .map_err(|error| error.to_string())?
            .tcp_nodelay(true))
    }

    async fn client(&self) -> Outcome<BareServiceClient<Channel>> {
        let channel = self.endpoint()?.connect().await;
        Ok(BareServiceClient::new(
            channel.map_err(|error| error.to_string())?,
        ))
    }
}

impl Bare {
    /// Starts `nodes` nodes, all voters, with keys to get.
    ///
    /// # Errors
    /// What didn't work, for people.
    pub async fn start(dir: &Path, nodes: usize) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut cluster = Self {
            nodes: Vec::new(),
            calls: Rc::default(),
        };
        for number in 1..=nodes {
            let name = format!("bare-{number}");
            let (api, peer) = (free_address(), free_address());
            let mut command = Command::new(&program);
            command.arg("bare-node").arg("--data").arg(dir.join(&name));
            command.args(["--name", &name]);
            command.args(["--api", &api.to_string()]);
            command.args(["--peer", &peer.to_string()]);
            let process = Process::spawn(command, &dir.join("logs"), &name);
            cluster.nodes.push(BareNode {
                api,
                peer,
                _process: process.map_err(|error| error.to_string())?,
            });
        }
        cluster.found().await?;
        cluster.fill().await?;
        Ok(cluster)
    }

    async fn found(&self) -> Outcome<()> {
        let [first, others @ ..] = &self.nodes[..] else {
            return Err("a cluster needs a node".to_owned());
        };
        let mut client = until("a bare node answers", SOON, async || first.client().await).await?;
        let begun = client.bootstrap(BootstrapRequest {}).await;
        begun.map_err(|status| status.to_string())?;
        for (number, node) in others.iter().enumerate() {
            let peer_address = first.peer.to_string();
            until("a bare node joins", SOON, async || {
                let minted = client.mint_join_token(MintJoinTokenRequest {}).await;
                let token = minted.map_err(|status| status.to_string())?;
                let request = JoinRequest {
                    peer_address: peer_address.clone(),
                    token: token.into_inner().token,
                };
                let joined = node.client().await?.join(request).await;
                joined.map_err(|status| status.to_string())
            })
            .await?;
            let wanted = u32::try_from(number + 2).unwrap_or(u32::MAX);
            until("a bare node votes", SOON, async || {
                let status = node.client().await?.get_status(GetStatusRequest {}).await;
                match status
                    .map_err(|status| status.to_string())?
                    .into_inner()
                    .voters
                {
                    now if now == wanted => Ok(()),
                    now => Err(format!("{now} of {wanted} voters")),
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn fill(&self) -> Outcome<()> {
        let active = self.node(Through::Active).await?;
        let mut client = self.nodes[active].client().await?;
        for number in 0..POOL_TOKENS {
            let pairs = vec![Pair {
                key: key(number as u64, 0),
                value: vec![7; VALUE_BYTES].into(),
            }];
            let put = client.put(PutRequest { pairs }).await;
            put.map_err(|status| status.to_string())?;
        }
        Ok(())
    }

    /// Index of the active node, or of a standby.
    async fn node(&self, through: Through) -> Outcome<usize> {
        until("a bare node is active", SOON, async || {
            for (index, node) in self.nodes.iter().enumerate() {
                let status = node.client().await?.get_status(GetStatusRequest {}).await;
                let active = status
                    .map_err(|status| status.to_string())?
                    .into_inner()
                    .active;
                if active == (through == Through::Active) {
                    return Ok(index);
                }
            }
            Err("none".to_owned())
        })
        .await
    }

    /// Measures one call.
    ///
    /// # Errors
    /// Nothing could be measured.
    pub async fn measure(
        &self,
        call: Call,
        through: Through,
        clients: usize,
        window: Window,
    ) -> Outcome<Sample> {
        let node = &self.nodes[self.node(through).await?];
        let channels = connect(&node.endpoint()?, clients).await?;
        let workers = (0..clients).map(|number| Client {
            bare: BareServiceClient::new(channels[number % channels.len()].clone()),
            call,
            calls: Rc::clone(&self.calls),
        });
        measure(workers.collect(), window).await
    }
}

/// Keys spread over the key space as keyed hashes do.
fn key(number: u64, part: u64) -> Bytes {
    let mut bytes = vec![TAG];
    let mut seed = number
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(part);
    while bytes.len() < KEY_BYTES {
        seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(seed ^ (seed >> 31)).to_be_bytes());
    }
    bytes.truncate(KEY_BYTES);
    bytes.into()
}

struct Client {
    bare: BareServiceClient<Channel>,
    call: Call,
    calls: Rc<Cell<u64>>,
}

impl Worker for Client {
    async fn turn(&mut self) -> Result<Turn, String> {
        let number = self.calls.get();
        self.calls.set(number + 1);
        let served = match self.call {
            Call::Echo => {
                let payload = Bytes::from_static(&[7; VALUE_BYTES]);
                self.bare.echo(EchoRequest { payload }).await.map(drop)
            }
            Call::Get => {
                let key = key(number % POOL_TOKENS as u64, 0);
                self.bare.get(GetRequest { key }).await.map(drop)
            }
            Call::Put(written) => {
                let keys = written.keys.round().max(1.0) as u64;
                let value = (written.bytes / keys as f64) as usize;
                let value = vec![7; value.saturating_sub(KEY_BYTES)];
                let value = Bytes::from(value);
                let pairs = (0..keys).map(|part| Pair {
                    key: key(POOL_TOKENS as u64 + number, part),
                    value: value.clone(),
                });
                let pairs = pairs.collect();
                self.bare.put(PutRequest { pairs }).await.map(drop)
            }
        };
        served
            .map(|()| Turn::Served)
            .map_err(|status| status.to_string())
    }
}
