//! The bytes of a backup: see `backup.proto`. Written frame by frame, and read from pieces of
//! any size; at most one frame is held. Reading trusts nothing: every length has a bound, every
//! byte is under a checksum, records must come in order, and only the end makes a file whole.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tenure_proto::internal::{BackupEnd, BackupHeader, BackupRecord, BackupRecords};
use thiserror::Error;

use crate::{
    codec::{CodecError, decode},
    limits::{BACKUP_FORMAT, BACKUP_FRAME_BYTES_MAX},
};

/// A file begins with this.
const MAGIC: &[u8; 8] = b"TENUREBK";
/// Magic and version.
const PREAMBLE_BYTES: usize = MAGIC.len() + 4;
/// Kind, length, checksum.
const FRAME_HEADER_BYTES: usize = 1 + 4 + 4;
/// The records of a backup have keys of this tag: what lies above the seam.
pub const RECORDS_TAG: u8 = 2;

const KIND_HEADER: u8 = 1;
const KIND_RECORDS: u8 = 2;
const KIND_END: u8 = 3;

/// Why a file was refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// It doesn't begin like one.
    #[error("this is not a snapshot of Tenure")]
    NotOne,
    /// Written by a newer version.
    #[error(
        "the snapshot has format {found}, this build reads up to {BACKUP_FORMAT}: use a newer one"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It ends before its end.
    #[error("the snapshot is not whole: it was cut off")]
    CutOff,
    /// Bytes that were changed.
    #[error("the snapshot is damaged: a checksum does not match")]
    Checksum,
    /// Frames or records that can't be.
    #[error("the snapshot is damaged: {0}")]
    Malformed(&'static str),
}

impl From<CodecError> for FormatError {
    fn from(_: CodecError) -> Self {
        Self::Malformed("a part of it can't be decoded")
    }
}

/// Writes a file, frame by frame.
pub(super) struct Encoder {
    digest: Context,
    records: u64,
}

impl Encoder {
    /// Begins a file: its first bytes.
    pub fn begin(header: &BackupHeader) -> (Self, Bytes) {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(BACKUP_FORMAT);
        put_frame(&mut bytes, KIND_HEADER, header);
        let mut encoder = Self {
            digest: Context::new(&SHA256),
            records: 0,
        };
        encoder.digest.update(&bytes);
        (encoder, bytes.into())
    }

    /// The frame of some records.
    pub fn records(&mut self, records: Vec<BackupRecord>) -> Bytes {
        self.records += records.len() as u64;
        let mut bytes = Vec::new();
        put_frame(&mut bytes, KIND_RECORDS, &BackupRecords { records });
        self.digest.update(&bytes);
        bytes.into()
    }

    /// The last frame.
    pub fn end(self) -> Bytes {
        let end = BackupEnd {
            records: self.records,
            sha256: Bytes::copy_from_slice(self.digest.finish().as_ref()),
        };
        let mut bytes = Vec::new();
        put_frame(&mut bytes, KIND_END, &end);
        bytes.into()
    }
}

fn put_frame(bytes: &mut Vec<u8>, kind: u8, message: &impl Message) {
    let payload = message.encode_to_vec();
    // Far below 4 GiB: at most one record lies above `BACKUP_FRAME_BYTES`.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.reserve(FRAME_HEADER_BYTES + payload.len());
    bytes.put_u8(kind);
    bytes.put_u32(length);
    bytes.put_u32(checksum(kind, length, &payload));
    bytes.put_slice(&payload);
}

fn checksum(kind: u8, length: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(&length.to_be_bytes());
    crc.update(payload);
    crc.finalize()
}

/// What a file consists of.
pub enum Part {
    /// What it is; first, once.
    Header(BackupHeader),
    /// Records, in order of their keys over the whole file.
    Records(Vec<BackupRecord>),
    /// It is whole.
    End(Summary),
}

/// What a whole file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The cluster that it was made of.
    pub cluster_id: Bytes,
    /// Revision of the state in it.
    pub revision: u64,
    /// Cluster time of the state in it, milliseconds since the epoch.
    pub time_ms: u64,
    /// Version of the program that made it.
    pub version: String,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 of all before its last frame.
    pub sha256: [u8; 32],
}

/// Reads a file from pieces of any size.
pub struct Decoder {
    buffer: BytesMut,
    digest: Context,
    begun: bool,
    header: Option<BackupHeader>,
    last_key: Bytes,
    records: u64,
    bytes: u64,
    ended: Option<Summary>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            digest: Context::new(&SHA256),
            begun: false,
            header: None,
            last_key: Bytes::new(),
            records: 0,
            bytes: 0,
            ended: None,
        }
    }
}

impl Decoder {
    /// Adds the next bytes. Take out what they complete by [`Self::part`] before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next part that is complete.
    ///
    /// # Errors
    /// See [`FormatError`]; an error is final.
    pub fn part(&mut self) -> Result<Option<Part>, FormatError> {
        if self.ended.is_some() && !self.buffer.is_empty() {
            return Err(FormatError::Malformed("more comes after its end"));
        }
        if !self.begun && !self.preamble()? {
            return Ok(None);
        }
        let Some((head, rest)) = self.buffer.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > BACKUP_FRAME_BYTES_MAX {
            return Err(FormatError::Malformed("a frame of it is too large"));
        }
        let Some(payload) = rest.get(..size) else {
            return Ok(None);
        };
        if checksum(kind, length, payload) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(FormatError::Checksum);
        }
        let mut frame = self.buffer.split_to(FRAME_HEADER_BYTES + size).freeze();
        let whole = frame.clone();
        frame.advance(FRAME_HEADER_BYTES);
        let part = match kind {
            KIND_HEADER => self.take_header(frame)?,
            KIND_RECORDS => self.take_records(frame)?,
            KIND_END => return self.take_end(frame).map(Some),
            _ => return Err(FormatError::Malformed("a frame of an unknown kind")),
        };
        self.digest.update(&whole);
        Ok(Some(part))
    }

    /// After the last byte: what the file is.
    ///
    /// # Errors
    /// It isn't whole.
    pub fn finish(self) -> Result<Summary, FormatError> {
        match self.ended {
            Some(summary) if self.buffer.is_empty() => Ok(summary),
            Some(_) => Err(FormatError::Malformed("more comes after its end")),
            None => Err(FormatError::CutOff),
        }
    }

    fn preamble(&mut self) -> Result<bool, FormatError> {
        let seen = self.buffer.len().min(MAGIC.len());
        if !self.buffer.starts_with(&MAGIC[..seen]) {
            return Err(FormatError::NotOne);
        }
        if self.buffer.len() < PREAMBLE_BYTES {
            return Ok(false);
        }
        let preamble = self.buffer.split_to(PREAMBLE_BYTES);
        self.digest.update(&preamble);
        let mut version = &preamble[MAGIC.len()..];
        match version.get_u32() {
            BACKUP_FORMAT => {}
            0 => return Err(FormatError::NotOne),
            found => return Err(FormatError::Newer { found }),
        }
        self.begun = true;
        Ok(true)
    }

    fn take_header(&mut self, payload: Bytes) -> Result<Part, FormatError> {
        if self.header.is_some() {
            return Err(FormatError::Malformed("it has two headers"));
        }
        let header: BackupHeader = decode("header of a backup", payload)?;
        // Revisions go on from it: a forged one must leave room for all there will ever be.
        if header.revision > u64::MAX >> 1 {
            return Err(FormatError::Malformed("its revision can't be"));
        }
        self.header = Some(header.clone());
        Ok(Part::Header(header))
    }

    fn take_records(&mut self, payload: Bytes) -> Result<Part, FormatError> {
        let header = self.header.as_ref();
        let header = header.ok_or(FormatError::Malformed("it has no header"))?;
        let BackupRecords { records } = decode("records of a backup", payload)?;
        for record in &records {
            let in_order = self.last_key < record.key;
            if !in_order || record.key.first() != Some(&RECORDS_TAG) {
                return Err(FormatError::Malformed("its records are not in order"));
            }
            let revisions = record.create_revision..=header.revision;
            if !revisions.contains(&record.mod_revision) {
                return Err(FormatError::Malformed("a record of it has no revision"));
            }
            self.last_key = record.key.clone();
        }
        self.records += records.len() as u64;
        Ok(Part::Records(records))
    }

    fn take_end(&mut self, payload: Bytes) -> Result<Part, FormatError> {
        let header = self.header.clone();
        let header = header.ok_or(FormatError::Malformed("it has no header"))?;
        let end: BackupEnd = decode("end of a backup", payload)?;
        let digest = self.digest.clone().finish();
        if end.sha256.as_ref() != digest.as_ref() || end.records != self.records {
            return Err(FormatError::Checksum);
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        let summary = Summary {
            cluster_id: header.cluster_id,
            revision: header.revision,
            time_ms: header.time_ms,
            version: header.version,
            records: self.records,
            bytes: self.bytes,
            sha256,
        };
        self.ended = Some(summary.clone());
        Ok(Part::End(summary))
    }
}

/// Whether a key belongs into a backup.
pub(crate) fn crosses(key: &[u8]) -> bool {
    key.first() == Some(&RECORDS_TAG)
}
