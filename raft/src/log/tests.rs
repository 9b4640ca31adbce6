//! Tests of the log store: what survives a reopen, and what is refused.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::{
    EntryPayload,
    storage::{RaftLogReader, RaftLogStorageExt},
};
use tempfile::TempDir;

use super::{
    open::{LOG_DIR, MARKER_FILE},
    *,
};
use crate::{
    codec::CodecError,
    files,
    limits::FORMAT,
    limits::{APPEND_BYTES_MAX, LOG_CACHE_BYTES_MAX},
    marker::{Mark, Marker},
    types::Command,
};

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Command(Bytes::from(vec![index as u8; bytes]))),
    }
}

fn open(dir: &Path) -> LogStore {
    LogStore::open(dir).unwrap()
}

async fn append(log: &mut LogStore, term: u64, indexes: std::ops::Range<u64>) {
    let entries: Vec<_> = indexes.map(|index| entry(term, index, 100)).collect();
    log.blocking_append(entries).await.unwrap();
}

async fn all(log: &mut LogStore) -> Vec<(u64, u64)> {
    let entries = log
        .get_log_reader()
        .await
        .try_get_log_entries(..)
        .await
        .unwrap();
    entries
        .iter()
        .map(|e| (e.log_id.committed_leader_id().term, e.log_id.index()))
        .collect()
}

fn marker(dir: &Path) -> Mark {
    Marker::open(&dir.join(MARKER_FILE)).unwrap().mark()
}

fn copy_dir(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for name in files::names_in(from).unwrap() {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn write_ahead_log(dir: &Path) -> PathBuf {
    let log = dir.join(LOG_DIR);
    let name = files::names_in(&log)
        .unwrap()
        .into_iter()
        .rfind(|name| name.ends_with(".log"))
        .unwrap();
    log.join(name)
}

#[tokio::test]
async fn everything_survives_a_reopen() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1, 0..20).await;
    log.save_vote(&Vote::new_committed(3, 2)).await.unwrap();
    log.save_committed(Some(log_id(1, 12))).await.unwrap();
    log.truncate_after(Some(log_id(1, 14))).await.unwrap();
    append(&mut log, 3, 15..18).await;
    log.purge(log_id(1, 4)).await.unwrap();
    let expected: Vec<_> = (5..15)
        .map(|index| (1, index))
        .chain((15..18).map(|index| (3, index)))
        .collect();
    assert_eq!(all(&mut log).await, expected);
    log.close();

    let mut log = open(dir.path());
    assert_eq!(all(&mut log).await, expected);
    assert_eq!(log.last_index(), 17);
    assert!(log.bytes_since_purge() > 0);
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(1, 4)));
    assert_eq!(state.last_log_id, Some(log_id(3, 17)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 12)));
    let vote = log.get_log_reader().await.read_vote().await.unwrap();
    assert_eq!(vote, Some(Vote::new_committed(3, 2)));
}

#[tokio::test]
async fn the_marker_follows_what_is_durable() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    for index in 0..5 {
        append(&mut log, 1, index..index + 1).await;
        assert_eq!(marker(dir.path()).last, Some(log_id(1, index)));
    }
    log.save_vote(&Vote::new(2, 1)).await.unwrap();
    assert_eq!(marker(dir.path()).vote, Some(Vote::new(2, 1)));
    log.truncate_after(Some(log_id(1, 2))).await.unwrap();
    assert_eq!(marker(dir.path()).last, Some(log_id(1, 2)));
    log.purge(log_id(1, 1)).await.unwrap();
    assert_eq!(marker(dir.path()).last, Some(log_id(1, 2)));
    // A snapshot was installed: the purge point is the end of the log now.
    log.purge(log_id(2, 50)).await.unwrap();
    assert_eq!(marker(dir.path()).last, Some(log_id(2, 50)));
    append(&mut log, 2, 51..53).await;
    log.close();
    let mut log = open(dir.path());
    assert_eq!(all(&mut log).await, [(2, 51), (2, 52)]);
    log.truncate_after(Some(log_id(2, 50))).await.unwrap();
    log.close();
    assert_eq!(open(dir.path()).last_index(), 50);
}

#[tokio::test]
async fn a_log_that_lost_entries_is_refused() {
    let dir = TempDir::new().unwrap();
    let (log_dir, older) = (dir.path().join(LOG_DIR), dir.path().join("older"));
    let mut log = open(dir.path());
    append(&mut log, 1, 0..5).await;
    log.close();
    copy_dir(&log_dir, &older);
    let mut log = open(dir.path());
    append(&mut log, 1, 5..10).await;
    log.close();
    copy_dir(&older, &log_dir);
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::Shorter {
            marker: 9,
            found: Some(4)
        })
    ));
    // All of it is gone.
    fs::remove_dir_all(&log_dir).unwrap();
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::Shorter {
            marker: 9,
            found: None
        })
    ));
}

#[tokio::test]
async fn a_log_that_lost_its_vote_is_refused() {
    let dir = TempDir::new().unwrap();
    let (log_dir, older) = (dir.path().join(LOG_DIR), dir.path().join("older"));
    let mut log = open(dir.path());
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    log.close();
    copy_dir(&log_dir, &older);
    let mut log = open(dir.path());
    log.save_vote(&Vote::new(2, 3)).await.unwrap();
    log.close();
    copy_dir(&older, &log_dir);
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::VoteLost)
    ));
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_a_damaged_synced_part_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1, 0..10).await;
    log.close();
    let wal = write_ahead_log(dir.path());
    let synced = fs::read(&wal).unwrap();
    let log_dir = dir.path().join(LOG_DIR);
    let saved = dir.path().join("saved");
    copy_dir(&log_dir, &saved);

    // Bytes that were never fsynced, in any shape.
    for tail in [vec![0; 5000], vec![0xa5; 300], b"\x01".to_vec()] {
        copy_dir(&saved, &log_dir);
        let mut file = OpenOptions::new().append(true).open(&wal).unwrap();
        file.write_all(&tail).unwrap();
        drop(file);
        let mut log = open(dir.path());
        assert_eq!(all(&mut log).await.len(), 10);
        log.close();
    }
    // A flipped bit in what was fsynced: RocksDB cuts there without a word.
    copy_dir(&saved, &log_dir);
    let mut damaged = synced.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&wal, damaged).unwrap();
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::Shorter { marker: 9, .. })
    ));
}

#[tokio::test]
async fn a_missing_marker_and_a_newer_format_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1, 0..2).await;
    log.inner
        .db
        .put(keys::FORMAT, (FORMAT + 1).to_be_bytes())
        .unwrap();
    log.close();
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::Codec(CodecError::NewerFormat { .. }))
    ));
    fs::remove_file(dir.path().join(MARKER_FILE)).unwrap();
    assert!(matches!(
        LogStore::open(dir.path()),
        Err(LogError::MarkerMissing)
    ));
}

#[tokio::test]
async fn entries_behind_the_cache_are_read_from_disk_in_bounded_pieces() {
    const ENTRY_BYTES: usize = 1 << 20;
    let count = (2 * LOG_CACHE_BYTES_MAX / ENTRY_BYTES) as u64;
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    for index in 0..count {
        let entries = [entry(1, index, ENTRY_BYTES)];
        log.blocking_append(entries).await.unwrap();
    }
    let mut reader = log.get_log_reader().await;
    let from = log.inner.memory().recent_from();
    assert!(from > 0 && from < count);
    assert_eq!(
        reader.try_get_log_entries(0..count).await.unwrap().len(),
        count as usize
    );
    for start in [0, from - 1, from, count - 1] {
        let some = reader.limited_get_log_entries(start, count).await.unwrap();
        assert_eq!(some[0], entry(1, start, ENTRY_BYTES));
        assert!(some.len() * ENTRY_BYTES <= APPEND_BYTES_MAX);
    }
    let streamed: Vec<_> = reader.entries_stream(3..).await.collect().await;
    assert_eq!(streamed.len() as u64, count - 3);
    for (item, index) in streamed.into_iter().zip(3..) {
        assert_eq!(item.unwrap().log_id, log_id(1, index));
    }
}

#[tokio::test]
async fn holes_are_refused_and_reported() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1, 0..3).await;
    assert!(log.blocking_append([entry(1, 4, 1)]).await.is_err());
    log.close();
    let mut log = open(dir.path());
    log.inner.db.delete(keys::entry(1)).unwrap();
    let read = log.get_log_reader().await.try_get_log_entries(..).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_closed_log_answers_with_errors() {
    let dir = TempDir::new().unwrap();
    let mut log = open(dir.path());
    append(&mut log, 1, 0..1).await;
    log.clone().close();
    assert!(log.blocking_append([entry(1, 1, 1)]).await.is_err());
    assert!(log.save_vote(&Vote::new(1, 1)).await.is_err());
    assert_eq!(log.sync_pending_for(), Duration::ZERO);
}
