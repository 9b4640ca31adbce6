//! Frozen bytes of the messages that nodes keep on disk or send in snapshots. Released
//! versions wrote exactly these: a test that fails here means that a field was renumbered
//! or retyped. (raft/tests/frozen.rs pins whole databases.)

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use prost::Message;
use tenure_proto::internal::{
    Applied, Blank, Command, Identity, JoinToken, KeyRange, LogEntry, LogId, Membership, Node,
    Operation, Put, SnapshotChunk, SnapshotData, SnapshotFile, SnapshotHeader, StoredMembership,
    Transaction, Vote, VoterSet, log_entry, operation, snapshot_chunk::Part,
};

fn check<M: Message + Default + PartialEq>(message: M, frozen: &str) {
    assert_eq!(hex::encode(message.encode_to_vec()), frozen);
    let decoded = M::decode(hex::decode(frozen).unwrap().as_slice()).unwrap();
    assert!(decoded == message);
}

fn log_id() -> Option<LogId> {
    Some(LogId {
        term: 3,
        index: 300,
    })
}

fn membership() -> Membership {
    let node = |name: &str| Node {
        name: name.into(),
        peer_address: "p".into(),
        api_address: "a".into(),
        public_key: Bytes::from_static(b"k"),
    };
    Membership {
        configs: vec![VoterSet {
            node_ids: vec![1, 2],
        }],
        nodes: [(2, node("n2")), (1, node("n1"))].into(),
    }
}

fn stored_membership() -> StoredMembership {
    StoredMembership {
        log_id: log_id(),
        membership: Some(membership()),
    }
}

fn command() -> Command {
    let operation = |operation| Operation {
        operation: Some(operation),
    };
    Command {
        format: 1,
        time_ms: 1_700_000_000_000,
        first_revision: 9,
        transactions: vec![Transaction {
            operations: vec![
                operation(operation::Operation::Put(Put {
                    key: Bytes::from_static(b"k"),
                    value: Bytes::from_static(b"v"),
                    create_revision: Some(0),
                })),
                operation(operation::Operation::Delete(Bytes::from_static(b"d"))),
                operation(operation::Operation::DeleteRange(KeyRange {
                    start: Bytes::from_static(b"s"),
                    end: Bytes::from_static(b"e"),
                })),
            ],
        }],
        swap_in: None,
    }
}

fn entry(payload: log_entry::Payload) -> LogEntry {
    LogEntry {
        format: 1,
        log_id: log_id(),
        payload: Some(payload),
    }
}

fn chunk(part: Part) -> SnapshotChunk {
    SnapshotChunk { part: Some(part) }
}

#[test]
fn the_log() {
    let vote = Vote {
        term: 3,
        node_id: 2,
        committed: true,
    };
    check(vote, "080310021801");
    check(
        entry(log_entry::Payload::Blank(Blank {})),
        "08011205080310ac021a00",
    );
    let encoded = Bytes::from(command().encode_to_vec());
    check(
        entry(log_entry::Payload::Command(encoded)),
        "08011205080310ac02222808011080d095ffbc311809221b0a0a0a080a016b12017618000a031201640a081a060a0173120165",
    );
    check(
        entry(log_entry::Payload::Membership(membership())),
        "08011205080310ac022a2c0a040a02010212110801120d0a026e311201701a016122016b12110802120d0a026e321201701a016122016b",
    );
    check(
        command(),
        "08011080d095ffbc311809221b0a0a0a080a016b12017618000a031201640a081a060a0173120165",
    );
}

#[test]
fn the_state() {
    let applied = Applied {
        format: 1,
        log_id: log_id(),
        revision: 9,
        time_ms: 1_700_000_000_000,
        restores: 0,
    };
    check(applied, "08011205080310ac0218092080d095ffbc31");
    check(
        stored_membership(),
        "0a05080310ac02122c0a040a02010212110801120d0a026e311201701a016122016b12110802120d0a026e321201701a016122016b",
    );
    let token = JoinToken {
        format: 1,
        expires_ms: 1_700_000_000_000,
        node_id: Some(4),
        public_key: Bytes::from_static(b"k"),
    };
    check(token, "08011080d095ffbc31180422016b");
}

#[test]
fn the_node() {
    let identity = Identity {
        format: 1,
        cluster_id: Bytes::from_static(&[7; 16]),
        node_id: 4,
        name: "n4".into(),
    };
    check(
        identity,
        "0801121007070707070707070707070707070707180422026e34",
    );
}

#[test]
fn snapshots() {
    let header = SnapshotHeader {
        format: 1,
        cluster_id: Bytes::from_static(&[7; 16]),
        vote: Some(Vote {
            term: 3,
            node_id: 2,
            committed: true,
        }),
        last_log_id: log_id(),
        last_membership: Some(stored_membership()),
        file_count: 1,
        total_bytes: 2,
    };
    check(
        chunk(Part::Header(header)),
        "0a5e08011210070707070707070707070707070707071a060803100218012205080310ac022a350a05080310ac02122c0a040a02010212110801120d0a026e311201701a016122016b12110802120d0a026e321201701a016122016b30013802",
    );
    let file = SnapshotFile {
        name: "000001.sst".into(),
        size_bytes: 2,
    };
    check(chunk(Part::File(file)), "120e0a0a3030303030312e7373741002");
    let data = SnapshotData {
        bytes: Bytes::from_static(b"ab"),
        crc32: 7,
    };
    check(chunk(Part::Data(data)), "1a060a0261621007");
    check(chunk(Part::FileEnd(7)), "2007");
    check(chunk(Part::End(Blank {})), "2a00");
}
