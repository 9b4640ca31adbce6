//! Revocation: of one lease, or in one transaction of all under a prefix. From its commit on
//! they are refused everywhere; what it leaves on disk, clean-up removes.

use super::{LeaseError, RevokeLease, RevokePrefix, cleanup::remove, entry::resolve};
use crate::{
    random::Random,
    state::{Leases, PrefixTombstones, Txn, range_of},
    token::{Permit, Plan},
};

/// Revokes a lease.
pub fn revoke(permit: &Permit<'_, RevokeLease>) -> Result<Plan<()>, LeaseError> {
    let lease = resolve(permit.context, &permit.action.0)?;
    let mut txn = Txn::default();
    remove(&mut txn, &lease.row.key, &lease.row.value);
    Ok(Plan { txn, response: () })
}

/// Revokes the leases under a prefix: one tombstone, whatever their number.
pub fn revoke_prefix(
    permit: &Permit<'_, RevokePrefix>,
    random: &mut dyn Random,
) -> Result<Plan<()>, LeaseError> {
    let context = permit.context;
    let barrier = context.view.barrier();
    let prefix = barrier.name_chain(permit.action.0.segments());
    let mut txn = Txn::default();
    // Without a lease there is nothing to mark. One that is granted meanwhile sends the
    // transaction back: the range counts as read.
    let first = context
        .view
        .scan::<Leases>(range_of::<Leases>(prefix.as_bytes()), 1)?;
    if !first.is_empty() {
        txn.insert::<PrefixTombstones>(barrier, &prefix, &context.now, random)?;
    }
    Ok(Plan { txn, response: () })
}
