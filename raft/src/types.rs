//! The types that openraft is instantiated with. Never holds behaviour.

use std::fmt;

use bytes::Bytes;

openraft::declare_raft_types!(
    /// Our instance of openraft. The leader id is the standard one: at most one leader a
    /// term (openraft's default allows several).
    pub TypeConfig:
        D = Command,
        R = (),
        NodeId = u64,
        Node = Member,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// Id of a node: allocated by the log, never used twice.
pub type NodeId = u64;
/// Position in the log.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// Committed leader id (a term).
pub type LeaderId = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;
/// A vote.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// A membership with the log id that set it.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// Voter sets and members.
pub type Membership = openraft::Membership<NodeId, Member>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
/// The revision of a transaction: grows by one with each, over the life of the cluster.
pub type Revision = u64;

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Member {
    /// Stable name, chosen by the operator (a pod's name); unique among members.
    pub name: String,
    /// `host:port` of its peer listener.
    pub peer_address: String,
    /// URL of its client listener.
    pub api_address: String,
    /// DER SubjectPublicKeyInfo of its TLS key. Only this key may speak as this node.
    pub public_key: Bytes,
}

/// An encoded [`tenure_proto::internal::Command`]: encoded once where it is proposed, and
/// carried as it is through log and wire. The bytes are values above the seam, so neither
/// `Debug` nor `Display` shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
