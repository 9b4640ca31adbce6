//! Snapshots take little memory at any size of the state: building, sending, receiving and
//! installing 256 MiB (more with TENURE_SNAPSHOT_MIB) must add at most 16 MiB.

#![allow(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{env, path::Path};

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::{
    RaftSnapshotBuilder,
    storage::{RaftStateMachine, Snapshot},
};
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::{SnapshotChunk, snapshot_chunk::Part};
use tenure_raft::{
    snapshot::{self, Import},
    types::Vote,
};

mod memory;
use memory::{CLUSTER, ENTRY_BYTES, apply, entry, filled, measured, open, rows, to_be_filled};

const STATE_MIB: usize = 256;

/// Of the state that is sent.
fn state_bytes() -> usize {
    let asked = env::var("TENURE_SNAPSHOT_MIB").ok();
    let asked = asked.and_then(|mib| mib.parse().ok());
    asked.unwrap_or(STATE_MIB) << 20
}

async fn fill(dir: &Path) {
    let (state, mut machine) = open(dir);
    let mut noise = 0x9e37_79b9_7f4a_7c15;
    for index in 1..=(state_bytes() / ENTRY_BYTES) as u64 {
        apply(&mut machine, entry(index, rows(index, &mut noise), None)).await;
    }
    state.flush().expect("flush");
}

/// As it goes over the wire: encoded and decoded again.
fn over_the_wire(chunk: SnapshotChunk) -> SnapshotChunk {
    let bytes = Bytes::from(chunk.encode_to_vec());
    SnapshotChunk::decode(bytes).expect("a chunk")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_256_mib_takes_at_most_16_mib_of_memory() {
    if let Some(dir) = to_be_filled() {
        return fill(Path::new(&dir)).await;
    }
    let (from, to) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
    filled(from.path());
    let (_, mut sender) = open(from.path());
    let (state, mut receiver) = open(to.path());
    measured("snapshot", async {
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
        assert!(header.total_bytes as usize >= state_bytes());
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
        assert_eq!(
            state.applied().index,
            meta.last_log_id.map_or(0, |id| id.index())
        );
    })
    .await;
}
