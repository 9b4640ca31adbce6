//! The members as this node knows them: which keys may speak (the trust store), the
//! connections to them, and the connections that they hold to this node.
//!
//! Must never trust a key for any other reason than that a membership of the cluster
//! holds it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tenure_proto::internal::raft_service_client::RaftServiceClient;
use thiserror::Error;
use tokio::sync::watch;
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::{
    identity::NodeKey,
    limits::PEER_MESSAGE_BYTES_MAX,
    tls::{PeerTlsOptions, Pin, TlsContext, TlsError},
    types::{Member, NodeId, StoredMembership},
};

mod dial;
mod inbound;
mod refresh;
mod stamp;
mod trust;

pub(crate) use dial::tune;
pub(crate) use inbound::{Admission, Inbound, InboundSlot};
pub(crate) use refresh::follow_refusals;
pub use stamp::Stamp;
pub(crate) use stamp::{CLUSTER_HEADER, FORMAT_HEADER};
use trust::{Knowledge, Trust, members_of};

/// A channel to a peer. It connects when it is first used, connects again after a failure,
/// and marks each call with the cluster id and the format version.
pub type PeerChannel = InterceptedService<Channel, Stamp>;

/// Why a peer can't be called.
#[derive(Debug, Error)]
pub enum PeerError {
    /// Nobody by this id is known.
    #[error("node {0} is not a member")]
    Unknown(NodeId),
    /// TLS could not be set up.
    #[error("setting up TLS failed: {0}")]
    Tls(#[from] rustls::Error),
    /// No connection, or the peer didn't hold the expected key.
    #[error("connecting to {address} failed: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// The key that a node which is about to join expects of the cluster.
#[derive(Clone, Debug)]
pub enum JoinPin {
    /// One of these SHA-256 fingerprints (a join token carries them).
    Fingerprints(Vec<[u8; 32]>),
    /// Any. The caller must check by the join challenge whom it talks to, and send no
    /// secret before.
    Unpinned,
}

/// Connections to a peer are kept apart by what they carry, so that bytes of one kind never
/// stand in line before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Heartbeats, votes and all other calls.
    Calls,
    /// Replication of the log.
    Log,
    /// Snapshots.
    Snapshot,
}

/// The members, their keys and the connections. A handle: clones share everything.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    own_key: Bytes,
    tls: TlsContext,
    cluster_id: Arc<ArcSwapOption<[u8; 16]>>,
    knowledge: Mutex<Knowledge>,
    trust: ArcSwap<Trust>,
    links: Mutex<HashMap<(NodeId, Lane), Link>>,
    inbound: Arc<Inbound>,
    refusals: watch::Sender<u64>,
}

struct Link {
    address: String,
    public_key: Bytes,
    channel: PeerChannel,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.shared.trust.load().members.keys())
            .finish()
    }
}

/// Nothing that runs under these locks can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    /// Knows nobody yet, so that nobody may speak.
    pub fn new(key: Arc<NodeKey>, options: PeerTlsOptions) -> Result<Self, TlsError> {
        Ok(Self {
            shared: Arc::new(Shared {
                own_key: key.public_key(),
                tls: TlsContext::new(&key, &options)?,
                cluster_id: Arc::default(),
                knowledge: Mutex::default(),
                trust: ArcSwap::default(),
                links: Mutex::default(),
                inbound: Arc::default(),
                refusals: watch::Sender::new(0),
            }),
        })
    }

    /// The cluster that this node belongs to; every call names it from now on.
    pub fn set_cluster_id(&self, cluster_id: [u8; 16]) {
        self.shared.cluster_id.store(Some(Arc::new(cluster_id)));
    }

    /// The cluster that this node belongs to.
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        self.shared.cluster_id.load().as_deref().copied()
    }

    /// This node's own id, once it is a member.
    pub fn own_id(&self) -> Option<NodeId> {
        self.member_by_key(&self.shared.own_key)
    }

    /// Replaces what is known of the members; the word of the cluster for a node whose own
    /// log doesn't know them yet. See [`Peers::follow`].
    pub fn update(&self, members: &BTreeMap<NodeId, Member>) {
        self.learn(|knowledge, own_key| knowledge.set_own(members.clone(), None, own_key));
    }

    /// Follows the membership in this node's own log. From here on exactly these keys may
    /// speak (and those of newer members that a known one has told of): connections of keys
    /// that are gone are cut, with all their streams.
    ///
    /// Once this node has seen itself among the members, a membership without it is passed
    /// over: the log of a new node goes through the memberships of old while it catches up.
    ///
    /// While two nodes claim one key, it speaks for the one with the higher id.
    pub fn follow(&self, stored: &StoredMembership) {
        let members = members_of(stored);
        self.learn(|knowledge, own_key| {
            knowledge.set_own(members, *stored.log_id(), own_key);
        });
    }

    /// Takes in what another member says of the membership; true if that was news.
    fn hear(&self, stored: &StoredMembership) -> bool {
        self.learn(|knowledge, own_key| knowledge.hear(stored, own_key))
    }

    fn learn<T>(&self, change: impl FnOnce(&mut Knowledge, &[u8]) -> T) -> T {
        let mut knowledge = lock(&self.shared.knowledge);
        let changed = change(&mut knowledge, &self.shared.own_key);
        let now = Arc::new(knowledge.trust());
        let before = self.shared.trust.swap(now.clone());
        lock(&self.shared.links).retain(|(id, _), link| {
            let member = now.members.get(id);
            member.is_some_and(|member| link.leads_to(member))
        });
        for (key, id) in &before.by_key {
            // A key that passed to another id starts over too: streams carry their id.
            if now.by_key.get(key) != Some(id) {
                self.shared.inbound.cut(key);
            }
        }
        changed
    }

    /// All known members but this node.
    fn others(&self) -> Vec<NodeId> {
        let trust = self.shared.trust.load();
        let others = trust.members.iter();
        others
            .filter(|(_, member)| member.public_key != self.shared.own_key)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Which member holds this key (DER SubjectPublicKeyInfo).
    pub fn member_by_key(&self, public_key: &[u8]) -> Option<NodeId> {
        self.shared.trust.load().by_key.get(public_key).copied()
    }

    /// What is known of a member.
    pub fn member(&self, id: NodeId) -> Option<Member> {
        self.shared.trust.load().members.get(&id).cloned()
    }

    /// The channel to a member for calls. It is the same one until the member's address or
    /// key changes.
    pub fn channel(&self, id: NodeId) -> Result<PeerChannel, PeerError> {
        self.lane(id, None, Lane::Calls)
    }

    /// A client for the calls of `RaftService` on a member.
    pub fn raft_client(&self, id: NodeId) -> Result<RaftServiceClient<PeerChannel>, PeerError> {
        self.raft_client_on(id, None, Lane::Calls)
    }

    pub(crate) fn raft_client_on(
        &self,
        id: NodeId,
        fallback: Option<&Member>,
        lane: Lane,
    ) -> Result<RaftServiceClient<PeerChannel>, PeerError> {
        Ok(RaftServiceClient::new(self.lane(id, fallback, lane)?)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }

    /// The channel to a member for one kind of traffic. openraft may know a member (from an
    /// entry that isn't committed) before the trust store does: then `fallback` says where
    /// it is. That opens a connection **to** it and lets it say nothing here.
    fn lane(
        &self,
        id: NodeId,
        fallback: Option<&Member>,
        lane: Lane,
    ) -> Result<PeerChannel, PeerError> {
        let mut links = lock(&self.shared.links);
        let trust = self.shared.trust.load();
        let member = trust
            .members
            .get(&id)
            .or(fallback)
            .ok_or(PeerError::Unknown(id))?;
        if let Some(link) = links.get(&(id, lane))
            && link.leads_to(member)
        {
            return Ok(link.channel.clone());
        }
        let config = self
            .shared
            .tls
            .client(Pin::Key(member.public_key.clone()))?;
        let channel = InterceptedService::new(
            dial::lazy_channel(member.peer_address.clone(), config),
            self.stamp(),
        );
        let link = Link {
            address: member.peer_address.clone(),
            public_key: member.public_key.clone(),
            channel: channel.clone(),
        };
        links.insert((id, lane), link);
        Ok(channel)
    }

    /// Connects to a node of a cluster that this one is about to join, and tells which key
    /// it holds. The channel stays with that key when it has to connect again.
    pub async fn join_channel(
        &self,
        address: &str,
        pin: JoinPin,
    ) -> Result<(PeerChannel, Bytes), PeerError> {
        let pin = match pin {
            JoinPin::Fingerprints(expected) => Pin::Fingerprints(expected.into()),
            JoinPin::Unpinned => Pin::Any,
        };
        let public_key = dial::probe(address, self.shared.tls.client(pin)?)
            .await
            .map_err(|source| PeerError::Connect {
                address: address.to_owned(),
                source,
            })?;
        let config = self.shared.tls.client(Pin::Key(public_key.clone()))?;
        let channel = dial::lazy_channel(address.to_owned(), config);
        Ok((InterceptedService::new(channel, self.stamp()), public_key))
    }

    /// Counts the calls that were refused because their key isn't in the membership.
    pub fn refusals(&self) -> watch::Receiver<u64> {
        self.shared.refusals.subscribe()
    }

    /// Tells the id of a member when the last of its connections to this node has closed:
    /// its process died or was cut off, long before a timeout says so.
    pub fn disconnects(&self) -> tokio::sync::broadcast::Receiver<NodeId> {
        self.shared.inbound.disconnects()
    }

    pub(crate) fn note_refusal(&self) {
        self.shared.refusals.send_modify(|count| *count += 1);
    }

    pub(crate) fn tls(&self) -> &TlsContext {
        &self.shared.tls
    }

    pub(crate) fn inbound(&self) -> &Arc<Inbound> {
        &self.shared.inbound
    }

    fn stamp(&self) -> Stamp {
        Stamp::new(self.shared.cluster_id.clone())
    }
}

impl Link {
    fn leads_to(&self, member: &Member) -> bool {
        self.address == member.peer_address && self.public_key == member.public_key
    }
}
