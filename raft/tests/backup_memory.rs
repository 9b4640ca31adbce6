//! Backups take little memory at any size of the state: streaming 128 MiB out, and swapping it
//! in again, must each add at most 16 MiB. Counted as in `snapshot_memory.rs`.

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
use openraft::{EntryPayload, storage::RaftStateMachine};
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::{Command, Operation, Put, SwapIn, Transaction, operation};
use tenure_raft::{
    backup::{self, Decoder, Part},
    state::{NoObserver, State, StateMachine},
    types::{self, Entry, LogId},
};

const MEMORY_BYTES_MAX: usize = 16 << 20;
const STATE_BYTES: usize = 128 << 20;
const ROW_BYTES: usize = 1024;
const ROWS_PER_ENTRY: usize = 1024;
const PIECE_BYTES: usize = 1 << 20;
const CLUSTER: [u8; 16] = [7; 16];
const RESTORE: [u8; 16] = [9; 16];
/// Set in the process that fills the state and stages its backup.
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

/// Entry and revision `index`: these puts.
fn entry(index: u64, puts: Vec<(Vec<u8>, Vec<u8>)>, swap_in: Option<SwapIn>) -> Entry {
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

fn rows(index: u64, noise: &mut u64) -> Vec<(Vec<u8>, Vec<u8>)> {
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

async fn apply(machine: &mut StateMachine, entry: Entry) {
    let item = stream::iter([Ok((entry, None))]);
    machine.apply(item).await.expect("apply");
}

/// Fills the state, stages its backup in it, and leaves the last entry to be applied.
async fn fill(dir: &Path) {
    let (state, mut machine) = open(dir);
    let (mut noise, mut index) = (0x9e37_79b9_7f4a_7c15, 0);
    for _ in 0..STATE_BYTES / ROW_BYTES / ROWS_PER_ENTRY {
        index += 1;
        apply(&mut machine, entry(index, rows(index, &mut noise), None)).await;
    }
    let mut frames = backup::save(state.view().expect("view"), CLUSTER, ());
    let (mut decoder, mut rest, mut pieces) = (Decoder::default(), Vec::new(), 0_u64);
    let mut sha256 = Bytes::new();
    loop {
        let frame = frames.next().await.transpose().expect("frame");
        let ended = frame.is_none();
        rest.extend_from_slice(&frame.clone().unwrap_or_default());
        decoder.push(&frame.unwrap_or_default());
        while let Some(part) = decoder.part().expect("part") {
            if let Part::End(summary) = part {
                sha256 = Bytes::copy_from_slice(&summary.sha256);
            }
        }
        while rest.len() >= PIECE_BYTES || (ended && !rest.is_empty()) {
            let piece: Vec<u8> = rest.drain(..rest.len().min(PIECE_BYTES)).collect();
            let key = [&[3][..], &RESTORE, &pieces.to_be_bytes()].concat();
            (index, pieces) = (index + 1, pieces + 1);
            apply(&mut machine, entry(index, vec![(key, piece)], None)).await;
        }
        if ended {
            break;
        }
    }
    let swap_in = SwapIn {
        restore_id: Bytes::from_static(&RESTORE),
        pieces,
        sha256,
    };
    fs::write(dir.join("swap"), swap_in.encode_to_vec()).expect("write");
    fs::write(dir.join("index"), (index + 1).to_string()).expect("write");
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

/// What `work` adds at most, allocated and resident.
async fn measured(what: &str, work: impl Future<Output = ()>) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_128_mib_takes_at_most_16_mib_of_memory() {
    if let Ok(dir) = env::var(FILL_DIR) {
        return fill(Path::new(&dir)).await;
    }
    let dir = TempDir::new().expect("dir");
    // In a process of its own, so that this one starts small.
    let filled = process::Command::new(env::current_exe().expect("this test"))
        .env(FILL_DIR, dir.path())
        .status()
        .expect("the filling process");
    assert!(filled.success());
    let swap_in = fs::read(dir.path().join("swap")).expect("swap");
    let swap_in = SwapIn::decode(swap_in.as_slice()).expect("swap");
    let index = fs::read_to_string(dir.path().join("index")).expect("index");
    let index = index.parse().expect("a number");

    let (state, mut machine) = open(dir.path());
    // The pages of the program and of its libraries that a save runs through are resident before.
    let mut begun = backup::save(state.view().expect("view"), CLUSTER, ());
    assert!(begun.next().await.is_some() && begun.next().await.is_some());
    drop(begun);
    measured("save", async {
        let mut frames = backup::save(state.view().expect("view"), CLUSTER, ());
        let mut bytes = 0;
        while let Some(frame) = frames.next().await {
            bytes += frame.expect("frame").len();
        }
        assert!(bytes > STATE_BYTES, "{bytes}");
    })
    .await;
    measured("swap", async {
        apply(&mut machine, entry(index, Vec::new(), Some(swap_in))).await;
    })
    .await;
    assert_eq!(state.view().expect("view").restores(), 1);
}
