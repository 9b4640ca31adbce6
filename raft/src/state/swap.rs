//! Swaps a backup in: a whole new generation of the records that were staged, the old one's
//! membership and node ids, and what the entry writes on top. A crash leaves the old
//! generation, whose log brings the entry again, or the new one, which has it. Memory stays
//! small: records go from the staged pieces to table files one frame at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::{IngestExternalFileOptions, SstFileWriter, WriteBatch};
use tenure_proto::internal::{self, BackupRecord};

use super::{AppliedRecord, Generation, Inner, State, StateError, keys, open};
use crate::{
    backup::{
        Part, crosses,
        staging::{self, StagedError},
    },
    files,
    limits::RESTORE_TABLE_BYTES,
    rocks,
    view::{self, View, ViewError},
};

/// Folder of the table files that are written, among what is on its way in.
const TABLES_DIR: &str = "restore";
/// The raft crate's own records: they belong to the cluster and stay.
const OWN: (&[u8], &[u8]) = (b"\x01", b"\x02");

/// Blocks; runs on a thread that may. `batch` is what the entry writes, with the applied record
/// `after` it.
pub(super) fn swap(
    inner: &Arc<Inner>,
    swap: &internal::SwapIn,
    batch: WriteBatch,
    after: &AppliedRecord,
) -> Result<(), StateError> {
    fail::fail_point!("swap::before");
    let before = View::clone(&inner.current.load());
    let number = before.generation().number() + 1;
    let dir = inner.dirs.state.join(open::generation_name(number));
    let tables = inner.dirs.incoming.join(TABLES_DIR);
    let made = prepare(inner, &before, swap, batch, &dir, &tables, number).and_then(|view| {
        if view.applied_record() != after {
            return Err(StateError::SnapshotMismatch);
        }
        fail::fail_point!("swap::before_current");
        open::set_current(&inner.dirs.state, number)?;
        Ok(view)
    });
    // The tables are links now, or of no use.
    if let Err(error) = files::remove_dir_if_there(&tables) {
        tracing::warn!(%error, "the files of a restore are left for the next start to remove");
    }
    let view = match made {
        Ok(view) => view,
        Err(error) => {
            // What is current by its name stays, whatever failed behind that: the next start opens it.
            let is_current = open::current_generation(&inner.dirs.state).ok() == Some(number);
            if !is_current && let Err(error) = files::remove_dir_if_there(&dir) {
                tracing::warn!(%error, "a restore that failed is left behind");
            }
            return Err(error);
        }
    };
    fail::fail_point!("swap::after_current");
    // As after an install: nobody but the observer reads until it belongs to the new state.
    before.generation().end();
    inner.observer.reset(&State {
        inner: Arc::clone(inner),
        preview: Some(view.clone()),
    });
    let applied = view.applied();
    inner.current.store(Arc::new(view));
    inner.applied.send_replace(applied);
    tracing::info!(revision = applied.revision, "a backup was restored");
    Ok(())
}

/// Makes the new generation, durable and opened.
fn prepare(
    inner: &Arc<Inner>,
    before: &View,
    swap: &internal::SwapIn,
    mut batch: WriteBatch,
    dir: &Path,
    tables: &Path,
    number: u64,
) -> Result<View, StateError> {
    for fresh in [dir, tables] {
        files::remove_dir_if_there(fresh)?;
        files::create_private_dir(fresh)?;
    }
    let tables = write_tables(inner, before, swap, tables)?;
    fail::fail_point!("swap::tables");
    let new = Generation::open(
        dir.to_path_buf(),
        number,
        &inner.cache,
        &inner.cluster_id,
        inner.rows_read.clone(),
    )?;
    if !tables.is_empty() {
        let mut options = IngestExternalFileOptions::default();
        // Links where the file system allows it. Nobody reads this database yet.
        options.set_move_files(true);
        options.set_snapshot_consistency(false);
        new.db()?.ingest_external_file_opts(&options, tables)?;
    }
    fail::fail_point!("swap::ingested");
    before.each(OWN.0, OWN.1, |key, record| {
        let mut stored = Vec::new();
        view::encode_record(
            &mut stored,
            record.create_revision,
            record.mod_revision,
            &record.value,
        );
        batch.put(&key, &stored);
        Ok::<(), ViewError>(())
    })?;
    if let Some(membership) = before.get_raw(keys::MEMBERSHIP)? {
        batch.put(keys::MEMBERSHIP, &membership);
    }
    new.db()?.write_opt(batch, &rocks::state_write_waiting())?;
    new.flush()?;
    Ok(View::pin(Arc::new(new))?)
}

/// Writes the staged records as table files, in order, and checks that they are those that the
/// entry names. They were verified before the entry was proposed, and nothing could touch them
/// since: anything else is a fault of this node's disk.
fn write_tables(
    inner: &Inner,
    before: &View,
    swap: &internal::SwapIn,
    dir: &Path,
) -> Result<Vec<PathBuf>, StateError> {
    let id = swap.restore_id.as_ref().try_into();
    let id = id.map_err(|_| StateError::Staged("no id".to_owned()))?;
    let options = rocks::state_options(&inner.cache);
    let mut tables = Tables {
        options: &options,
        dir,
        open: None,
        paths: Vec::new(),
        stored: Vec::new(),
    };
    let summary = staging::read::<StateError>(before, &id, swap.pieces, |part| {
        if let Part::Records(records) = part {
            for record in &records {
                tables.put(record)?;
            }
        }
        Ok(())
    })?;
    if summary.sha256.as_slice() != swap.sha256.as_ref() {
        return Err(StateError::Staged("it is another one".to_owned()));
    }
    tables.finish()
}

/// Table files under construction.
struct Tables<'a> {
    options: &'a rocksdb::Options,
    dir: &'a Path,
    open: Option<SstFileWriter<'a>>,
    paths: Vec<PathBuf>,
    stored: Vec<u8>,
}

impl Tables<'_> {
    fn put(&mut self, record: &BackupRecord) -> Result<(), StateError> {
        debug_assert!(
            crosses(&record.key),
            "the decoder lets no other key through"
        );
        let full = |open: &SstFileWriter<'_>| open.file_size() >= RESTORE_TABLE_BYTES;
        if self.open.as_ref().is_some_and(full) {
            self.close()?;
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            none => {
                let path = self.dir.join(format!("{:06}.sst", self.paths.len()));
                let writer = SstFileWriter::create(self.options);
                writer.open(&path)?;
                self.paths.push(path);
                none.insert(writer)
            }
        };
        view::encode_record(
            &mut self.stored,
            record.create_revision,
            record.mod_revision,
            &record.value,
        );
        Ok(writer.put(&record.key, &self.stored)?)
    }

    fn close(&mut self) -> Result<(), StateError> {
        if let Some(mut writer) = self.open.take() {
            writer.finish()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PathBuf>, StateError> {
        self.close()?;
        Ok(self.paths)
    }
}

impl From<StagedError> for StateError {
    fn from(error: StagedError) -> Self {
        match error {
            StagedError::View(error) => Self::View(error),
            other => Self::Staged(other.to_string()),
        }
    }
}
