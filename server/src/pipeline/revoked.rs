//! The set of pending tombstones and orphan markers, maintained by apply on every node,
//! sealed or not, and what apply tells the expiration manager and the seal. All of it is
//! changed before the applied index is published, so that whoever sees an index sees all
//! revocations up to it, and has the keys of what was sealed up to it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tenure_core::{state::TimeIndex, token::Revocations};
use tenure_raft::state::{AppliedBatch, ApplyObserver, Change, State};

use super::{rate::RateGate, store::StateView};
use crate::{expiration::DueHead, seal::Keys};

/// The current set. Readers get a whole, immutable set; apply replaces it.
#[derive(Default)]
pub struct Revoked(ArcSwap<Revocations>);

impl Revoked {
    /// The set as it is now.
    pub fn now(&self) -> Arc<Revocations> {
        self.0.load_full()
    }
}

/// Apply's side of all of them.
pub struct Observer {
    /// The keys of this node.
    pub keys: Arc<Keys>,
    /// The set.
    pub revoked: Arc<Revoked>,
    /// What is due next.
    pub due: Arc<DueHead>,
    /// Whether rate limits have changed.
    pub rates: Arc<RateGate>,
}

impl ApplyObserver for Observer {
    fn applied(&self, applied: AppliedBatch<'_>) {
        self.keys.applied(applied.changes);
        self.rates.applied(applied.changes, applied.revision);
        let earliest = applied.changes.iter().filter_map(|change| match change {
            Change::Put { key, .. } => TimeIndex::time_of(key),
            _ => None,
        });
        if let Some(earliest) = earliest.min() {
            self.due.written(earliest, applied.revision);
        }
        let concerns = applied.changes.iter().any(|change| match change {
            Change::Put { key, .. } | Change::Delete { key, .. } => Revocations::concerns(key),
            Change::DeleteRange { start, end, .. } => Revocations::concerns_range(start, end),
        });
        if !concerns {
            return;
        }
        let mut set = Revocations::clone(&self.revoked.now());
        for change in applied.changes {
            match change {
                Change::Put { key, revision, .. } => set.put(key, *revision),
                Change::Delete { key, .. } => set.delete(key),
                Change::DeleteRange { start, end, .. } => set.delete_range(start, end),
            }
        }
        self.revoked.0.store(Arc::new(set));
        self.due.revoked();
    }

    fn reset(&self, state: &State) {
        let loaded = state
            .view()
            .map_err(|error| error.to_string())
            .and_then(|view| {
                let state = StateView(view);
                self.keys.replaced(&state);
                self.rates.reset(state.0.revision());
                Revocations::load(&state).map_err(|error| error.to_string())
            });
        match loaded {
            Ok(set) => self.revoked.0.store(Arc::new(set)),
            Err(error) => {
                // Without the set a revoked token could pass for a living one.
                tracing::error!(%error, "the revocations of a new state can't be read: stopping");
                std::process::abort();
            }
        }
    }
}
