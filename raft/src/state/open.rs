//! Opens the state: finds the current generation, and removes what a crash left half-done.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use rocksdb::Cache;
use tokio::sync::watch;

use super::{ApplyObserver, Dirs, Generation, Inner, RowsRead, State, StateError, generation};
use crate::{files, rocks::STATE_CACHE_BYTES, snapshot, view::View};

/// Names the current generation.
pub(super) const CURRENT_FILE: &str = "CURRENT";
const GENERATION_PREFIX: &str = "gen-";
const FIRST_GENERATION: u64 = 1;

impl State {
    /// Opens the state in a data folder, or makes an empty one for the cluster. What was
    /// applied after the last flush is not in it; the log gives it again.
    pub fn open(
        data_dir: &Path,
        cluster_id: [u8; 16],
        observer: Arc<dyn ApplyObserver>,
    ) -> Result<Self, StateError> {
        let dirs = Dirs {
            state: data_dir.join("state"),
            snapshots: data_dir.join(snapshot::SNAPSHOTS_DIR),
            incoming: data_dir.join(snapshot::INCOMING_DIR),
        };
        for dir in [data_dir, &dirs.state, &dirs.snapshots, &dirs.incoming] {
            files::create_private_dir(dir)?;
        }
        // A transfer that was cut off starts again from its beginning.
        for name in files::names_in(&dirs.incoming)? {
            files::remove_dir_if_there(&dirs.incoming.join(name))?;
        }
        let number = current_generation(&dirs.state)?;
        remove_other_generations(&dirs.state, number)?;

        let cache = Cache::new_lru_cache(STATE_CACHE_BYTES);
        let dir = dirs.state.join(generation_name(number));
        let rows_read = RowsRead::default();
        let generation = Generation::open(dir, number, &cache, &cluster_id, rows_read.clone())?;
        let generation = Arc::new(generation);
        // After the state has proved to be this cluster's.
        let kept = snapshot::keep_newest(&dirs.snapshots, &cluster_id)?;
        let membership = generation::read_membership(generation.db()?)?;
        let view = View::pin(generation)?;
        let state = Self {
            inner: Arc::new(Inner {
                applied: watch::Sender::new(view.applied()),
                current: ArcSwap::from_pointee(view),
                dirs,
                cluster_id,
                cache,
                rows_read,
                observer,
                membership: Mutex::new(membership),
                snapshot: Mutex::new(kept),
            }),
            preview: None,
        };
        // What was flushed is not applied again: the observer learns of it here.
        state.inner.observer.reset(&state);
        Ok(state)
    }
}

/// Folder name of a generation.
pub(super) fn generation_name(number: u64) -> String {
    format!("{GENERATION_PREFIX}{number}")
}

/// Makes a generation the current one; a crash leaves the one before or this one.
pub(super) fn set_current(state_dir: &Path, number: u64) -> std::io::Result<()> {
    files::replace_file(
        &state_dir.join(CURRENT_FILE),
        generation_name(number).as_bytes(),
    )
}

fn generation_number(name: &str) -> Option<u64> {
    name.strip_prefix(GENERATION_PREFIX)?.parse().ok()
}

pub(super) fn current_generation(state_dir: &Path) -> Result<u64, StateError> {
    let file = state_dir.join(CURRENT_FILE);
    if !file.exists() {
        // The name is written before the first generation is made, so generations without
        // it mean that it was lost.
        let any = files::names_in(state_dir)?
            .iter()
            .any(|name| generation_number(name).is_some());
        if any {
            return Err(StateError::CurrentLost);
        }
        set_current(state_dir, FIRST_GENERATION)?;
        return Ok(FIRST_GENERATION);
    }
    let name = std::fs::read_to_string(file)?;
    let number = generation_number(&name).ok_or(StateError::CurrentLost)?;
    // Only the first may still have to be made: installs make theirs before they name it.
    if number != FIRST_GENERATION && !state_dir.join(&name).is_dir() {
        return Err(StateError::GenerationLost(name));
    }
    Ok(number)
}

/// A crash in the middle of an install leaves the generation before or after.
fn remove_other_generations(state_dir: &Path, current: u64) -> Result<(), StateError> {
    for name in files::names_in(state_dir)? {
        if generation_number(&name).is_some_and(|number| number != current) {
            files::remove_dir_if_there(&state_dir.join(name))?;
        }
    }
    files::sync_dir(state_dir)?;
    Ok(())
}
