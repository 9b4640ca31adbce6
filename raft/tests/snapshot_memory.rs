//! Snapshots take little memory at any size of the state: building, sending, receiving and
//! installing 256 MiB must add at most 16 MiB. Counted twice: what Rust allocates, by a
//! counting allocator, and what the process holds (RocksDB included), by its high-water
//! mark.

#![allow(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openraft::{
    EntryPayload, RaftSnapshotBuilder,
    storage::{RaftStateMachine, Snapshot},
};
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::{
    Command, Operation, Put, SnapshotChunk, Transaction, operation, snapshot_chunk::Part,
};
use tenure_raft::{
    snapshot::{self, Import},
    state::{NoObserver, State, StateMachine},
    types::{self, Entry, LogId, Vote},
};

const MEMORY_BYTES_MAX: usize = 16 << 20;
const STATE_BYTES: usize = 256 << 20;
const ROW_BYTES: usize = 1024;
const ROWS_PER_ENTRY: usize = 1024;
const CLUSTER: [u8; 16] = [7; 16];
/// Set in the process that fills the state.
const FILL_DIR: &str = "TENURE_TEST_FILL_DIR";

struct Counting;

static NOW_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches
// atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn open(dir: &Path) -> (State, StateMachine) {
    let state = State::open(dir, CLUSTER, Arc::new(NoObserver)).expect("a state");
    (state.clone(), StateMachine::new(state))
}

fn entry(index: u64, noise: &mut u64) -> Entry {
    let mut operations = Vec::with_capacity(ROWS_PER_ENTRY);
    for row in 0..ROWS_PER_ENTRY as u64 {
        let mut value = Vec::with_capacity(ROW_BYTES);
        while value.len() < ROW_BYTES {
            *noise ^= *noise << 13;
            *noise ^= *noise >> 7;
            *noise ^= *noise << 17;
            value.extend_from_slice(&noise.to_le_bytes());
        }
        // Hashed keys come in no order.
        let key = [
            b"\x02".as_slice(),
            &noise.to_le_bytes(),
            &index.to_be_bytes(),
            &row.to_be_bytes(),
        ]
        .concat();
        operations.push(Operation {
            operation: Some(operation::Operation::Put(Put {
                key: key.into(),
                value: value.into(),
                create_revision: None,
            })),
        });
    }
    let command = Command {
        format: 1,
        time_ms: index,
        first_revision: index,
        transactions: vec![Transaction { operations }],
        swap_in: None,
    };
    Entry {
        log_id: LogId::new(1.into(), index),
        payload: EntryPayload::Normal(types::Command(Bytes::from(command.encode_to_vec()))),
    }
}

async fn fill(dir: &Path) {
    let (state, mut machine) = open(dir);
    let mut noise = 0x9e37_79b9_7f4a_7c15;
    for index in 1..=(STATE_BYTES / ROW_BYTES / ROWS_PER_ENTRY) as u64 {
        let item = stream::iter([Ok((entry(index, &mut noise), None))]);
        machine.apply(item).await.expect("apply");
    }
    state.flush().expect("flush");
}

/// A figure of `/proc/self/status`, in bytes.
fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .expect("a known figure");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<usize>().expect("a number") << 10
}

/// As it goes over the wire: encoded and decoded again.
fn over_the_wire(chunk: SnapshotChunk) -> SnapshotChunk {
    let bytes = Bytes::from(chunk.encode_to_vec());
    SnapshotChunk::decode(bytes).expect("a chunk")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_256_mib_takes_at_most_16_mib_of_memory() {
    if let Ok(dir) = env::var(FILL_DIR) {
        return fill(Path::new(&dir)).await;
    }
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    // In a process of its own, so that this one starts small.
    let filled = process::Command::new(env::current_exe().expect("this test"))
        .env(FILL_DIR, from.path())
        .status()
        .expect("the filling process");
    assert!(filled.success());

    let (_, mut sender) = open(from.path());
    let (state, mut receiver) = open(to.path());
    // Resets the high-water mark to what is held now.
    fs::write("/proc/self/clear_refs", "5").expect("procfs");
    let held_before = status_bytes("VmRSS:");
    let allocated_before = NOW_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(allocated_before, Ordering::Relaxed);

    let mut builder = sender.get_snapshot_builder().await;
    let Snapshot { snapshot, .. } = builder.build_snapshot().await.expect("build");
    let header = snapshot::header(&snapshot, CLUSTER, &Vote::new_committed(1, 1));
    let mut chunks = snapshot::export(snapshot, header);
    let Some(Ok(SnapshotChunk {
        part: Some(Part::Header(header)),
    })) = chunks.next().await
    else {
        panic!("a stream starts with its header");
    };
    assert!(header.total_bytes as usize >= STATE_BYTES);
    let mut import = Import::begin(to.path(), CLUSTER, &header).expect("begin");
    while let Some(chunk) = chunks.next().await {
        let chunk = over_the_wire(chunk.expect("chunk"));
        import.push(chunk).await.expect("push");
    }
    let (_, meta, received) = import.finish().await.expect("finish");
    receiver
        .install_snapshot(&meta, received)
        .await
        .expect("install");

    let allocated = PEAK_BYTES.load(Ordering::Relaxed) - allocated_before;
    let held = status_bytes("VmHWM:").saturating_sub(held_before);
    println!("allocated at most {allocated} bytes more, held at most {held} bytes more");
    assert_eq!(
        state.applied().index,
        meta.last_log_id.map_or(0, |id| id.index())
    );
    assert!(allocated <= MEMORY_BYTES_MAX, "{allocated} bytes allocated");
    assert!(held <= MEMORY_BYTES_MAX, "{held} bytes held");
}
