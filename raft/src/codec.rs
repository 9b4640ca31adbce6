//! Conversions between openraft's types and the messages of `tenure.internal.v1`, used on
//! disk and on the wire alike. Pure; never reads a file or a socket.
//!
//! What arrives here may come from a damaged disk or a newer peer, so every decoding is
//! checked and answers with a [`CodecError`].

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bytes::Bytes;
use openraft::EntryPayload;
use prost::Message;
use tenure_proto::internal;
use thiserror::Error;

use crate::{
    limits::FORMAT,
    types::{
        Command, Entry, LogId, Member, Membership, NodeId, SnapshotMeta, StoredMembership, Vote,
    },
};

/// Why bytes could not be understood.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// Not a message of this kind.
    #[error("undecodable {what}: {reason}")]
    Undecodable {
        /// What was decoded.
        what: &'static str,
        /// What prost says; it names fields, never values.
        reason: String,
    },
    /// A part that must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// The missing part.
        what: &'static str,
    },
    /// Written by a newer version of Tenure.
    #[error("{what} has format {found}, this build reads up to {FORMAT}: upgrade this node")]
    NewerFormat {
        /// What was decoded.
        what: &'static str,
        /// Its format.
        found: u32,
    },
    /// A membership that can't be: an empty voter set, or a voter that nobody knows.
    #[error("invalid membership: {0}")]
    InvalidMembership(String),
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Refuses a format that this build doesn't know; 0 is a missing version.
pub fn check_format(what: &'static str, found: u32) -> Result<(), CodecError> {
    match found {
        0 => Err(CodecError::Missing { what }),
        found if found > FORMAT => Err(CodecError::NewerFormat { what, found }),
        _ => Ok(()),
    }
}

/// Decodes a message, naming it in the error.
pub fn decode<M: Message + Default>(
    what: &'static str,
    bytes: impl bytes::Buf,
) -> Result<M, CodecError> {
    M::decode(bytes).map_err(|error| CodecError::Undecodable {
        what,
        reason: error.to_string(),
    })
}

// ------------------------------------------------------------------- identifiers

/// A log id as a message.
pub fn log_id_to_proto(id: &LogId) -> internal::LogId {
    internal::LogId {
        term: id.committed_leader_id().term,
        index: id.index(),
    }
}

/// A log id from its message.
pub fn log_id_from_proto(id: &internal::LogId) -> LogId {
    LogId::new(id.term.into(), id.index)
}

/// A vote as a message.
pub fn vote_to_proto(vote: &Vote) -> internal::Vote {
    internal::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

/// A vote from its message.
pub fn vote_from_proto(vote: &internal::Vote) -> Vote {
    if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    }
}

// -------------------------------------------------------------------- membership

/// A member as a message.
pub fn member_to_proto(member: &Member) -> internal::Node {
    internal::Node {
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        api_address: member.api_address.clone(),
        public_key: member.public_key.clone(),
    }
}

/// A member from its message.
pub fn member_from_proto(node: &internal::Node) -> Member {
    Member {
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        api_address: node.api_address.clone(),
        public_key: node.public_key.clone(),
    }
}

/// A membership as a message. Equal memberships give equal bytes: the map is ordered.
pub fn membership_to_proto(membership: &Membership) -> internal::Membership {
    internal::Membership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| internal::VoterSet {
                node_ids: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, member)| (*id, member_to_proto(member)))
            .collect(),
    }
}

/// A membership from its message. No voter set at all is the membership of a node that has
/// none yet; an empty voter set or a voter without its node is refused.
pub fn membership_from_proto(membership: &internal::Membership) -> Result<Membership, CodecError> {
    let configs = membership
        .configs
        .iter()
        .map(|voters| {
            voters
                .node_ids
                .iter()
                .copied()
                .collect::<BTreeSet<NodeId>>()
        })
        .collect();
    let nodes = membership
        .nodes
        .iter()
        .map(|(id, node)| (*id, member_from_proto(node)))
        .collect::<BTreeMap<NodeId, Member>>();
    Membership::new(configs, nodes).map_err(|e| CodecError::InvalidMembership(e.to_string()))
}

/// A membership and the log id that set it, as a message.
pub fn stored_membership_to_proto(stored: &StoredMembership) -> internal::StoredMembership {
    internal::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_proto),
        membership: Some(membership_to_proto(stored.membership())),
    }
}

/// A membership and the log id that set it, from its message.
pub fn stored_membership_from_proto(
    stored: &internal::StoredMembership,
) -> Result<StoredMembership, CodecError> {
    let membership = stored
        .membership
        .as_ref()
        .ok_or(CodecError::Missing { what: "membership" })?;
    Ok(StoredMembership::new(
        stored.log_id.as_ref().map(log_id_from_proto),
        membership_from_proto(membership)?,
    ))
}

// ----------------------------------------------------------------------- entries

/// An entry as a message. The command's bytes are shared, not copied.
pub fn entry_to_proto(entry: &Entry) -> internal::LogEntry {
    use internal::log_entry::Payload;
    internal::LogEntry {
        format: FORMAT,
        log_id: Some(log_id_to_proto(&entry.log_id)),
        payload: Some(match &entry.payload {
            EntryPayload::Blank => Payload::Blank(internal::Blank {}),
            EntryPayload::Normal(command) => Payload::Command(command.0.clone()),
            EntryPayload::Membership(membership) => {
                Payload::Membership(membership_to_proto(membership))
            }
        }),
    }
}

/// An entry from its message. The command stays encoded: apply decodes it.
pub fn entry_from_proto(entry: internal::LogEntry) -> Result<Entry, CodecError> {
    use internal::log_entry::Payload;
    check_format("log entry", entry.format)?;
    let log_id = entry.log_id.ok_or(CodecError::Missing {
        what: "log id of a log entry",
    })?;
    let payload = match entry.payload {
        Some(Payload::Blank(_)) => EntryPayload::Blank,
        Some(Payload::Command(command)) => EntryPayload::Normal(Command(command)),
        Some(Payload::Membership(membership)) => {
            EntryPayload::Membership(membership_from_proto(&membership)?)
        }
        None => {
            return Err(CodecError::Missing {
                what: "payload of a log entry",
            });
        }
    };
    Ok(Entry {
        log_id: log_id_from_proto(&log_id),
        payload,
    })
}

/// An entry as bytes.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry_to_proto(entry).encode_to_vec()
}

/// An entry from bytes; its command is a slice of `bytes`, not a copy.
pub fn decode_entry(bytes: Bytes) -> Result<Entry, CodecError> {
    entry_from_proto(decode("log entry", bytes)?)
}

// --------------------------------------------------------------------- snapshots

/// What a snapshot covers, from the header of its stream.
pub fn snapshot_meta_from_proto(
    header: &internal::SnapshotHeader,
) -> Result<SnapshotMeta, CodecError> {
    let membership = header.last_membership.as_ref().ok_or(CodecError::Missing {
        what: "membership of a snapshot",
    })?;
    Ok(SnapshotMeta {
        last_log_id: header.last_log_id.as_ref().map(log_id_from_proto),
        last_membership: stored_membership_from_proto(membership)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let member = |name: &str| Member {
            name: name.into(),
            peer_address: format!("{name}:8201"),
            api_address: format!("https://{name}:8200"),
            public_key: Bytes::copy_from_slice(name.as_bytes()),
        };
        Membership::new(
            vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            BTreeMap::from([
                (1, member("a")),
                (2, member("b")),
                (3, member("c")),
                (9, member("learner")),
            ]),
        )
        .unwrap()
    }

    #[test]
    fn entries_survive_the_round_trip() {
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Command(Bytes::from_static(b"command"))),
            EntryPayload::Membership(membership()),
        ] {
            let entry = Entry {
                log_id: LogId::new(7.into(), 42),
                payload,
            };
            let bytes = encode_entry(&entry);
            assert_eq!(decode_entry(bytes.into()).unwrap(), entry);
        }
    }

    #[test]
    fn votes_and_stored_memberships_survive_the_round_trip() {
        for vote in [Vote::new(3, 4), Vote::new_committed(5, 6)] {
            assert_eq!(vote_from_proto(&vote_to_proto(&vote)), vote);
        }
        for stored in [
            StoredMembership::default(),
            StoredMembership::new(Some(LogId::new(1.into(), 2)), membership()),
        ] {
            let proto = stored_membership_to_proto(&stored);
            assert_eq!(stored_membership_from_proto(&proto).unwrap(), stored);
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        assert!(matches!(
            decode_entry(Bytes::from_static(b"\xff\xff\xff")),
            Err(CodecError::Undecodable { .. })
        ));
        let mut newer = entry_to_proto(&Entry {
            log_id: LogId::new(1.into(), 1),
            payload: EntryPayload::Blank,
        });
        newer.format = FORMAT + 1;
        assert_eq!(
            entry_from_proto(newer.clone()),
            Err(CodecError::NewerFormat {
                what: "log entry",
                found: FORMAT + 1
            })
        );
        newer.format = FORMAT;
        newer.payload = None;
        assert!(matches!(
            entry_from_proto(newer),
            Err(CodecError::Missing { .. })
        ));
        let voter_without_node = internal::Membership {
            configs: vec![internal::VoterSet { node_ids: vec![1] }],
            nodes: Default::default(),
        };
        let no_voters = internal::Membership {
            configs: vec![internal::VoterSet { node_ids: vec![] }],
            nodes: Default::default(),
        };
        for membership in [voter_without_node, no_voters] {
            assert!(matches!(
                membership_from_proto(&membership),
                Err(CodecError::InvalidMembership(_))
            ));
        }
    }
}
