//! What the tests of memory share: a state of some size, filled by a process of its own, and what
//! some work adds, counted twice: what Rust allocates, by a counting allocator, and what the process
//! holds (RocksDB included), by its high-water mark.

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
use futures_util::stream;
use openraft::{EntryPayload, storage::RaftStateMachine};
use prost::Message;
use tenure_proto::internal::{Command, Operation, Put, SwapIn, Transaction, operation};
use tenure_raft::{
    state::{NoObserver, State, StateMachine},
    types::{self, Entry, LogId},
};

const MEMORY_BYTES_MAX: usize = 16 << 20;
const ROW_BYTES: usize = 1024;
const ROWS_PER_ENTRY: usize = 1024;
/// What one entry of [`rows`] holds.
pub const ENTRY_BYTES: usize = ROW_BYTES * ROWS_PER_ENTRY;
pub const CLUSTER: [u8; 16] = [7; 16];
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

pub fn open(dir: &Path) -> (State, StateMachine) {
    let state = State::open(dir, CLUSTER, Arc::new(NoObserver)).expect("a state");
    (state.clone(), StateMachine::new(state))
}

/// Entry and revision `index`: these puts.
pub fn entry(index: u64, puts: Vec<(Vec<u8>, Vec<u8>)>, swap_in: Option<SwapIn>) -> Entry {
    let operations = puts.into_iter().map(|(key, value)| Operation {
        operation: Some(operation::Operation::Put(Put {
            key: key.into(),
            value: value.into(),
            create_revision: None,
        })),
    });
    let command = Command {
        format: 1,
        time_ms: index,
        first_revision: index,
        transactions: vec![Transaction {
            operations: operations.collect(),
        }],
        swap_in,
    };
    Entry {
        log_id: LogId::new(1.into(), index),
        payload: EntryPayload::Normal(types::Command(Bytes::from(command.encode_to_vec()))),
    }
}

/// Rows of an entry: hashed keys come in no order.
pub fn rows(index: u64, noise: &mut u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut row = |row: u64| {
        let mut value = Vec::with_capacity(ROW_BYTES);
        while value.len() < ROW_BYTES {
            *noise ^= *noise << 13;
            *noise ^= *noise >> 7;
            *noise ^= *noise << 17;
            value.extend_from_slice(&noise.to_le_bytes());
        }
        let numbers = [noise.to_le_bytes(), index.to_be_bytes(), row.to_be_bytes()];
        ([b"\x02".as_slice(), &numbers.concat()].concat(), value)
    };
    (0..ROWS_PER_ENTRY as u64).map(&mut row).collect()
}

/// Applies one entry.
pub async fn apply(machine: &mut StateMachine, entry: Entry) {
    let item = stream::iter([Ok((entry, None))]);
    machine.apply(item).await.expect("apply");
}

/// The folder that this process is to fill, if it is the one that does.
pub fn to_be_filled() -> Option<String> {
    env::var(FILL_DIR).ok()
}

/// Runs this test again, to fill a folder: so this process starts small.
pub fn filled(dir: &Path) {
    let filled = process::Command::new(env::current_exe().expect("this test"))
        .env(FILL_DIR, dir)
        .status()
        .expect("the filling process");
    assert!(filled.success());
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

/// What `work` adds at most, allocated and resident.
pub async fn measured(what: &str, work: impl Future<Output = ()>) {
    // Resets the high-water mark to what is held now.
    fs::write("/proc/self/clear_refs", "5").expect("procfs");
    let held_before = status_bytes("VmRSS:");
    let allocated_before = NOW_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(allocated_before, Ordering::Relaxed);
    work.await;
    let allocated = PEAK_BYTES.load(Ordering::Relaxed) - allocated_before;
    let held = status_bytes("VmHWM:").saturating_sub(held_before);
    println!("{what}: allocated at most {allocated} bytes more, held at most {held} bytes more");
    assert!(
        allocated <= MEMORY_BYTES_MAX,
        "{what}: {allocated} bytes allocated"
    );
    assert!(held <= MEMORY_BYTES_MAX, "{what}: {held} bytes held");
}
