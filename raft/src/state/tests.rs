//! Tests of the state: what apply writes and refuses, what views promise, and which state
//! a crash leaves.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::stream;
use openraft::{
    EntryPayload, RaftSnapshotBuilder,
    storage::{RaftStateMachine, Snapshot},
};
use prost::Message;
use tempfile::TempDir;
use tenure_proto::internal::{self, operation::Operation as Op};

use super::*;
use crate::{
    files,
    types::{Command, Entry, LogId},
};

mod swap;

const CLUSTER: [u8; 16] = [7; 16];

/// Notes what it was told.
#[derive(Default)]
struct Observed {
    batches: Mutex<Vec<(u64, Revision, u64, usize)>>,
    resets: AtomicU64,
    /// Set to check, during a reset, that nobody else can read.
    outside: Mutex<Option<State>>,
    outside_could_read: AtomicBool,
}

impl ApplyObserver for Observed {
    fn applied(&self, applied: AppliedBatch<'_>) {
        self.batches.lock().unwrap().push((
            applied.log_index,
            applied.revision,
            applied.time_ms,
            applied.changes.len(),
        ));
    }

    fn reset(&self, state: &State) {
        assert_eq!(
            state.view().unwrap().revision(),
            state.applied().revision,
            "the observer sees the new state"
        );
        if let Some(outside) = &*self.outside.lock().unwrap() {
            let could_read = outside.view().is_ok();
            self.outside_could_read.store(could_read, Ordering::Relaxed);
        }
        self.resets.fetch_add(1, Ordering::Relaxed);
    }
}

fn open(dir: &Path) -> (State, StateMachine, Arc<Observed>) {
    let observed = Arc::new(Observed::default());
    let state = State::open(dir, CLUSTER, Arc::clone(&observed) as Arc<_>).unwrap();
    let machine = StateMachine::new(state.clone());
    (state, machine, observed)
}

fn put(key: &[u8], value: &[u8], create_revision: Option<u64>) -> Op {
    Op::Put(internal::Put {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        create_revision,
    })
}

fn delete_range(start: &[u8], end: &[u8]) -> Op {
    Op::DeleteRange(internal::KeyRange {
        start: Bytes::copy_from_slice(start),
        end: Bytes::copy_from_slice(end),
    })
}

/// A command whose transactions start at `first_revision`.
fn command(time_ms: u64, first_revision: u64, transactions: Vec<Vec<Op>>) -> internal::Command {
    internal::Command {
        format: 1,
        time_ms,
        first_revision,
        transactions: transactions
            .into_iter()
            .map(|operations| internal::Transaction {
                operations: operations
                    .into_iter()
                    .map(|operation| internal::Operation {
                        operation: Some(operation),
                    })
                    .collect(),
            })
            .collect(),
        swap_in: None,
    }
}

fn normal(index: u64, command: &internal::Command) -> Entry {
    Entry {
        log_id: LogId::new(1.into(), index),
        payload: EntryPayload::Normal(Command(command.encode_to_vec().into())),
    }
}

async fn apply(machine: &mut StateMachine, entries: Vec<Entry>) -> io::Result<()> {
    let items = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(stream::iter(items)).await
}

/// Entry `index` puts one key, at revision `index`.
fn one_put(index: u64) -> Entry {
    let key = [b"\x02k".as_slice(), &index.to_be_bytes()].concat();
    let put = put(&key, &index.to_be_bytes(), None);
    normal(index, &command(1000 + index, index, vec![vec![put]]))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in files::names_in(from).unwrap() {
        let (from, to) = (from.join(&name), to.join(&name));
        match from.is_dir() {
            true => copy_tree(&from, &to),
            false => {
                fs::copy(from, to).unwrap();
            }
        }
    }
}

async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !met() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn transactions_write_records_with_their_revisions() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, observed) = open(dir.path());
    let first = command(
        500,
        1,
        vec![
            vec![put(b"\x02a", b"1", None), put(b"\x02b", b"2", None)],
            vec![put(b"\x02a", b"3", Some(1)), put(b"\x02c", b"4", None)],
        ],
    );
    // Its time is behind: cluster time stays.
    let second = command(
        400,
        3,
        vec![vec![
            delete_range(b"\x02a", b"\x02c"),
            put(b"\x02b", b"5", None),
            delete_range(b"\x02z", b"\x02y"),
        ]],
    );
    let blank = Entry {
        log_id: LogId::new(1.into(), 3),
        payload: EntryPayload::Blank,
    };
    let mut published = state.watch_applied();
    apply(&mut machine, vec![normal(1, &first)]).await.unwrap();
    let before = state.view().unwrap();
    let more = vec![normal(2, &second), blank];
    apply(&mut machine, more).await.unwrap();

    let record = |value: &'static [u8], create_revision, mod_revision| {
        Some(crate::txn::Record {
            value: Bytes::from_static(value),
            create_revision,
            mod_revision,
        })
    };
    assert_eq!(before.get(b"\x02a").unwrap(), record(b"3", 1, 2));
    assert_eq!(before.scan(b"\x02", b"\x03", 10).unwrap().len(), 3);
    assert_eq!((before.revision(), before.applied_index()), (2, 1));

    let after = state.view().unwrap();
    assert_eq!(after.get(b"\x02a").unwrap(), None);
    assert_eq!(after.get(b"\x02b").unwrap(), record(b"5", 3, 3));
    assert_eq!(after.get(b"\x02c").unwrap(), record(b"4", 2, 2));
    let info = AppliedInfo {
        index: 3,
        term: 1,
        revision: 3,
        time_ms: 500,
    };
    assert_eq!(state.applied(), info);
    assert_eq!(*published.borrow_and_update(), info);
    assert_eq!((after.revision(), after.time_ms()), (3, 500));
    assert_eq!(
        *observed.batches.lock().unwrap(),
        [(1, 2, 500, 4), (2, 3, 500, 3), (3, 3, 500, 0)]
    );
    state.probe().unwrap();
}

#[tokio::test]
async fn what_apply_can_not_understand_is_an_error_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, vec![one_put(1)]).await.unwrap();
    let mut newer = command(1, 2, vec![]);
    newer.format = 2;
    let none = internal::Command {
        transactions: vec![internal::Transaction {
            operations: vec![internal::Operation { operation: None }],
        }],
        ..command(1, 2, vec![])
    };
    let refused = [
        normal(2, &newer),
        normal(2, &none),
        normal(2, &command(1, 1, vec![vec![put(b"\x02a", b"", None)]])),
        normal(2, &command(1, 0, vec![vec![put(b"\x02a", b"", None)]])),
        normal(2, &command(1, 2, vec![vec![put(keys::APPLIED, b"", None)]])),
        normal(2, &command(1, 2, vec![vec![put(b"", b"", None)]])),
        normal(
            2,
            &command(1, 2, vec![vec![delete_range(b"\x00", b"\x03")]]),
        ),
        Entry {
            log_id: LogId::new(1.into(), 2),
            payload: EntryPayload::Normal(Command(Bytes::from_static(b"\xff\xff"))),
        },
    ];
    for entry in refused {
        let error = apply(&mut machine, vec![entry]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(state.applied().index, 1);
        assert_eq!(state.view().unwrap().revision(), 1);
    }
}

/// An entry that raft refused leaves a gap in the revisions; the next one must apply.
#[tokio::test]
async fn a_gap_in_the_revisions_is_no_harm() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, vec![one_put(1)]).await.unwrap();
    let later = command(1, 5, vec![vec![put(b"\x02a", b"", None)]]);
    apply(&mut machine, vec![normal(2, &later)]).await.unwrap();
    let record = state.view().unwrap().get(b"\x02a").unwrap().unwrap();
    assert_eq!(
        (state.view().unwrap().revision(), record.mod_revision),
        (5, 5)
    );
}

/// What was flushed is not applied again: without this, revoked tokens lived again after a
/// restart.
#[tokio::test]
async fn an_open_shows_the_observer_what_was_flushed() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, vec![one_put(1)]).await.unwrap();
    state.flush().unwrap();
    drop((machine, state));
    let (state, _, observed) = open(dir.path());
    assert_eq!(observed.resets.load(Ordering::Relaxed), 1);
    assert_eq!(state.applied().revision, 1);
}

#[tokio::test]
async fn a_view_stays_as_it_was_while_writes_go_on() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, (1..=50).map(one_put).collect())
        .await
        .unwrap();
    let view = state.view().unwrap();
    for index in 51..=200 {
        apply(&mut machine, vec![one_put(index)]).await.unwrap();
        if index == 100 {
            state.flush().unwrap();
        }
    }
    assert_eq!(view.scan(b"\x02", b"\x03", 1000).unwrap().len(), 50);
    assert_eq!(view.revision(), 50);
    let now = state.view().unwrap();
    assert_eq!(now.scan(b"\x02", b"\x03", 1000).unwrap().len(), 200);
    let part = now.scan_bounded(b"\x02", b"\x03", 7, 1 << 20).unwrap();
    assert_eq!((part.rows.len(), part.more), (7, true));
    // Each row has 10 bytes of key and 8 of value.
    let part = now.scan_bounded(b"\x02", b"\x03", 100, 40).unwrap();
    assert_eq!((part.rows.len(), part.more), (3, true));
    drop((state, machine, now));
    assert_eq!(view.scan(b"\x02", b"\x03", 1000).unwrap().len(), 50);
}

#[tokio::test]
async fn a_crash_leaves_the_last_flush_and_the_log_gives_the_rest() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, (1..=10).map(one_put).collect())
        .await
        .unwrap();
    state.flush().unwrap();
    apply(&mut machine, (11..=20).map(one_put).collect())
        .await
        .unwrap();
    let whole = state.view().unwrap().scan(b"\x00", b"\x03", 99);
    assert!(whole.is_err(), "the state's own keys aren't records");
    let whole = state.view().unwrap().scan(b"\x02", b"\x03", 99).unwrap();

    // What is on disk now is what a crash leaves.
    let crashed = TempDir::new().unwrap();
    copy_tree(dir.path(), crashed.path());
    let (state, mut machine, _) = open(crashed.path());
    assert_eq!(state.applied().index, 10);
    assert_eq!(state.applied().revision, 10);
    assert_eq!(
        machine.applied_state().await.unwrap().0,
        Some(LogId::new(1.into(), 10))
    );
    apply(&mut machine, (11..=20).map(one_put).collect())
        .await
        .unwrap();
    assert_eq!(
        state.view().unwrap().scan(b"\x02", b"\x03", 99).unwrap(),
        whole
    );
}

#[tokio::test]
async fn an_install_swaps_the_generation_and_ends_its_views() {
    let (leader_dir, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_, mut leader, _) = open(leader_dir.path());
    apply(&mut leader, (1..=30).map(one_put).collect())
        .await
        .unwrap();
    let Snapshot { meta, snapshot } = leader
        .get_snapshot_builder()
        .await
        .build_snapshot()
        .await
        .unwrap();
    // Goes on after the snapshot; it isn't in it.
    apply(&mut leader, vec![one_put(31)]).await.unwrap();

    let (state, mut machine, observed) = open(dir.path());
    apply(&mut machine, (1..=5).map(one_put).collect())
        .await
        .unwrap();
    *observed.outside.lock().unwrap() = Some(state.clone());
    let old_view = state.view().unwrap();
    let old_dir = dir.path().join("state/gen-1");
    machine.install_snapshot(&meta, snapshot).await.unwrap();

    assert!(matches!(
        old_view.get(b"\x02"),
        Err(ViewError::GenerationEnded)
    ));
    assert!(matches!(
        old_view.scan(b"\x02", b"\x03", 1),
        Err(ViewError::GenerationEnded)
    ));
    // Once for the open, once for the install.
    assert_eq!(observed.resets.load(Ordering::Relaxed), 2);
    assert!(!observed.outside_could_read.load(Ordering::Relaxed));
    assert_eq!((state.applied().index, state.generation()), (30, 2));
    let rows = state.view().unwrap().scan(b"\x02", b"\x03", 99).unwrap();
    assert_eq!(rows.len(), 30);
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, meta);

    assert!(old_dir.exists(), "a view still holds it");
    drop(old_view);
    until("the old generation goes with its last view", || {
        !old_dir.exists()
    })
    .await;
    // It goes on, and a reopen finds the new generation.
    apply(&mut machine, vec![one_put(31)]).await.unwrap();
    observed.outside.lock().unwrap().take();
    drop((state, machine, observed, current));
    let (state, _, _) = open(dir.path());
    assert_eq!((state.applied().index, state.generation()), (31, 2));
}

#[tokio::test]
async fn an_install_of_another_state_than_announced_is_refused() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    apply(&mut machine, vec![one_put(1)]).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let Snapshot { mut meta, snapshot } = builder.build_snapshot().await.unwrap();
    meta.last_log_id = Some(LogId::new(1.into(), 2));
    assert!(machine.install_snapshot(&meta, snapshot).await.is_err());
    assert_eq!(state.generation(), 1);
    assert_eq!(state.view().unwrap().revision(), 1);
    assert!(!dir.path().join("state/gen-2").exists());
}

#[tokio::test]
async fn an_open_removes_what_crashes_left() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, _) = open(dir.path());
    let mut builder = machine.get_snapshot_builder().await;
    for index in 1..=3 {
        apply(&mut machine, vec![one_put(index)]).await.unwrap();
        builder.build_snapshot().await.unwrap();
    }
    let snapshots = dir.path().join("snapshots");
    until("older snapshots are deleted", || {
        files::names_in(&snapshots).unwrap().len() == 1
    })
    .await;
    drop((state, machine, builder));

    let left = [
        "state/gen-2",
        "state/gen-9",
        "incoming/4",
        "snapshots/new-5",
        "snapshots/1-2-6",
    ];
    for folder in left {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("000001.sst"), "half").unwrap();
    }
    fs::write(dir.path().join("state/CURRENT.new"), "gen-9").unwrap();
    let (state, mut machine, _) = open(dir.path());
    for folder in left {
        assert!(!dir.path().join(folder).exists(), "{folder}");
    }
    assert_eq!((state.applied().index, state.generation()), (3, 1));
    let kept = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(kept.meta.last_log_id, Some(LogId::new(1.into(), 3)));
}

#[tokio::test]
async fn a_lost_or_foreign_state_is_refused() {
    let dir = TempDir::new().unwrap();
    let (state, mut machine, observed) = open(dir.path());
    apply(&mut machine, vec![one_put(1)]).await.unwrap();
    drop((state, machine));
    let open = |cluster| State::open(dir.path(), cluster, Arc::clone(&observed) as Arc<_>);
    assert!(matches!(open([8; 16]), Err(StateError::OtherCluster)));
    fs::write(dir.path().join("state/CURRENT"), "gen-2").unwrap();
    assert!(matches!(open(CLUSTER), Err(StateError::GenerationLost(_))));
    fs::remove_file(dir.path().join("state/CURRENT")).unwrap();
    assert!(matches!(open(CLUSTER), Err(StateError::CurrentLost)));
}
