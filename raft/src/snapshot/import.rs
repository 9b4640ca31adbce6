//! A stream of chunks to a snapshot folder. Everything that arrives is checked: cluster,
//! format, names, sizes, counts, checksums, and at the end what the database itself says it
//! holds. A folder that isn't finished is removed.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tenure_proto::internal::{
    SnapshotChunk, SnapshotData, SnapshotFile, SnapshotHeader, snapshot_chunk::Part,
};
use thiserror::Error;

use super::{INCOMING_DIR, SnapshotDir, is_snapshot_file, next_folder, read_meta};
use crate::{
    codec::{self, CodecError},
    files,
    limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_FILES_MAX},
    state::StateError,
    types::{SnapshotMeta, Vote},
};

/// Why a snapshot was refused.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Sent by a node of another cluster.
    #[error("the snapshot belongs to another cluster")]
    OtherCluster,
    /// A message that can't be understood, or of a newer version.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A file that no snapshot holds; its name isn't shown, it may hold anything.
    #[error("the snapshot holds a file of an unknown kind")]
    FileName,
    /// A part that must not come here.
    #[error("unexpected part of a snapshot: {0}")]
    Unexpected(&'static str),
    /// Larger or smaller than announced, or than allowed.
    #[error("the snapshot is not of the size that was announced: {0}")]
    Size(&'static str),
    /// Changed on its way.
    #[error("a checksum of the snapshot does not match")]
    Checksum,
    /// Its content isn't what was announced, or can't be read.
    #[error("the snapshot can't be used: {0}")]
    State(#[from] StateError),
    /// The disk.
    #[error("snapshot: {0}")]
    Io(#[from] io::Error),
}

/// A snapshot that is being received.
pub struct Import {
    /// Away on a blocking thread during a push; lost if that push was cut off.
    staging: Option<Staging>,
}

impl Import {
    /// Starts to receive what `header` announces.
    pub fn begin(
        data_dir: &Path,
        cluster_id: [u8; 16],
        header: &SnapshotHeader,
    ) -> Result<Self, ImportError> {
        Ok(Self {
            staging: Some(Staging::new(data_dir, cluster_id, header)?),
        })
    }

    /// Takes the next chunk, after the header. An error is final.
    pub async fn push(&mut self, chunk: SnapshotChunk) -> Result<(), ImportError> {
        let mut staging = self.take()?;
        let (staging, result) = blocking(move || {
            let result = staging.accept(chunk);
            (staging, result)
        })
        .await?;
        result?;
        self.staging = Some(staging);
        Ok(())
    }

    /// After the last chunk: makes the folder durable and looks into it. The folder goes with
    /// its last handle unless it is installed: a snapshot that raft didn't take must not be
    /// found by the next start.
    pub async fn finish(mut self) -> Result<(Vote, SnapshotMeta, SnapshotDir), ImportError> {
        let staging = self.take()?;
        blocking(move || staging.finish()).await?
    }

    fn take(&mut self) -> Result<Staging, ImportError> {
        self.staging
            .take()
            .ok_or(ImportError::Unexpected("a chunk after a failure"))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, io::Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}

/// The file that is being received.
struct Receiving {
    file: File,
    left_bytes: u64,
    whole: crc32fast::Hasher,
}

struct Staging {
    dir: PathBuf,
    cluster_id: [u8; 16],
    vote: Vote,
    meta: SnapshotMeta,
    files_left: u64,
    bytes_left: u64,
    receiving: Option<Receiving>,
    ended: bool,
    /// The folder is somebody else's to remove now.
    kept: bool,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = files::remove_dir_if_there(&self.dir) {
            tracing::warn!(%error, "a partial snapshot is left for the next start to remove");
        }
    }
}

impl Staging {
    fn new(
        data_dir: &Path,
        cluster_id: [u8; 16],
        header: &SnapshotHeader,
    ) -> Result<Self, ImportError> {
        codec::check_format("snapshot", header.format)?;
        if header.cluster_id != cluster_id.as_slice() {
            return Err(ImportError::OtherCluster);
        }
        if header.file_count > SNAPSHOT_FILES_MAX {
            return Err(ImportError::Size("too many files"));
        }
        let vote = header.vote.as_ref().ok_or(CodecError::Missing {
            what: "vote of a snapshot",
        })?;
        let meta = codec::snapshot_meta_from_proto(header)?;
        let dir = data_dir.join(INCOMING_DIR).join(next_folder().to_string());
        files::remove_dir_if_there(&dir)?;
        files::create_private_dir(&dir)?;
        Ok(Self {
            dir,
            cluster_id,
            vote: codec::vote_from_proto(vote),
            meta,
            files_left: header.file_count,
            bytes_left: header.total_bytes,
            receiving: None,
            ended: false,
            kept: false,
        })
    }

    fn accept(&mut self, chunk: SnapshotChunk) -> Result<(), ImportError> {
        if self.ended {
            return Err(ImportError::Unexpected("more after the end"));
        }
        match chunk.part {
            Some(Part::File(file)) => self.begin_file(&file),
            Some(Part::Data(data)) => self.write(&data),
            Some(Part::FileEnd(checksum)) => self.end_file(checksum),
            Some(Part::End(_)) => self.end(),
            Some(Part::Header(_)) => Err(ImportError::Unexpected("a second header")),
            None => Err(ImportError::Unexpected("an empty chunk")),
        }
    }

    fn begin_file(&mut self, file: &SnapshotFile) -> Result<(), ImportError> {
        if self.receiving.is_some() {
            return Err(ImportError::Unexpected("a file inside a file"));
        }
        if !is_snapshot_file(&file.name) {
            return Err(ImportError::FileName);
        }
        self.files_left = self
            .files_left
            .checked_sub(1)
            .ok_or(ImportError::Size("more files than announced"))?;
        self.bytes_left = self
            .bytes_left
            .checked_sub(file.size_bytes)
            .ok_or(ImportError::Size("more bytes than announced"))?;
        self.receiving = Some(Receiving {
            // A second file of the same name fails here.
            file: files::create_private_file(&self.dir.join(&file.name))?,
            left_bytes: file.size_bytes,
            whole: crc32fast::Hasher::new(),
        });
        Ok(())
    }

    fn write(&mut self, data: &SnapshotData) -> Result<(), ImportError> {
        let Some(receiving) = &mut self.receiving else {
            return Err(ImportError::Unexpected("data outside of a file"));
        };
        if data.bytes.is_empty() || data.bytes.len() > SNAPSHOT_CHUNK_BYTES {
            return Err(ImportError::Size("an empty or oversized chunk"));
        }
        if crc32fast::hash(&data.bytes) != data.crc32 {
            return Err(ImportError::Checksum);
        }
        receiving.left_bytes = receiving
            .left_bytes
            .checked_sub(data.bytes.len() as u64)
            .ok_or(ImportError::Size("a file is longer than announced"))?;
        receiving.whole.update(&data.bytes);
        receiving.file.write_all(&data.bytes)?;
        Ok(())
    }

    fn end_file(&mut self, checksum: u32) -> Result<(), ImportError> {
        let Some(receiving) = self.receiving.take() else {
            return Err(ImportError::Unexpected(
                "the end of a file outside of a file",
            ));
        };
        if receiving.left_bytes != 0 {
            return Err(ImportError::Size("a file is shorter than announced"));
        }
        if receiving.whole.finalize() != checksum {
            return Err(ImportError::Checksum);
        }
        receiving.file.sync_all()?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), ImportError> {
        if self.receiving.is_some() {
            return Err(ImportError::Unexpected("the end inside a file"));
        }
        if self.files_left != 0 || self.bytes_left != 0 {
            return Err(ImportError::Size("less than announced"));
        }
        self.ended = true;
        Ok(())
    }

    fn finish(mut self) -> Result<(Vote, SnapshotMeta, SnapshotDir), ImportError> {
        if !self.ended {
            return Err(ImportError::Size("it was cut off"));
        }
        files::sync_dir(&self.dir)?;
        let meta = read_meta(&self.dir, &self.cluster_id)?;
        if meta != self.meta {
            return Err(StateError::SnapshotMismatch.into());
        }
        let snapshot = SnapshotDir::received(self.dir.clone(), meta);
        self.kept = true;
        Ok((self.vote, self.meta.clone(), snapshot))
    }
}
