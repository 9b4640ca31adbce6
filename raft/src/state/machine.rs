//! The state machine that openraft drives: entries in, snapshots in and out.

use std::{io, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine, Snapshot},
    type_config::alias::SnapshotOf,
};

use super::{Inner, State, apply, install};
use crate::{
    limits::{APPLY_BYTES_MAX, APPLY_ENTRIES_MAX},
    snapshot::{self, SnapshotDir},
    types::{Entry, LogId, SnapshotMeta, StoredMembership, TypeConfig},
};

/// Applies committed entries to a [`State`].
pub struct StateMachine {
    inner: Arc<Inner>,
}

impl StateMachine {
    /// A machine that writes `state`. There must be only one.
    pub fn new(state: State) -> Self {
        Self { inner: state.inner }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let log_id = self.inner.current.load().applied_record().log_id;
        Ok((log_id, self.inner.membership().clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.next().await {
            let (entry, responder) = first?;
            let mut bytes = size_bytes(&entry);
            let mut group = vec![entry];
            let mut responders = vec![responder];
            // What is there already shares one write; nothing is waited for.
            while group.len() < APPLY_ENTRIES_MAX && bytes < APPLY_BYTES_MAX {
                let Some(Some(next)) = entries.next().now_or_never() else {
                    break;
                };
                let (entry, responder) = next?;
                bytes += size_bytes(&entry);
                group.push(entry);
                responders.push(responder);
            }
            apply::apply(&self.inner, &group).await?;
            for responder in responders.into_iter().flatten() {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            inner: Arc::clone(&self.inner),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
    ) -> io::Result<()> {
        let (inner, meta) = (Arc::clone(&self.inner), meta.clone());
        tokio::task::spawn_blocking(move || install::install(&inner, &meta, snapshot))
            .await
            .map_err(io::Error::other)??;
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotDir>>> {
        Ok(self.inner.snapshot().clone().map(with_meta))
    }
}

/// Builds snapshots of the state while it goes on.
pub struct SnapshotBuilder {
    inner: Arc<Inner>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotDir>> {
        let inner = Arc::clone(&self.inner);
        let built = tokio::task::spawn_blocking(move || {
            let generation = Arc::clone(inner.current.load().generation());
            let built = snapshot::build(&generation, &inner.dirs.snapshots, &inner.cluster_id)?;
            let mut current = inner.snapshot();
            match &*current {
                // An install overtook this build.
                Some(other) if other.meta().last_log_id > built.meta().last_log_id => {
                    built.supersede();
                }
                _ => {
                    if let Some(older) = current.replace(built.clone()) {
                        older.supersede();
                    }
                }
            }
            Ok::<_, super::StateError>(built)
        })
        .await
        .map_err(io::Error::other)??;
        Ok(with_meta(built))
    }
}

fn with_meta(snapshot: SnapshotDir) -> SnapshotOf<TypeConfig, SnapshotDir> {
    Snapshot {
        meta: snapshot.meta().clone(),
        snapshot,
    }
}

fn size_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
