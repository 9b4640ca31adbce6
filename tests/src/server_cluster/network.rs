//! A small network of its own for a cluster: each node in a network namespace with an address,
//! joined by a bridge in another namespace, so that no packet filter of the machine is in
//! between. Links are cut in one direction at a time, silently, as a broken switch would: a
//! neighbour entry with an address that nobody has sends the packets nowhere. Clients sit on
//! the bridge too, and reach every node whatever is cut between nodes.
//!
//! Needs root and `ip` (Debian: iproute2). It goes with the value.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::Outcome;

/// No network card has it: locally administered, and not given out here.
const NOBODY: &str = "02:00:00:00:00:01";

/// Where a node runs.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its address.
    pub ip: IpAddr,
    /// Its network namespace.
    pub namespace: String,
}

impl Host {
    /// The command before the program that runs it there. It becomes the program: signals reach
    /// the node itself.
    pub fn launcher(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace]
            .map(str::to_owned)
            .to_vec()
    }
}

/// Namespaces, and the links between them.
#[derive(Debug)]
pub struct Network {
    name: String,
    subnet: [u8; 3],
    hosts: Vec<Host>,
}

/// Whether this process may make a network.
pub fn may_make_networks() -> bool {
    rustix::process::geteuid().is_root()
}

impl Network {
    /// A network of so many hosts.
    pub fn new(hosts: usize) -> Outcome<Self> {
        let pid = std::process::id();
        let mut network = Self {
            name: format!("tn{pid}"),
            subnet: free_subnet(pid)?,
            hosts: Vec::new(),
        };
        network.build(hosts).map(|()| network)
    }

    fn build(&mut self, hosts: usize) -> Outcome<()> {
        let hub = format!("{}-hub", self.name);
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add br0 type bridge"))?;
        ip(&format!("-n {hub} link set br0 up"))?;
        for index in 0..hosts {
            let namespace = format!("{}-{index}", self.name);
            ip(&format!("netns add {namespace}"))?;
            let address = self.address(index as u8 + 1);
            self.hosts.push(Host {
                ip: IpAddr::V4(address),
                namespace: namespace.clone(),
            });
            ip(&format!(
                "-n {hub} link add p{index} type veth peer name eth0 netns {namespace}"
            ))?;
            ip(&format!("-n {hub} link set p{index} master br0 up"))?;
            ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        // The clients' end, in the namespace of the test.
        let (outer, own) = (&self.name, self.address(254));
        ip(&format!(
            "-n {hub} link add clients type veth peer name {outer} netns {}",
            std::process::id()
        ))?;
        ip(&format!("-n {hub} link set clients master br0 up"))?;
        ip(&format!("address add {own}/24 dev {outer}"))?;
        ip(&format!("link set {outer} up")).map(drop)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, host)
    }

    /// Where the hosts are.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// From now on nothing that `from` sends reaches `to`.
    pub fn cut(&self, from: usize, to: usize) -> Outcome<()> {
        let (namespace, to) = self.link(from, to)?;
        ip(&format!(
            "-n {namespace} neighbour replace {to} lladdr {NOBODY} dev eth0 nud permanent"
        ))
        .map(drop)
    }

    /// Makes it reach it again.
    pub fn heal(&self, from: usize, to: usize) -> Outcome<()> {
        let (namespace, to) = self.link(from, to)?;
        ip(&format!("-n {namespace} neighbour delete {to} dev eth0")).map(drop)
    }

    fn link(&self, from: usize, to: usize) -> Outcome<(&str, IpAddr)> {
        let host = |index: usize| {
            let found = self.hosts.get(index);
            found.ok_or_else(|| format!("there is no host {index}"))
        };
        Ok((&host(from)?.namespace, host(to)?.ip))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The links go with the namespaces, which live as long as a process in them.
        let _ = ip(&format!("link delete {}", self.name));
        for host in &self.hosts {
            let _ = ip(&format!("netns delete {}", host.namespace));
        }
        let _ = ip(&format!("netns delete {}-hub", self.name));
    }
}

/// A subnet that this machine knows no way to: another test run may have the first one. All of
/// 198.18.0.0/15 is for tests and routed nowhere.
fn free_subnet(pid: u32) -> Outcome<[u8; 3]> {
    for number in pid..pid + 512 {
        let [a, b, c] = [198, 18 | (number >> 8) as u8 & 1, number as u8];
        if ip(&format!("route show {a}.{b}.{c}.0/24"))?.is_empty() {
            return Ok([a, b, c]);
        }
    }
    Err("no subnet is free".to_owned())
}

/// Runs `ip` with these arguments, and gives what it wrote.
fn ip(arguments: &str) -> Outcome<String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("`ip` is needed (iproute2): {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {arguments}: {}", said.trim()))
}
