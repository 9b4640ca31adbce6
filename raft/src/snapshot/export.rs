//! A snapshot folder as a stream of chunks. At most a few chunks are in memory at any time:
//! the reading thread waits while the receiver is slow.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tenure_proto::internal::{
    Blank, SnapshotChunk, SnapshotData, SnapshotFile, SnapshotHeader, snapshot_chunk::Part,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{SnapshotDir, files_of};
use crate::{
    codec,
    limits::{FORMAT, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNKS_QUEUED},
    types::Vote,
};

type Chunks = mpsc::Sender<io::Result<SnapshotChunk>>;

/// The header that announces a snapshot; [`export`] fills in the counts.
pub fn header(snapshot: &SnapshotDir, cluster_id: [u8; 16], vote: &Vote) -> SnapshotHeader {
    let meta = snapshot.meta();
    SnapshotHeader {
        format: FORMAT,
        cluster_id: Bytes::copy_from_slice(&cluster_id),
        vote: Some(codec::vote_to_proto(vote)),
        last_log_id: meta.last_log_id.as_ref().map(codec::log_id_to_proto),
        last_membership: Some(codec::stored_membership_to_proto(&meta.last_membership)),
        file_count: 0,
        total_bytes: 0,
    }
}

/// Streams a snapshot: the header (with the counts of files and bytes filled in), then each
/// file as its name, its data and its checksum, then the end. The folder stays until the
/// stream is dropped. Must be called on the runtime; files are read on a thread that may
/// block.
pub fn export(
    snapshot: SnapshotDir,
    header: SnapshotHeader,
) -> impl Stream<Item = io::Result<SnapshotChunk>> + Send + Unpin + use<> {
    let (chunks, queue) = mpsc::channel(SNAPSHOT_CHUNKS_QUEUED);
    tokio::task::spawn_blocking(move || {
        if let Err(Stopped::Failed(error)) = send_all(snapshot.path(), header, &chunks) {
            // A receiver that is gone needs no error.
            let _ = chunks.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(queue)
}

enum Stopped {
    /// Nobody receives any more.
    Gone,
    Failed(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn send_all(dir: &Path, mut header: SnapshotHeader, chunks: &Chunks) -> Result<(), Stopped> {
    let mut list = Vec::new();
    header.total_bytes = 0;
    for name in files_of(dir)? {
        let size_bytes = dir.join(&name).metadata()?.len();
        header.total_bytes += size_bytes;
        list.push(SnapshotFile { name, size_bytes });
    }
    header.file_count = list.len() as u64;
    send(chunks, Part::Header(header))?;
    for file in list {
        send_file(dir, file, chunks)?;
    }
    send(chunks, Part::End(Blank {}))
}

fn send_file(dir: &Path, file: SnapshotFile, chunks: &Chunks) -> Result<(), Stopped> {
    let mut source = File::open(dir.join(&file.name))?;
    let mut left = file.size_bytes;
    send(chunks, Part::File(file))?;
    let mut whole = crc32fast::Hasher::new();
    while left > 0 {
        let size = left.min(SNAPSHOT_CHUNK_BYTES as u64);
        let mut bytes = BytesMut::zeroed(size as usize);
        source.read_exact(&mut bytes)?;
        whole.update(&bytes);
        send(
            chunks,
            Part::Data(SnapshotData {
                crc32: crc32fast::hash(&bytes),
                bytes: bytes.freeze(),
            }),
        )?;
        left -= size;
    }
    send(chunks, Part::FileEnd(whole.finalize()))
}

fn send(chunks: &Chunks, part: Part) -> Result<(), Stopped> {
    chunks
        .blocking_send(Ok(SnapshotChunk { part: Some(part) }))
        .map_err(|_| Stopped::Gone)
}
