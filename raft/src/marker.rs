//! The durable marker: a small file beside the log that says how long the log was, and for
//! whom this node last voted, when both were last fsynced.
//!
//! RocksDB cuts a damaged write-ahead log silently at the first record that it can't read.
//! A voter that lost entries it had acknowledged, or a vote that it had given, breaks the
//! cluster's promises. So the marker is written after each fsync of the log and before
//! anybody is told; at open the log is compared with it, and a log that is behind is
//! refused. **Invariant:** the marker never claims more than the log holds.
//!
//! The file has two slots, written in turn and each in a sector of its own: a torn write
//! leaves the other slot, which is older but true.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{
    files,
    types::{LogId, Vote},
};

/// Bytes from one slot to the other: no sector or page is shared.
const SLOT_STRIDE_BYTES: u64 = 4096;
const SLOT_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"TNMK";
const MARKER_FORMAT: u32 = 1;
const HAS_LAST: u8 = 1;
const HAS_VOTE: u8 = 2;
const VOTE_COMMITTED: u8 = 4;

/// What the marker says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Last entry (or the purge point beyond it) that was fsynced.
    pub last: Option<LogId>,
    /// The vote that was fsynced.
    pub vote: Option<Vote>,
}

/// The open marker file.
pub struct Marker {
    file: File,
    sequence: u64,
    mark: Mark,
}

impl Marker {
    /// Creates the file, preallocated and durable, saying "nothing yet".
    pub fn create(path: &Path) -> io::Result<Self> {
        // A crash in the middle of this leaves a file without a valid slot under the staged
        // name only.
        let staged = path.with_extension("new");
        files::remove_file_if_there(&staged)?;
        let file = files::create_private_file(&staged)?;
        file.write_all_at(&vec![0; 2 * SLOT_STRIDE_BYTES as usize], 0)?;
        file.write_all_at(&encode(1, &Mark::default()), SLOT_STRIDE_BYTES)?;
        file.sync_all()?;
        std::fs::rename(&staged, path)?;
        files::sync_parent(path)?;
        Ok(Self {
            file,
            sequence: 1,
            mark: Mark::default(),
        })
    }

    /// Opens the file and takes the newer of its valid slots. None valid is an error: no
    /// crash of ours leaves that.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut newest: Option<(u64, Mark)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            file.read_exact_at(&mut bytes, slot * SLOT_STRIDE_BYTES)?;
            if let Some(found) = decode(&bytes)?
                && newest.is_none_or(|newest| found.0 > newest.0)
            {
                newest = Some(found);
            }
        }
        let Some((sequence, mark)) = newest else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the marker of the log is damaged in both places",
            ));
        };
        Ok(Self {
            file,
            sequence,
            mark,
        })
    }

    /// What it says.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Says something else; durable when it returns. Saying the same costs nothing.
    pub fn set(&mut self, mark: Mark) -> io::Result<()> {
        if mark == self.mark {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        self.file
            .write_all_at(&encode(sequence, &mark), (sequence % 2) * SLOT_STRIDE_BYTES)?;
        fail::fail_point!("marker::before_sync");
        // The file was preallocated: its size and blocks don't change, so the data alone
        // has to reach the disk.
        self.file.sync_data()?;
        self.sequence = sequence;
        self.mark = mark;
        Ok(())
    }
}

fn encode(sequence: u64, mark: &Mark) -> [u8; SLOT_BYTES] {
    let mut flags = 0;
    let (mut index, mut term, mut vote_term, mut vote_node) = (0, 0, 0, 0);
    if let Some(last) = &mark.last {
        flags |= HAS_LAST;
        (index, term) = (last.index(), last.committed_leader_id().term);
    }
    if let Some(vote) = &mark.vote {
        flags |= HAS_VOTE | if vote.committed { VOTE_COMMITTED } else { 0 };
        (vote_term, vote_node) = (vote.leader_id.term, vote.leader_id.voted_for);
    }
    let mut bytes = [0; SLOT_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&MARKER_FORMAT.to_be_bytes());
    for (place, number) in [sequence, index, term, vote_term, vote_node]
        .into_iter()
        .enumerate()
    {
        let start = 8 + place * 8;
        bytes[start..start + 8].copy_from_slice(&number.to_be_bytes());
    }
    bytes[48] = flags;
    let checksum = crc32fast::hash(&bytes[..SLOT_BYTES - 4]);
    bytes[SLOT_BYTES - 4..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The content of a slot; none if it was never written or is torn. A whole slot of a newer
/// format is an error, not a torn one.
fn decode(bytes: &[u8; SLOT_BYTES]) -> io::Result<Option<(u64, Mark)>> {
    let number = |at: usize| {
        let mut part = [0; 8];
        part.copy_from_slice(&bytes[at..at + 8]);
        u64::from_be_bytes(part)
    };
    let (body, checksum) = bytes.split_at(SLOT_BYTES - 4);
    if crc32fast::hash(body).to_be_bytes() != checksum || bytes[..4] != MAGIC {
        return Ok(None);
    }
    let format = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if format != MARKER_FORMAT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the marker of the log has format {format}, this build reads {MARKER_FORMAT}: upgrade this node"
            ),
        ));
    }
    let flags = bytes[48];
    let last = (flags & HAS_LAST != 0).then(|| LogId::new(number(24).into(), number(16)));
    let vote = (flags & HAS_VOTE != 0).then(|| match flags & VOTE_COMMITTED != 0 {
        true => Vote::new_committed(number(32), number(40)),
        false => Vote::new(number(32), number(40)),
    });
    Ok(Some((number(8), Mark { last, vote })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark {
            last: Some(LogId::new(3.into(), index)),
            vote: Some(Vote::new_committed(3, 7)),
        }
    }

    #[test]
    fn says_what_was_last_set() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marker");
        let mut marker = Marker::create(&path).unwrap();
        assert_eq!(Marker::open(&path).unwrap().mark(), Mark::default());
        for index in 1..6 {
            marker.set(mark(index)).unwrap();
            assert_eq!(Marker::open(&path).unwrap().mark(), mark(index));
        }
        // Lowered, as before a truncation.
        marker.set(Mark::default()).unwrap();
        assert_eq!(Marker::open(&path).unwrap().mark(), Mark::default());
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            2 * SLOT_STRIDE_BYTES
        );
    }

    #[test]
    fn a_torn_slot_leaves_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marker");
        let mut marker = Marker::create(&path).unwrap();
        marker.set(mark(10)).unwrap();
        marker.set(mark(11)).unwrap();
        let newer_slot = (marker.sequence % 2) * SLOT_STRIDE_BYTES;
        for torn_at in 0..SLOT_BYTES {
            let whole = encode(marker.sequence, &mark(11));
            let mut torn = whole;
            torn[torn_at] ^= 0x40;
            marker.file.write_all_at(&torn, newer_slot).unwrap();
            assert_eq!(
                Marker::open(&path).unwrap().mark(),
                mark(10),
                "byte {torn_at}"
            );
            marker.file.write_all_at(&whole, newer_slot).unwrap();
        }
        assert_eq!(Marker::open(&path).unwrap().mark(), mark(11));
        // The next write goes over the older slot, never over the newest.
        let mut reopened = Marker::open(&path).unwrap();
        reopened.set(mark(12)).unwrap();
        assert_ne!((reopened.sequence % 2) * SLOT_STRIDE_BYTES, newer_slot);
    }

    #[test]
    fn damage_in_both_slots_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marker");
        let marker = Marker::create(&path).unwrap();
        for slot in 0..2 {
            marker
                .file
                .write_all_at(&[0xff; SLOT_BYTES], slot * SLOT_STRIDE_BYTES)
                .unwrap();
        }
        assert!(Marker::open(&path).is_err());
    }
}
