//! Tests of export and import: a state of about 64 MiB goes over whole, and nothing that
//! was changed on its way is taken.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openraft::{
    EntryPayload, RaftSnapshotBuilder,
    storage::{RaftStateMachine, Snapshot},
};
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::{self, SnapshotChunk, SnapshotHeader, snapshot_chunk::Part};

use super::*;
use crate::{
    codec::CodecError,
    state::{NoObserver, State, StateMachine},
    types::{Command, Entry, LogId, Vote},
};

const CLUSTER: [u8; 16] = [7; 16];
const ROW_BYTES: usize = 64 << 10;

/// Bytes that look random, and are the same in each run.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out.into()
}

fn row(index: u64) -> Entry {
    let put = internal::Put {
        key: Bytes::from([b"\x02".as_slice(), &index.to_be_bytes()].concat()),
        value: noise(index, ROW_BYTES),
        create_revision: None,
    };
    let command = internal::Command {
        format: 1,
        time_ms: index,
        first_revision: index,
        transactions: vec![internal::Transaction {
            operations: vec![internal::Operation {
                operation: Some(internal::operation::Operation::Put(put)),
            }],
        }],
        swap_in: None,
    };
    Entry {
        log_id: LogId::new(2.into(), index),
        payload: EntryPayload::Normal(Command(command.encode_to_vec().into())),
    }
}

fn open(dir: &Path) -> (State, StateMachine) {
    let state = State::open(dir, CLUSTER, Arc::new(NoObserver)).unwrap();
    (state.clone(), StateMachine::new(state))
}

/// A snapshot with so many rows, and its chunks; the first is the header.
async fn exported(dir: &Path, rows: u64) -> (SnapshotDir, Vec<SnapshotChunk>) {
    let (_, mut machine) = open(dir);
    for index in 1..=rows {
        let item = stream::iter([Ok((row(index), None))]);
        machine.apply(item).await.unwrap();
    }
    let mut builder = machine.get_snapshot_builder().await;
    let Snapshot { snapshot, .. } = builder.build_snapshot().await.unwrap();
    let vote = Vote::new_committed(2, 1);
    let chunks = export(snapshot.clone(), header(&snapshot, CLUSTER, &vote))
        .map(|chunk| chunk.unwrap())
        .collect()
        .await;
    (snapshot, chunks)
}

fn announced(chunks: &[SnapshotChunk]) -> SnapshotHeader {
    match &chunks[0].part {
        Some(Part::Header(header)) => header.clone(),
        _ => panic!("a stream starts with its header"),
    }
}

async fn import(
    dir: &Path,
    header: &SnapshotHeader,
    chunks: &[SnapshotChunk],
) -> Result<(Vote, SnapshotMeta, SnapshotDir), ImportError> {
    let mut import = Import::begin(dir, CLUSTER, header)?;
    for chunk in &chunks[1..] {
        import.push(chunk.clone()).await?;
    }
    import.finish().await
}

/// Place of the n-th chunk of data.
fn data(chunks: &mut [SnapshotChunk], nth: usize) -> (usize, &mut internal::SnapshotData) {
    chunks
        .iter_mut()
        .enumerate()
        .filter_map(|(place, chunk)| match &mut chunk.part {
            Some(Part::Data(data)) => Some((place, data)),
            _ => None,
        })
        .nth(nth)
        .unwrap()
}

#[tokio::test]
async fn a_state_of_64_mib_goes_over_whole() {
    const ROWS: u64 = 1024;
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (snapshot, chunks) = exported(from.path(), ROWS).await;
    let header = announced(&chunks);
    assert!(header.total_bytes >= ROWS * ROW_BYTES as u64);
    let (state, mut machine) = open(to.path());
    let (vote, meta, received) = import(to.path(), &header, &chunks).await.unwrap();
    assert_eq!(vote, Vote::new_committed(2, 1));
    assert_eq!(&meta, snapshot.meta());
    machine.install_snapshot(&meta, received).await.unwrap();
    let count = |dir| files::names_in(&to.path().join(dir)).unwrap().len();
    assert_eq!((count(INCOMING_DIR), count(SNAPSHOTS_DIR)), (0, 1));
    let view = state.view().unwrap();
    assert_eq!((view.revision(), view.time_ms()), (ROWS, ROWS));
    for index in 1..=ROWS {
        let key = [b"\x02".as_slice(), &index.to_be_bytes()].concat();
        let record = view.get(&key).unwrap().unwrap();
        assert!(record.value == noise(index, ROW_BYTES), "row {index}");
        assert_eq!(record.mod_revision, index);
    }
}

#[tokio::test]
async fn what_was_changed_on_its_way_is_refused() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_, chunks) = exported(from.path(), 40).await;
    let good = announced(&chunks);
    let (_keep_open, _machine) = open(to.path());
    let refused = async |header: &SnapshotHeader, chunks: &[SnapshotChunk]| {
        let error = import(to.path(), header, chunks).await.unwrap_err();
        let incoming = files::names_in(&to.path().join(INCOMING_DIR)).unwrap();
        assert!(incoming.is_empty(), "a refused snapshot is removed");
        error
    };
    let flip = |data: &mut internal::SnapshotData| {
        let mut bytes = data.bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        data.bytes = bytes.into();
    };

    let mut flipped = chunks.clone();
    flip(data(&mut flipped, 2).1);
    let error = refused(&good, &flipped).await;
    assert!(matches!(error, ImportError::Checksum));
    // The chunk's own checksum was made to fit; the file's isn't.
    let changed = data(&mut flipped, 2).1;
    changed.crc32 = crc32fast::hash(&changed.bytes);
    let error = refused(&good, &flipped).await;
    assert!(matches!(error, ImportError::Checksum));

    let mut shorter = chunks.clone();
    let place = data(&mut shorter, 1).0;
    shorter.remove(place);
    let error = refused(&good, &shorter).await;
    assert!(matches!(error, ImportError::Size(_)));
    for length in [1, 2, chunks.len() / 2, chunks.len() - 1] {
        let error = refused(&good, &chunks[..length]).await;
        assert!(matches!(error, ImportError::Size(_)), "cut at {length}");
    }
    let mut without_end_of_files = chunks[..1].to_vec();
    without_end_of_files.push(chunks[chunks.len() - 1].clone());
    let error = refused(&good, &without_end_of_files).await;
    assert!(matches!(error, ImportError::Size(_)));
    let mut longer = chunks.clone();
    longer.push(chunks[1].clone());
    let error = refused(&good, &longer).await;
    assert!(matches!(error, ImportError::Unexpected(_)));

    for name in [
        "../x.sst",
        "/etc/passwd",
        "a/b",
        "..",
        "",
        "CURRENT/../1.sst",
        "LOCK",
        "1.log",
    ] {
        let mut renamed = chunks.clone();
        if let Some(Part::File(file)) = &mut renamed[1].part {
            file.name = name.to_owned();
        }
        let error = refused(&good, &renamed).await;
        assert!(matches!(error, ImportError::FileName), "{name}");
    }

    let mut header = good.clone();
    header.cluster_id = Bytes::from_static(&[8; 16]);
    let error = refused(&header, &chunks).await;
    assert!(matches!(error, ImportError::OtherCluster));
    let mut header = good.clone();
    header.format += 1;
    let error = refused(&header, &chunks).await;
    assert!(matches!(
        error,
        ImportError::Codec(CodecError::NewerFormat { .. })
    ));
    // Whole, but announced as something else.
    let mut header = good.clone();
    header.last_log_id = Some(internal::LogId { term: 2, index: 41 });
    let error = refused(&header, &chunks).await;
    assert!(matches!(
        error,
        ImportError::State(StateError::SnapshotMismatch)
    ));
    import(to.path(), &good, &chunks).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_whose_content_is_of_another_cluster_is_refused() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_, chunks) = exported(from.path(), 1).await;
    let mut header = announced(&chunks);
    header.cluster_id = Bytes::from_static(&[8; 16]);
    let mut import = Import::begin(to.path(), [8; 16], &header).unwrap();
    for chunk in &chunks[1..] {
        import.push(chunk.clone()).await.unwrap();
    }
    assert!(matches!(
        import.finish().await,
        Err(ImportError::State(StateError::OtherCluster))
    ));
}

#[tokio::test]
async fn a_received_snapshot_that_is_not_installed_goes() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_, chunks) = exported(from.path(), 1).await;
    let (_, _, received) = import(to.path(), &announced(&chunks), &chunks)
        .await
        .unwrap();
    let path = received.path().to_owned();
    assert!(path.starts_with(to.path().join(INCOMING_DIR)));
    drop(received);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while path.exists() {
        assert!(std::time::Instant::now() < deadline, "it is still there");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
