//! The connections that others hold to this node: counted, bounded, and cut when their key
//! leaves the membership.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::lock;
use crate::{limits, types::NodeId};

/// Events that a slow reader of disconnects may be behind before it loses some.
const DISCONNECT_EVENTS_MAX: usize = 64;

/// All connections to the peer port of this node.
pub(crate) struct Inbound {
    next: AtomicU64,
    connections: Mutex<HashMap<u64, Connection>>,
    disconnects: broadcast::Sender<NodeId>,
}

struct Connection {
    public_key: Bytes,
    /// The member whose key it was when the connection was made.
    member: Option<NodeId>,
    cut: CancellationToken,
}

/// What the accept loop may do with a connection.
pub(crate) enum Admission {
    Admitted(InboundSlot),
    /// Too many connections of this kind.
    Full,
}

/// A place among the connections, given up on drop.
pub(crate) struct InboundSlot {
    inbound: Arc<Inbound>,
    id: u64,
    cut: CancellationToken,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            connections: Mutex::default(),
            disconnects: broadcast::Sender::new(DISCONNECT_EVENTS_MAX),
        }
    }
}

impl Inbound {
    /// Admits a connection, unless its member, or all strangers together, have too many.
    pub(crate) fn admit(self: &Arc<Self>, public_key: &Bytes, member: Option<NodeId>) -> Admission {
        let mut connections = lock(&self.connections);
        let (limit, used) = match member {
            Some(_) => (
                limits::PEER_MEMBER_CONNECTIONS_MAX,
                connections
                    .values()
                    .filter(|c| c.public_key == *public_key)
                    .count(),
            ),
            None => (
                limits::PEER_STRANGER_CONNECTIONS_MAX,
                connections.values().filter(|c| c.member.is_none()).count(),
            ),
        };
        if used >= limit {
            return Admission::Full;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = CancellationToken::new();
        connections.insert(
            id,
            Connection {
                public_key: public_key.clone(),
                member,
                cut: cut.clone(),
            },
        );
        Admission::Admitted(InboundSlot {
            inbound: self.clone(),
            id,
            cut,
        })
    }

    /// Ends all connections of a key.
    pub(super) fn cut(&self, public_key: &Bytes) {
        for connection in lock(&self.connections).values() {
            if connection.public_key == *public_key {
                connection.cut.cancel();
            }
        }
    }

    /// Ends all connections.
    pub(crate) fn cut_all(&self) {
        for connection in lock(&self.connections).values() {
            connection.cut.cancel();
        }
    }

    pub(super) fn disconnects(&self) -> broadcast::Receiver<NodeId> {
        self.disconnects.subscribe()
    }
}

impl InboundSlot {
    /// Cancelled when the connection must end.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

impl Drop for InboundSlot {
    fn drop(&mut self) {
        // Whoever waits to cut this connection need not wait on.
        self.cut.cancel();
        let mut connections = lock(&self.inbound.connections);
        let Some(Connection {
            member: Some(member),
            ..
        }) = connections.remove(&self.id)
        else {
            return;
        };
        if !connections.values().any(|c| c.member == Some(member)) {
            // Nobody listening is fine.
            let _ = self.inbound.disconnects.send(member);
        }
    }
}
