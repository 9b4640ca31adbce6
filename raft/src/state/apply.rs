//! Committed entries to one atomic write. Apply is blind and deterministic: it reads
//! nothing, decides nothing, and what it can't understand stops the node with an error.

use std::{io, sync::Arc};

use openraft::EntryPayload;
use prost::Message;
use rocksdb::{ErrorKind, WriteBatch};
use tenure_proto::internal;

use super::{AppliedBatch, AppliedRecord, Change, Inner, StateError, keys, swap};
use crate::{
    codec, rocks,
    types::{Entry, LogId, Revision, StoredMembership},
    view::{self, View},
};

/// What a group of entries does.
struct Plan {
    batch: WriteBatch,
    after: AppliedRecord,
    membership: Option<StoredMembership>,
    /// One for each entry.
    effects: Vec<Effect>,
}

struct Effect {
    log_index: u64,
    revision: Revision,
    time_ms: u64,
    changes: Vec<Change>,
}

/// Applies entries in order: groups of them in one write each, and a restore by itself.
pub(super) async fn apply(inner: &Arc<Inner>, entries: &[Entry]) -> io::Result<()> {
    let mut rest = entries;
    while !rest.is_empty() {
        let before = *inner.current.load().applied_record();
        let (group, swap_in) = plan(&before, rest)?;
        let done = group.effects.len();
        match swap_in {
            Some(swap_in) => restore(inner, group, swap_in).await?,
            None => write(inner, group, &rest[..done]).await?,
        }
        rest = rest.get(done..).unwrap_or_default();
    }
    Ok(())
}

/// Swaps a backup in, and what its entry writes on top.
async fn restore(inner: &Arc<Inner>, group: Plan, swap_in: internal::SwapIn) -> io::Result<()> {
    let Plan {
        mut batch,
        mut after,
        ..
    } = group;
    after.restores = after
        .restores
        .checked_add(1)
        .ok_or_else(|| invalid("restore epochs are used up".to_owned()))?;
    batch.put(keys::APPLIED, after.encode());
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || swap::swap(&inner, &swap_in, batch, &after))
        .await
        .map_err(io::Error::other)?
        .map_err(StateError::into)
}

/// Writes a group of entries in one write, and publishes the state after it.
async fn write(inner: &Arc<Inner>, group: Plan, entries: &[Entry]) -> io::Result<()> {
    fail::fail_point!("apply::before");
    let current = View::clone(&inner.current.load());
    let generation = Arc::clone(current.generation());
    let Plan {
        batch,
        after,
        membership,
        effects,
    } = group;

    let db = generation.db().map_err(StateError::from)?;
    match db.write_opt(batch, &rocks::state_write()) {
        Ok(()) => {}
        // RocksDB would hold this task up: wait on a thread that may block.
        Err(error) if error.kind() == ErrorKind::Incomplete => {
            let batch = plan(current.applied_record(), entries)?.0.batch;
            let generation = Arc::clone(&generation);
            tokio::task::spawn_blocking(move || -> Result<(), StateError> {
                Ok(generation
                    .db()?
                    .write_opt(batch, &rocks::state_write_waiting())?)
            })
            .await
            .map_err(io::Error::other)??;
        }
        Err(error) => return Err(io::Error::other(error)),
    }
    let view = View::pin(generation).map_err(StateError::from)?;
    if *view.applied_record() != after {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the state was written by something else than apply",
        ));
    }
    for effect in &effects {
        inner.observer.applied(AppliedBatch {
            revision: effect.revision,
            time_ms: effect.time_ms,
            log_index: effect.log_index,
            changes: &effect.changes,
        });
    }
    if let Some(membership) = membership {
        *inner.membership() = membership;
    }
    let applied = view.applied();
    inner.current.store(Arc::new(view));
    inner.applied.send_replace(applied);
    fail::fail_point!("apply::after");
    Ok(())
}

/// Plans the entries up to the next restore; one that comes first is planned alone.
fn plan(before: &AppliedRecord, entries: &[Entry]) -> io::Result<(Plan, Option<internal::SwapIn>)> {
    let mut plan = Plan {
        batch: WriteBatch::default(),
        after: *before,
        membership: None,
        effects: Vec::with_capacity(entries.len()),
    };
    for entry in entries {
        let command = command_of(entry)?;
        let swap_in = command.as_ref().and_then(|command| command.swap_in.clone());
        if swap_in.is_some() {
            if plan.effects.is_empty() {
                plan.add(entry, command)?;
                return Ok((plan, swap_in));
            }
            break;
        }
        plan.add(entry, command)?;
    }
    plan.batch.put(keys::APPLIED, plan.after.encode());
    if let Some(membership) = &plan.membership {
        let bytes = codec::stored_membership_to_proto(membership).encode_to_vec();
        plan.batch.put(keys::MEMBERSHIP, bytes);
    }
    Ok((plan, None))
}

fn command_of(entry: &Entry) -> io::Result<Option<internal::Command>> {
    let EntryPayload::Normal(command) = &entry.payload else {
        return Ok(None);
    };
    let command: internal::Command = codec::decode("command", command.0.clone())?;
    codec::check_format("command", command.format)?;
    Ok(Some(command))
}

impl Plan {
    fn add(&mut self, entry: &Entry, command: Option<internal::Command>) -> io::Result<()> {
        let log_id: LogId = entry.log_id;
        let mut changes = Vec::new();
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.membership = Some(StoredMembership::new(Some(log_id), membership.clone()));
        }
        if let Some(command) = command {
            self.add_command(command, &mut changes)?;
        }
        self.after.log_id = Some(log_id);
        self.effects.push(Effect {
            log_index: log_id.index(),
            revision: self.after.revision,
            time_ms: self.after.time_ms,
            changes,
        });
        Ok(())
    }

    fn add_command(
        &mut self,
        command: internal::Command,
        changes: &mut Vec<Change>,
    ) -> io::Result<()> {
        if !command.transactions.is_empty() {
            // An entry that raft refused leaves a gap before the next one, and harms nothing:
            // nobody has seen its revisions. Going back would.
            match command.first_revision.checked_sub(1) {
                Some(before) if before >= self.after.revision => self.after.revision = before,
                _ => {
                    return Err(invalid(format!(
                        "a command starts at revision {}, the state is at {}",
                        command.first_revision, self.after.revision
                    )));
                }
            }
        }
        // Cluster time never runs backwards, whatever a leader proposed.
        self.after.time_ms = self.after.time_ms.max(command.time_ms);
        let mut buffer = Vec::new();
        for transaction in command.transactions {
            let revision = self
                .after
                .revision
                .checked_add(1)
                .ok_or_else(|| invalid("revisions are used up".to_owned()))?;
            for operation in transaction.operations {
                let change = self.add_operation(operation, revision, &mut buffer)?;
                changes.push(change);
            }
            self.after.revision = revision;
        }
        Ok(())
    }

    fn add_operation(
        &mut self,
        operation: internal::Operation,
        revision: Revision,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Change> {
        use internal::operation::Operation;
        match operation.operation {
            Some(Operation::Put(put)) => {
                check_key(&put.key)?;
                let create = put.create_revision.unwrap_or(revision);
                view::encode_record(buffer, create, revision, &put.value);
                self.batch.put(&put.key, &buffer);
                Ok(Change::Put {
                    key: put.key,
                    value: put.value,
                    revision,
                    created: put.create_revision.is_none(),
                })
            }
            Some(Operation::Delete(key)) => {
                check_key(&key)?;
                self.batch.delete(&key);
                Ok(Change::Delete { key, revision })
            }
            Some(Operation::DeleteRange(range)) => {
                check_key(&range.start)?;
                // An empty range deletes nothing; RocksDB refuses one that is inverted.
                if range.start < range.end {
                    self.batch.delete_range(&range.start, &range.end);
                }
                Ok(Change::DeleteRange {
                    start: range.start,
                    end: range.end,
                    revision,
                })
            }
            None => Err(invalid("an operation of an unknown kind".to_owned())),
        }
    }
}

/// The state's own keys are no command's business.
fn check_key(key: &[u8]) -> io::Result<()> {
    match key.first() {
        Some(&tag) if tag != keys::TAG => Ok(()),
        _ => Err(invalid(
            "a command writes a key of the state's own".to_owned(),
        )),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
