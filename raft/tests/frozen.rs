//! Frozen bytes: everything this crate writes to disk, byte by byte. Logs, states and
//! snapshots of released versions hold exactly these; a change here is a new format.

#![allow(clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::stream;
use openraft::{
    EntryPayload,
    storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine},
};
use prost::Message;
use rocksdb::{DB, IteratorMode, Options};
use tempfile::TempDir;
use tenure_proto::internal::{
    self, KeyRange, Operation, Put, Transaction, operation::Operation as Op,
};
use tenure_raft::{
    log::LogStore,
    state::{NoObserver, State, StateMachine},
    types::{Command, Entry, LogId, Member, Membership, Vote},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// All keys and values of a database, as `key = value`.
fn dump(dir: &Path) -> Vec<String> {
    let db = DB::open_for_read_only(&Options::default(), dir, false).expect("a database");
    db.iterator(IteratorMode::Start)
        .map(|row| {
            let (key, value) = row.expect("a row");
            format!("{} = {}", hex(&key), hex(&value))
        })
        .collect()
}

fn command() -> internal::Command {
    let operation = |operation| Operation {
        operation: Some(operation),
    };
    internal::Command {
        format: 1,
        time_ms: 1_700_000_000_000,
        first_revision: 1,
        transactions: vec![
            Transaction {
                operations: vec![operation(Op::Put(Put {
                    key: Bytes::from_static(b"\x02a"),
                    value: Bytes::from_static(b"value"),
                    create_revision: None,
                }))],
            },
            Transaction {
                operations: vec![
                    operation(Op::Put(Put {
                        key: Bytes::from_static(b"\x02a"),
                        value: Bytes::from_static(b"again"),
                        create_revision: Some(1),
                    })),
                    operation(Op::Delete(Bytes::from_static(b"\x02b"))),
                    operation(Op::DeleteRange(KeyRange {
                        start: Bytes::from_static(b"\x02c"),
                        end: Bytes::from_static(b"\x02d"),
                    })),
                ],
            },
        ],
        swap_in: None,
    }
}

fn entries() -> Vec<Entry> {
    let member = |name: &str| Member {
        name: name.to_owned(),
        peer_address: format!("{name}:8201"),
        api_address: format!("https://{name}:8200"),
        public_key: Bytes::from_static(b"key"),
    };
    let membership = Membership::new(
        vec![BTreeSet::from([1]), BTreeSet::from([1, 2])],
        BTreeMap::from([(1, member("a")), (2, member("b"))]),
    )
    .expect("a membership");
    [
        EntryPayload::Membership(membership),
        EntryPayload::Blank,
        EntryPayload::Normal(Command(command().encode_to_vec().into())),
    ]
    .into_iter()
    .zip(0..)
    .map(|(payload, index)| Entry {
        log_id: LogId::new(5.into(), index),
        payload,
    })
    .collect()
}

#[tokio::test]
async fn the_log_and_its_marker() {
    let dir = TempDir::new().expect("dir");
    let mut log = LogStore::open(dir.path()).expect("open");
    log.save_vote(&Vote::new_committed(5, 2))
        .await
        .expect("vote");
    log.blocking_append(entries()).await.expect("append");
    let committed = Some(LogId::new(5.into(), 1));
    log.save_committed(committed).await.expect("committed");
    log.close();
    assert_eq!(dump(&dir.path().join("log")), LOG);

    let marker = fs::read(dir.path().join("marker")).expect("marker");
    assert_eq!(marker.len(), 8192);
    assert_eq!(hex(&marker[..64]), MARKER_SLOTS[0]);
    assert_eq!(hex(&marker[4096..4160]), MARKER_SLOTS[1]);
    let mut log = LogStore::open(dir.path()).expect("open");
    log.purge(LogId::new(5.into(), 1)).await.expect("purge");
    log.close();
    assert_eq!(dump(&dir.path().join("log"))[2], PURGED);
}

#[tokio::test]
async fn the_state() {
    let dir = TempDir::new().expect("dir");
    let state = State::open(dir.path(), [7; 16], Arc::new(NoObserver)).expect("open");
    let mut machine = StateMachine::new(state.clone());
    let items = entries().into_iter().map(|entry| Ok((entry, None)));
    machine.apply(stream::iter(items)).await.expect("apply");
    state.flush().expect("flush");
    assert_eq!(dump(&dir.path().join("state/gen-1")), STATE);
    let current = fs::read_to_string(dir.path().join("state/CURRENT")).expect("current");
    assert_eq!(current, "gen-1");
}

const LOG: &[&str] = &[
    // committed: term 5, index 1
    "00636f6d6d6974746564 = 08051001",
    // format 1
    "00666f726d6174 = 00000001",
    // vote: term 5, node 2, committed
    "00766f7465 = 080510021801",
    // entry 0: a joint membership
    "010000000000000000 = 0801120208052a570a030a01010a040a0201021224080112200a01611206613a383230311a0e68747470733a2f2f613a3832303022036b65791224080212200a01621206623a383230311a0e68747470733a2f2f623a3832303022036b6579",
    // entry 1: blank
    "010000000000000001 = 08011204080510011a00",
    // entry 2: a command
    "010000000000000002 = 0801120408051002224108011080d095ffbc311801220f0a0d0a0b0a020261120576616c756522230a0f0a0d0a0202611205616761696e18010a04120202620a0a1a080a02026312020264",
];
/// The two slots: creation and then the entries in the second, the vote in the first.
const MARKER_SLOTS: [&str; 2] = [
    "544e4d4b000000010000000000000002000000000000000000000000000000000000000000000005000000000000000206000000000000000000000020d8f0db",
    "544e4d4b0000000100000000000000030000000000000002000000000000000500000000000000050000000000000002070000000000000000000000f6130772",
];
const PURGED: &str = "00707572676564 = 08051001";
const STATE: &[&str] = &[
    // applied: format, log id, revision 2, time
    "006170706c696564 = 080112040805100218022080d095ffbc31",
    // cluster id
    "00636c7573746572 = 07070707070707070707070707070707",
    // membership
    "006d656d62657273686970 = 0a02080512570a030a01010a040a0201021224080112200a01611206613a383230311a0e68747470733a2f2f613a3832303022036b65791224080212200a01621206623a383230311a0e68747470733a2f2f623a3832303022036b6579",
    // a record: format 1, created at 1, written at 2, "again"
    "0261 = 0100000000000000010000000000000002616761696e",
];
