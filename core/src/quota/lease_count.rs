//! Lease-count quotas: written, read, listed, removed.

use super::{
    DeleteLeaseCount, ListLeaseCounts, QuotaError, QuotaPath, ReadLeaseCount, WriteLeaseCount,
    count::live,
    rate_limit::{check_name, page},
};
use crate::{
    random::Random,
    state::{
        LeaseQuotaEndedRecord, LeaseQuotaRecord, LeaseQuotas, LeaseQuotasEnded, LeaseQuotasMade,
        LeaseQuotasRecord, Leases, Row, Search, Txn, View, range_of,
    },
    token::{Permit, Plan},
    types::{Path, limits::LEASE_QUOTAS_MAX},
};

/// A quota as it is shown.
#[derive(Clone, Debug)]
pub struct LeaseCount {
    /// The quota.
    pub quota: LeaseQuotaRecord,
    /// How many leases and tokens there are, as far as they are counted.
    pub count: u64,
}

/// A page of the quotas.
#[derive(Clone, Debug)]
pub struct LeaseCountPage {
    /// The quotas, by name.
    pub quotas: Vec<LeaseCount>,
    /// Where the next page begins: after this name; `None` after the last.
    pub next: Option<Path>,
}

pub(super) fn load(view: &View<'_>) -> Result<Row<LeaseQuotas>, QuotaError> {
    Ok(view.get::<LeaseQuotas>(&())?.unwrap_or(Row {
        key: (),
        value: LeaseQuotasRecord::default(),
        create_revision: 0,
        mod_revision: 0,
    }))
}

pub(super) fn store(
    view: &View<'_>,
    txn: &mut Txn,
    row: &Row<LeaseQuotas>,
    random: &mut dyn Random,
) -> Result<(), QuotaError> {
    if row.create_revision == 0 {
        txn.insert::<LeaseQuotas>(view.barrier(), &(), &row.value, random)?;
    } else {
        txn.update::<LeaseQuotas>(view.barrier(), row, random)?;
    }
    Ok(())
}

/// Sets a quota, new or anew; says whether what is there has to be counted first. Another path
/// makes it another quota; another maximum leaves its count as it is.
///
/// # Errors
/// A field that can't be, another quota on the same path, or too many of them.
pub fn write_lease_count(
    permit: &Permit<'_, WriteLeaseCount>,
    random: &mut dyn Random,
) -> Result<Plan<bool>, QuotaError> {
    let action = permit.action();
    check_name(&action.name)?;
    if action.max == 0 {
        return Err(QuotaError::argument("max_leases", "at least 1"));
    }
    let path =
        QuotaPath::parse(&action.path).map_err(|problem| QuotaError::argument("path", problem))?;
    let view = permit.context().view;
    let barrier = view.barrier();
    let (mut row, mut txn) = (load(view)?, Txn::default());
    let record = &mut row.value;
    let others = record
        .quotas
        .iter()
        .filter(|quota| quota.name != action.name);
    if others.clone().any(|quota| quota.path.is_same(&path)) {
        return Err(QuotaError::argument("path", "another quota has it"));
    }
    if others.count() >= LEASE_QUOTAS_MAX {
        let problem = format!("there are {LEASE_QUOTAS_MAX} lease-count quotas already");
        return Err(QuotaError::argument("name", problem));
    }
    let known = record
        .quotas
        .iter_mut()
        .find(|quota| quota.name == action.name);
    let counting = match known {
        Some(quota) if quota.path.is_same(&path) => {
            (quota.max, quota.path) = (action.max, path);
            quota.counting
        }
        known => {
            if let Some(quota) = known {
                forget(&mut txn, quota.id);
            }
            record.quotas.retain(|quota| quota.name != action.name);
            let quota = LeaseQuotaRecord {
                name: action.name.clone(),
                chain: barrier.name_chain(path.segments()),
                path,
                max: action.max,
                id: record.next_id,
                counting: true,
            };
            record.next_id += 1;
            let (start, _) = range_of::<Leases>(quota.chain.as_bytes());
            let ended = LeaseQuotaEndedRecord {
                found: 0,
                ended: 0,
                search: Search::Leases(start),
            };
            txn.insert::<LeaseQuotasMade>(barrier, &quota.id, &0, random)?;
            txn.insert::<LeaseQuotasEnded>(barrier, &quota.id, &ended, random)?;
            record.quotas.push(quota);
            true
        }
    };
    record
        .quotas
        .sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    store(view, &mut txn, &row, random)?;
    Ok(Plan {
        txn,
        response: counting,
    })
}

fn forget(txn: &mut Txn, id: u64) {
    txn.delete::<LeaseQuotasMade>(&id);
    txn.delete::<LeaseQuotasEnded>(&id);
}

fn shown(view: &View<'_>, quota: LeaseQuotaRecord) -> Result<LeaseCount, QuotaError> {
    let made = view.get::<LeaseQuotasMade>(&quota.id)?;
    let ended = view.get::<LeaseQuotasEnded>(&quota.id)?;
    let count = live(made.as_ref(), ended.as_ref());
    Ok(LeaseCount { quota, count })
}

/// Shows a quota.
///
/// # Errors
/// There is none of this name.
pub fn read_lease_count(permit: &Permit<'_, ReadLeaseCount>) -> Result<LeaseCount, QuotaError> {
    let view = permit.context().view;
    let found = load(view)?.value.quotas.into_iter();
    let mut found = found.filter(|quota| quota.name == permit.action().0);
    shown(view, found.next().ok_or(QuotaError::NotFound)?)
}

/// Lists the quotas by name, a page at a time: those after `after`, at most `limit`.
///
/// # Errors
/// The state can't be read.
pub fn list_lease_counts(
    permit: &Permit<'_, ListLeaseCounts>,
    after: Option<&Path>,
    limit: usize,
) -> Result<LeaseCountPage, QuotaError> {
    let view = permit.context().view;
    let (quotas, next) = page(load(view)?.value.quotas, |quota| &quota.name, after, limit);
    let quotas = quotas.into_iter().map(|quota| shown(view, quota));
    Ok(LeaseCountPage {
        quotas: quotas.collect::<Result<_, _>>()?,
        next,
    })
}

/// Removes a quota. One that doesn't exist is gone already.
///
/// # Errors
/// The state can't be read or sealed.
pub fn delete_lease_count(
    permit: &Permit<'_, DeleteLeaseCount>,
    random: &mut dyn Random,
) -> Result<Plan<()>, QuotaError> {
    let view = permit.context().view;
    let (mut row, mut txn) = (load(view)?, Txn::default());
    let name = &permit.action().0;
    let quotas = &mut row.value.quotas;
    if let Some(at) = quotas.iter().position(|quota| quota.name == *name) {
        forget(&mut txn, quotas.remove(at).id);
        store(view, &mut txn, &row, random)?;
    }
    Ok(Plan { txn, response: () })
}
