//! Tests of the file: what is written is read, and nothing else is.

use bytes::Bytes;
use proptest::prelude::*;
use tenure_proto::internal::{BackupHeader, BackupRecord};

use super::format::Encoder;
use super::*;
use crate::limits::BACKUP_FORMAT;

fn record(n: u64) -> BackupRecord {
    BackupRecord {
        key: [b"\x02k".as_slice(), &n.to_be_bytes()].concat().into(),
        value: vec![n as u8; (n * 7 % 40) as usize].into(),
        create_revision: n / 2,
        mod_revision: n,
    }
}

fn header() -> BackupHeader {
    BackupHeader {
        cluster_id: Bytes::from_static(&[7; 16]),
        revision: 900,
        time_ms: 1_700_000_000_000,
        version: "0.1.0".to_owned(),
    }
}

/// The frames of a file of so many records, some to each.
fn frames(count: u64, each: usize) -> Vec<Bytes> {
    let records: Vec<_> = (1..=count).map(record).collect();
    let (mut encoder, first) = Encoder::begin(&header());
    let mut frames = vec![first];
    frames.extend(
        records
            .chunks(each)
            .map(|some| encoder.records(some.to_vec())),
    );
    frames.push(encoder.end());
    frames
}

fn read(bytes: &[u8], cut: usize) -> Result<(Vec<BackupRecord>, Summary), FormatError> {
    let mut decoder = Decoder::default();
    let mut records = Vec::new();
    for piece in bytes.chunks(cut) {
        decoder.push(piece);
        while let Some(part) = decoder.part()? {
            if let Part::Records(some) = part {
                records.extend(some);
            }
        }
    }
    Ok((records, decoder.finish()?))
}

/// Released versions wrote exactly these bytes.
#[test]
fn the_bytes_are_frozen() {
    let (mut encoder, first) = Encoder::begin(&header());
    let records = encoder.records(vec![record(3)]);
    let file = [first, records, encoder.end()].concat();
    let hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, FROZEN);
}

const FROZEN: &str = "54454e555245424b000000010100000023e4ffdf290a10070707070707070707070707070707071084071880d095ffbc312205302e312e300200000029a21892940a270a0a026b0000000000000003121503030303030303030303030303030303030303030318012003030000002434a7572708011220ae325077fcce485fe4af4c2a1dac77bb4ec90aa0edd4ee1b5a8d8dcc7eafbf1a";

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        count in 0u64..60, each in 1usize..9, cut in 1usize..400,
    ) {
        let file = frames(count, each).concat();
        let (records, summary) = read(&file, cut).unwrap();
        prop_assert_eq!(records, (1..=count).map(record).collect::<Vec<_>>());
        prop_assert_eq!(summary.records, count);
        prop_assert_eq!(summary.bytes, file.len() as u64);
        prop_assert_eq!((summary.revision, summary.time_ms), (900, 1_700_000_000_000));
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let file = frames(9, 4).concat();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut bad = file.clone();
            bad[at] ^= 1 << bit;
            assert!(read(&bad, 50).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let frames = frames(9, 2);
    let file = frames.concat();
    for length in 0..file.len() {
        let refused = read(&file[..length], 50).unwrap_err();
        assert_eq!(refused, FormatError::CutOff, "{length} bytes");
    }
    assert!(read(&[file.as_slice(), b"x"].concat(), 50).is_err());
    assert!(read(&[file.as_slice(), &file].concat(), 50).is_err());
    // Each frame is sound by itself.
    for left_out in 0..frames.len() {
        let mut some = frames.clone();
        some.remove(left_out);
        assert!(
            read(&some.concat(), 50).is_err(),
            "without frame {left_out}"
        );
    }
    for twice in 0..frames.len() {
        let mut some = frames.clone();
        some.insert(twice, frames[twice].clone());
        assert!(read(&some.concat(), 50).is_err(), "frame {twice} twice");
    }
    let mut swapped = frames.clone();
    swapped.swap(1, 2);
    assert!(read(&swapped.concat(), 50).is_err());
}

#[test]
fn other_files_and_newer_ones_are_told_apart() {
    let file = frames(1, 1).concat();
    for other in [
        b"\x1f\x8b\x08 a gzip".as_slice(),
        b"TENURE",
        b"{}",
        b"TENUREBX",
    ] {
        let refused = read(other, 3).unwrap_err();
        let cut_off = file.starts_with(other);
        let wanted = if cut_off {
            FormatError::CutOff
        } else {
            FormatError::NotOne
        };
        assert_eq!(refused, wanted);
    }
    let mut newer = file.clone();
    newer[11] += 1;
    let found = BACKUP_FORMAT + 1;
    assert_eq!(read(&newer, 9).unwrap_err(), FormatError::Newer { found });
    let mut none = file;
    none[11] = 0;
    assert_eq!(read(&none, 9).unwrap_err(), FormatError::NotOne);
}

/// Sound frames with records that no state holds.
#[test]
fn records_out_of_order_or_out_of_place_are_refused() {
    let other = |key: &'static [u8]| BackupRecord {
        key: Bytes::from_static(key),
        ..record(5)
    };
    let later = |modified, created| BackupRecord {
        mod_revision: modified,
        create_revision: created,
        ..record(6)
    };
    for records in [
        vec![record(2), record(1)],
        vec![record(1), record(1)],
        vec![other(b"\x00applied")],
        vec![other(b"\x01n")],
        vec![other(b"\x03")],
        vec![other(b"")],
        vec![later(901, 1)],
        vec![later(5, 6)],
    ] {
        let (mut encoder, first) = Encoder::begin(&header());
        let frame = encoder.records(records);
        let refused = read(&[first, frame, encoder.end()].concat(), 64);
        assert!(matches!(refused, Err(FormatError::Malformed(_))));
    }
    // An announced length alone costs nothing and is refused.
    let (_, first) = Encoder::begin(&header());
    let huge = [first.as_ref(), &[2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]].concat();
    assert!(matches!(read(&huge, 99), Err(FormatError::Malformed(_))));
}
