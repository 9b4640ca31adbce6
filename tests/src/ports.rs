//! Addresses for nodes. Each test process has a loopback address of its own (all of
//! 127.0.0.0/8 is local on Linux), so that two test runs never meet, and no outgoing
//! connection takes a port of a node that is being restarted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The loopback address of this test process.
pub fn loopback() -> IpAddr {
    let pid = std::process::id();
    // Pids are below 2^22: the second byte is 64 to 127, so 127.0.0.1 is never among them.
    IpAddr::V4(Ipv4Addr::new(
        127,
        64 | (pid >> 16) as u8 & 63,
        (pid >> 8) as u8,
        pid as u8,
    ))
}

/// A free address that this process has not given out before.
pub fn free_address() -> SocketAddr {
    for _ in 0..100 {
        let listener = TcpListener::bind((loopback(), 0)).expect("bind a loopback port");
        let address = listener.local_addr().expect("local address");
        if TAKEN.lock().expect("ports").insert(address.port()) {
            return address;
        }
    }
    panic!("no free port on {}", loopback());
}
