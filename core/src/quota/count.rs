//! Lease-count quotas at work. What makes a lease or a token asks to be [admitted](admit_lease)
//! by every quota that covers it; a transaction carries a [`Tally`] of what it makes and removes,
//! which [`settle`] turns into changes of the counters, once, at its end.
//!
//! What was made and what has ended are two counters, and a grant doesn't rest on the second one:
//! it only grows, so an old value of it refuses too early and never too late. So grants under one
//! quota send each other back, ends and grants don't.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    barrier::{BarrierError, NameChain, TokenHash},
    random::Random,
    state::{
        LeaseQuotaEndedRecord, LeaseQuotaRecord, LeaseQuotas, LeaseQuotasEnded, LeaseQuotasMade,
        Leases, ReadError, Row, Search, Tokens, Txn, View, key_of, strip,
    },
    types::Path,
};

/// The path of root tokens that init and generate-root make: they don't count, since what is to
/// mend a cluster must not be refused.
const NOT_COUNTED: &str = "auth/token/root";

/// A quota has no room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease-count quota {name:?} is exhausted: at most {max} leases and tokens")]
pub struct Exceeded {
    /// Its name.
    pub name: String,
    /// Most leases and tokens.
    pub max: u64,
}

/// Why counting failed.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// A quota has no room.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The state can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A value can't be sealed.
    #[error(transparent)]
    Seal(#[from] BarrierError),
}

/// What a transaction makes and removes, as quotas see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    made: Vec<NameChain>,
    /// By storage key: what is removed twice in one transaction ends once.
    gone: BTreeMap<Bytes, Gone>,
}

/// A record that is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gone {
    place: Place,
    created: u64,
}

/// Where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Chain(NameChain),
    /// Hashed when there is a quota.
    Path(Path),
}

impl Tally {
    /// A lease is removed that was granted at this revision.
    pub(crate) fn lease_gone(&mut self, key: &NameChain, created: u64) {
        let place = Place::Chain(key.clone());
        self.gone
            .insert(key_of::<Leases>(key), Gone { place, created });
    }

    /// A token is removed that was made at this revision, by a request to this path.
    fn token_gone(&mut self, hash: &TokenHash, path: Path, created: u64) {
        let place = Place::Path(path);
        self.gone
            .insert(key_of::<Tokens>(hash), Gone { place, created });
    }

    /// Adds what comes behind it.
    pub(crate) fn append(&mut self, other: Self) {
        self.made.extend(other.made);
        self.gone.extend(other.gone);
    }
}

/// The path by which a token counts; `None`: it doesn't.
pub(super) fn counted_path(path: &str) -> Option<Path> {
    if path == NOT_COUNTED {
        return None;
    }
    Path::parse(path).ok()
}

/// A token is removed that was made at this revision, by a request to this path.
pub(crate) fn tally_token(txn: &mut Txn, hash: &TokenHash, path: &str, created: u64) {
    if let Some(path) = counted_path(path) {
        txn.tally.token_gone(hash, path, created);
    }
}

/// Admits a lease with this key, which is granted by the transaction.
pub(crate) fn admit_lease(
    view: &View<'_>,
    txn: &mut Txn,
    key: &NameChain,
) -> Result<(), CountError> {
    let Some(row) = view.get::<LeaseQuotas>(&())? else {
        return Ok(());
    };
    admit(view, &row, key)?;
    txn.tally.made.push(key.clone());
    Ok(())
}

/// Admits a token, which is made by the transaction on a request to this path.
pub(crate) fn admit_token(view: &View<'_>, txn: &mut Txn, path: &str) -> Result<(), CountError> {
    let Some(path) = counted_path(path) else {
        return Ok(());
    };
    let Some(row) = view.get::<LeaseQuotas>(&())? else {
        return Ok(());
    };
    let chain = view.barrier().name_chain(path.segments());
    admit(view, &row, &chain)?;
    txn.tally.made.push(chain);
    Ok(())
}

fn admit(view: &View<'_>, row: &Row<LeaseQuotas>, place: &NameChain) -> Result<(), CountError> {
    for quota in row
        .value
        .quotas
        .iter()
        .filter(|q| place.starts_with(&q.chain))
    {
        let made = view.get::<LeaseQuotasMade>(&quota.id)?;
        let ended = view.glance::<LeaseQuotasEnded>(&quota.id)?;
        if live(made.as_ref(), ended.as_ref()) >= quota.max {
            return Err(Exceeded {
                name: quota.name.as_str().to_owned(),
                max: quota.max,
            }
            .into());
        }
    }
    Ok(())
}

/// How many there are, as far as they are counted.
pub(super) fn live(
    made: Option<&Row<LeaseQuotasMade>>,
    ended: Option<&Row<LeaseQuotasEnded>>,
) -> u64 {
    let made = made.map_or(0, |row| row.value);
    let (found, ended) = ended.map_or((0, 0), |row| (row.value.found, row.value.ended));
    made.saturating_add(found).saturating_sub(ended)
}

/// Turns the tally of a transaction into changes of the counters. It must be done once, when all
/// else is in the transaction, on the view that it was planned on.
///
/// # Errors
/// The state can't be read, or a counter can't be sealed.
pub fn settle(view: &View<'_>, txn: &mut Txn, random: &mut dyn Random) -> Result<(), CountError> {
    let tally = std::mem::take(&mut txn.tally);
    if tally.made.is_empty() && tally.gone.is_empty() {
        return Ok(());
    }
    let Some(row) = view.get::<LeaseQuotas>(&())? else {
        return Ok(());
    };
    let barrier = view.barrier();
    let gone: Vec<(Bytes, NameChain, u64)> = tally
        .gone
        .into_iter()
        .map(|(key, gone)| {
            let chain = match gone.place {
                Place::Chain(chain) => chain,
                Place::Path(path) => barrier.name_chain(path.segments()),
            };
            (key, chain, gone.created)
        })
        .collect();
    for quota in &row.value.quotas {
        let made = tally.made.iter().filter(|at| at.starts_with(&quota.chain));
        let made = made.count() as u64;
        if made > 0
            && let Some(mut counter) = view.get::<LeaseQuotasMade>(&quota.id)?
        {
            counter.value = counter.value.saturating_add(made);
            txn.update::<LeaseQuotasMade>(barrier, &counter, random)?;
        }
        end(view, txn, quota, &gone, random)?;
    }
    Ok(())
}

/// Counts what of this ends under a quota.
fn end(
    view: &View<'_>,
    txn: &mut Txn,
    quota: &LeaseQuotaRecord,
    gone: &[(Bytes, NameChain, u64)],
    random: &mut dyn Random,
) -> Result<(), CountError> {
    let mut covered = gone
        .iter()
        .filter(|(_, chain, _)| chain.starts_with(&quota.chain))
        .peekable();
    if covered.peek().is_none() {
        return Ok(());
    }
    let Some(mut counter) = view.get::<LeaseQuotasEnded>(&quota.id)? else {
        return Ok(());
    };
    let mut ended = 0;
    for (key, _, created) in covered {
        // Who removed it meanwhile has counted it: this transaction is sent back then.
        view.note_key(key.clone());
        // What is older than the quota counts once the search has come by. What it hasn't seen, it
        // won't find any more.
        if *created > counter.create_revision || has_seen(&counter.value, key) {
            ended += 1;
        }
    }
    if ended > 0 {
        counter.value.ended = counter.value.ended.saturating_add(ended);
        txn.update::<LeaseQuotasEnded>(view.barrier(), &counter, random)?;
    }
    Ok(())
}

/// Whether the search of a quota has looked at this storage key. Tokens come after leases.
fn has_seen(counter: &LeaseQuotaEndedRecord, key: &Bytes) -> bool {
    let is_token = strip::<Tokens>(key).is_some();
    match &counter.search {
        Search::Leases(at) => !is_token && key < at,
        Search::Tokens(at) => !is_token || key < at,
        Search::Done => true,
    }
}
