//! Backups take little memory at any size of the state: streaming 128 MiB out, and swapping it
//! in again, must each add at most 16 MiB.

#![allow(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{fs, path::Path};

use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::SwapIn;
use tenure_raft::backup::{self, Decoder, Part};

mod memory;
use memory::{CLUSTER, ENTRY_BYTES, apply, entry, filled, measured, open, rows, to_be_filled};

const STATE_BYTES: usize = 128 << 20;
const PIECE_BYTES: usize = 1 << 20;
const RESTORE: [u8; 16] = [9; 16];

/// Fills the state, stages its backup in it, and leaves the last entry to be applied.
async fn fill(dir: &Path) {
    let (state, mut machine) = open(dir);
    let (mut noise, mut index) = (0x9e37_79b9_7f4a_7c15, 0);
    for _ in 0..STATE_BYTES / ENTRY_BYTES {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_128_mib_takes_at_most_16_mib_of_memory() {
    if let Some(dir) = to_be_filled() {
        return fill(Path::new(&dir)).await;
    }
    let dir = TempDir::new().expect("dir");
    filled(dir.path());
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
