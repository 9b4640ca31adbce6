//! Installs a snapshot: a whole new generation takes the place of the old one. A crash
//! leaves the one or the other, and never a mix.

use std::{path::Path, sync::Arc};

use super::{Generation, Inner, State, StateError, generation, open};
use crate::{
    files,
    snapshot::{self, SnapshotDir},
    types::SnapshotMeta,
    view::View,
};

/// Blocks; runs on a thread that may.
pub(super) fn install(
    inner: &Arc<Inner>,
    meta: &SnapshotMeta,
    snapshot: SnapshotDir,
) -> Result<(), StateError> {
    let old = Arc::clone(inner.current.load().generation());
    let number = old.number() + 1;
    let dir = inner.dirs.state.join(open::generation_name(number));
    let installed = prepare(inner, meta, &snapshot, &dir, number).and_then(|new| {
        // Before the swap: a start that finds the new state with an older snapshot has a
        // log that must begin behind any snapshot there is, and openraft refuses to run. One
        // that finds the older state with this snapshot installs it.
        keep(inner, snapshot)?;
        fail::fail_point!("install::before_swap");
        open::set_current(&inner.dirs.state, number)?;
        Ok(new)
    });
    let (view, membership) = match installed {
        Ok(new) => new,
        Err(error) => {
            // The old generation stays; at the latest the next start removes this one.
            // One that is current by its name stays, whatever failed behind that.
            let is_current = open::current_generation(&inner.dirs.state).ok() == Some(number);
            if !is_current && let Err(error) = files::remove_dir_if_there(&dir) {
                tracing::warn!(%error, "a snapshot that failed to install is left behind");
            }
            return Err(error);
        }
    };
    fail::fail_point!("install::after_swap");
    // From here to the end nobody but the observer can read: what it maintains and what is
    // read belong to one state again when views are given out.
    old.end();
    inner.observer.reset(&State {
        inner: Arc::clone(inner),
        preview: Some(view.clone()),
    });
    *inner.membership() = membership;
    let applied = view.applied();
    inner.current.store(Arc::new(view));
    inner.applied.send_replace(applied);
    Ok(())
}

/// Keeps the snapshot for the next start and for peers that lag, in place of the one before.
fn keep(inner: &Inner, snapshot: SnapshotDir) -> Result<(), StateError> {
    let snapshot = snapshot.installed(&inner.dirs.snapshots)?;
    if let Some(older) = inner.snapshot().replace(snapshot.clone())
        && !older.is_same(&snapshot)
    {
        older.supersede();
    }
    Ok(())
}

/// Makes the new generation, durable and opened, and checks that it is what was announced.
fn prepare(
    inner: &Inner,
    meta: &SnapshotMeta,
    snapshot: &SnapshotDir,
    dir: &Path,
    number: u64,
) -> Result<(View, crate::types::StoredMembership), StateError> {
    files::remove_dir_if_there(dir)?;
    files::create_private_dir(dir)?;
    for name in snapshot::files_of(snapshot.path())? {
        let (from, to) = (snapshot.path().join(&name), dir.join(&name));
        // Tables never change, so the snapshot and the generation share them. The rest is
        // written to by an open database.
        match snapshot::is_table(&name) {
            true => files::link_or_copy(&from, &to)?,
            false => files::copy_file(&from, &to)?,
        }
    }
    files::sync_dir(dir)?;
    let new = Generation::open(
        dir.to_path_buf(),
        number,
        &inner.cache,
        &inner.cluster_id,
        inner.rows_read.clone(),
    )?;
    let membership = generation::read_membership(new.db()?)?;
    let view = View::pin(Arc::new(new))?;
    if view.applied_record().log_id != meta.last_log_id || membership != meta.last_membership {
        return Err(StateError::SnapshotMismatch);
    }
    Ok((view, membership))
}
