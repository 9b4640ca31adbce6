//! Views: the state pinned at one applied index. A view never changes, and it never
//! outlives its generation: after a snapshot was installed every read of it fails.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions, Snapshot};
use thiserror::Error;

use crate::{
    codec::CodecError,
    limits::BACKUP_READ_AHEAD_BYTES,
    state::{AppliedInfo, AppliedRecord, Generation, read_applied},
    txn::Record,
    types::Revision,
};

/// Format of a record's header.
pub const RECORD_FORMAT: u8 = 1;
/// Bytes before the payload of a record: format, create revision, mod revision.
pub const RECORD_HEADER_BYTES: usize = 1 + 8 + 8;
/// Bytes of keys and payloads that [`View::scan`] returns at most, the last row aside.
pub const SCAN_BYTES_MAX: usize = 16 << 20;

/// Why a view can't be read.
#[derive(Debug, Error)]
pub enum ViewError {
    /// A snapshot was installed; the view's state is gone. Take a new view.
    #[error("the state was replaced by a snapshot")]
    GenerationEnded,
    /// A record that this build can't read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// RocksDB, or the disk under it.
    #[error("state: {0}")]
    Rocks(#[from] rocksdb::Error),
}

/// The state at one applied index. Cheap to clone; reads may touch the disk.
#[derive(Clone)]
pub struct View(Arc<Pinned>);

/// Field order matters: the snapshot is released before the generation it reads.
struct Pinned {
    snapshot: Snapshot<'static>,
    applied: AppliedRecord,
    generation: Arc<Generation>,
}

impl View {
    /// Pins a generation as it is now, and reads in the pinned state itself how far it is.
    #[allow(unsafe_code)]
    pub(crate) fn pin(generation: Arc<Generation>) -> Result<Self, ViewError> {
        let db: *const DB = generation.db()?;
        // SAFETY: the database lives inside the allocation of `generation`, which doesn't
        // move while an `Arc` to it exists, and is taken out of it only by the drop of the
        // last `Arc`. `Pinned` holds such an `Arc` and, by its field order, drops the
        // snapshot (which borrows the database) before it. The 'static reference is not
        // visible outside of `Pinned`: what reads hand out is copied.
        let db: &'static DB = unsafe { &*db };
        let snapshot = db.snapshot();
        let applied = read_applied(|key| snapshot.get(key))?;
        Ok(Self(Arc::new(Pinned {
            snapshot,
            applied,
            generation,
        })))
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.0.generation
    }

    pub(crate) fn applied_record(&self) -> &AppliedRecord {
        &self.0.applied
    }

    pub(crate) fn applied(&self) -> AppliedInfo {
        self.0.applied.info()
    }

    /// Revision of the last transaction in it.
    pub fn revision(&self) -> Revision {
        self.0.applied.revision
    }

    /// Cluster time of the last entry in it, milliseconds since the epoch.
    pub fn time_ms(&self) -> u64 {
        self.0.applied.time_ms
    }

    /// How many restores it has seen: the restore epoch.
    pub fn restores(&self) -> u64 {
        self.0.applied.restores
    }

    /// Index of the last log entry in it.
    pub fn applied_index(&self) -> u64 {
        self.applied().index
    }

    /// Whether a snapshot was installed since, so that reads fail.
    pub fn ended(&self) -> bool {
        self.0.generation.ended()
    }

    /// The record of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>, ViewError> {
        self.check()?;
        self.count(1);
        match self.0.snapshot.get_pinned(key)? {
            Some(value) => Ok(Some(decode_record(&value)?)),
            None => Ok(None),
        }
    }

    /// The first `limit` records from `start` (inclusive) to `end` (exclusive), in order of
    /// their keys, or fewer if they are large: see [`SCAN_BYTES_MAX`].
    pub fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Record)>, ViewError> {
        Ok(self.scan_bounded(start, end, limit, SCAN_BYTES_MAX)?.rows)
    }

    /// Like [`Self::scan`], and stops after the row with which keys and payloads reach
    /// `bytes_max`; it tells whether the range has more.
    pub fn scan_bounded(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        bytes_max: usize,
    ) -> Result<Scan, ViewError> {
        self.check()?;
        let mut scan = Scan::default();
        if start >= end {
            return Ok(scan);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end);
        let mut rows = self.0.snapshot.raw_iterator_opt(options);
        rows.seek(start);
        let mut bytes = 0;
        while let Some((key, value)) = rows.item() {
            if scan.rows.len() >= limit || bytes >= bytes_max {
                scan.more = true;
                break;
            }
            let record = decode_record(value)?;
            bytes += key.len() + record.value.len();
            scan.rows.push((Bytes::copy_from_slice(key), record));
            rows.next();
        }
        rows.status()?;
        self.count(scan.rows.len());
        Ok(scan)
    }

    /// Hands every record from `start` (inclusive) to `end` (exclusive) to `take`, in order of
    /// their keys, past the cache: for reading a whole state once. Blocks.
    pub(crate) fn each<E: From<ViewError>>(
        &self,
        start: &[u8],
        end: &[u8],
        mut take: impl FnMut(Bytes, Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut options = past_cache();
        options.set_iterate_upper_bound(end);
        options.set_readahead_size(BACKUP_READ_AHEAD_BYTES);
        let mut rows = self.0.snapshot.raw_iterator_opt(options);
        rows.seek(start);
        while let Some((key, value)) = rows.item() {
            self.check()?;
            self.count(1);
            let record = decode_record(value).map_err(ViewError::from)?;
            take(Bytes::copy_from_slice(key), record)?;
            rows.next();
        }
        rows.status().map_err(ViewError::from)?;
        Ok(self.check()?)
    }

    /// Like [`Self::get`], for what is read once.
    pub(crate) fn get_past_cache(&self, key: &[u8]) -> Result<Option<Record>, ViewError> {
        self.check()?;
        self.count(1);
        match self.0.snapshot.get_pinned_opt(key, past_cache())? {
            Some(value) => Ok(Some(decode_record(&value)?)),
            None => Ok(None),
        }
    }

    /// The stored bytes of a key that is no record.
    pub(crate) fn get_raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        self.check()?;
        Ok(self.0.snapshot.get(key)?)
    }

    fn count(&self, rows: usize) {
        self.0.generation.rows_read().add(rows);
    }

    fn check(&self) -> Result<(), ViewError> {
        match self.ended() {
            true => Err(ViewError::GenerationEnded),
            false => Ok(()),
        }
    }
}

fn past_cache() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options
}

/// A part of a range.
#[derive(Default)]
pub struct Scan {
    /// Keys and records, in order.
    pub rows: Vec<(Bytes, Record)>,
    /// Whether the range holds more after them.
    pub more: bool,
}

/// A record as it is stored, into `buffer` (which is cleared).
pub(crate) fn encode_record(
    buffer: &mut Vec<u8>,
    create_revision: Revision,
    mod_revision: Revision,
    payload: &[u8],
) {
    buffer.clear();
    buffer.reserve(RECORD_HEADER_BYTES + payload.len());
    buffer.push(RECORD_FORMAT);
    buffer.extend_from_slice(&create_revision.to_be_bytes());
    buffer.extend_from_slice(&mod_revision.to_be_bytes());
    buffer.extend_from_slice(payload);
}

/// A record from its stored form.
pub(crate) fn decode_record(stored: &[u8]) -> Result<Record, CodecError> {
    let undecodable = || CodecError::Undecodable {
        what: "record",
        reason: format!("{} bytes", stored.len()),
    };
    let (header, payload) = stored
        .split_at_checked(RECORD_HEADER_BYTES)
        .ok_or_else(undecodable)?;
    let (format, revisions) = header.split_first().ok_or_else(undecodable)?;
    match *format {
        RECORD_FORMAT => {}
        0 => return Err(undecodable()),
        newer => {
            return Err(CodecError::NewerFormat {
                what: "record",
                found: u32::from(newer),
            });
        }
    }
    let revision = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
    let (create, modify) = revisions.split_at(8);
    Ok(Record {
        value: Bytes::copy_from_slice(payload),
        create_revision: revision(create).map_err(|_| undecodable())?,
        mod_revision: revision(modify).map_err(|_| undecodable())?,
    })
}
