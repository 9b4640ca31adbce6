//! Joins `core` and `raft`: a pinned state of the replicated store as the rules see it, and
//! their transactions as the store takes them. Decides nothing.

use bytes::Bytes;
use tenure_core::{
    barrier::{Barrier, BarrierError},
    state::{Op, Reads, Store, StoreError, Stored, Txn},
};
use tenure_raft::{
    txn::{self, ReadSet, Record},
    view::{View, ViewError},
};

use crate::random::SystemRandom;

/// A view of the replicated store, for `core`.
pub struct StateView(pub View);

impl Store for StateView {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.get(key).map_err(failed)?.map(stored))
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        let found = self.0.scan(start, end, limit).map_err(failed)?;
        Ok(found
            .into_iter()
            .map(|(key, record)| (key, stored(record)))
            .collect())
    }

    fn revision(&self) -> u64 {
        self.0.revision()
    }
}

fn stored(record: Record) -> Stored {
    Stored {
        value: record.value,
        create_revision: record.create_revision,
        mod_revision: record.mod_revision,
    }
}

fn failed(error: ViewError) -> StoreError {
    match error {
        ViewError::GenerationEnded => StoreError::Ended,
        other => StoreError::Failed(Box::new(other)),
    }
}

/// A planned transaction with what it rests on, for the sequencer; what it tells is sealed here.
///
/// # Errors
/// The barrier can't seal.
pub fn transaction(
    reads: Reads,
    mut planned: Txn,
    barrier: &Barrier,
) -> Result<txn::Txn, BarrierError> {
    planned.seal_events(barrier, &mut SystemRandom)?;
    let (mut ops, mut at_revision) = (Vec::new(), Vec::new());
    for op in planned.into_ops() {
        match op {
            Op::Put {
                key,
                value,
                create_revision,
            } => ops.push(txn::Op::Put {
                key,
                value,
                create_revision,
            }),
            Op::PutAtRevision { prefix, value } => {
                at_revision.push(txn::AtRevision { prefix, value });
            }
            Op::Delete(key) => ops.push(txn::Op::Delete(key)),
            Op::DeleteRange(start, end) => ops.push(txn::Op::DeleteRange(start, end)),
        }
    }
    Ok(txn::Txn {
        read_revision: reads.revision,
        reads: ReadSet {
            keys: reads.keys.into_iter().collect(),
            ranges: reads.ranges,
        },
        ops,
        at_revision,
    })
}
