//! The shares of a rekey, encrypted to their holders' PGP keys, which the cluster was told to keep.

use super::SealError;
use crate::{
    state::{SharesBackup, SharesBackups, Txn},
    token::{Administer, Permit, Shares},
};

/// The shares that were kept.
///
/// # Errors
/// There are none, or the state can't be read.
pub fn shares_backup(
    permit: &Permit<'_, Administer>,
    of: Shares,
) -> Result<SharesBackup, SealError> {
    let row = permit.context().view.get::<SharesBackups>(&of)?;
    Ok(row.ok_or(SealError::NoBackup)?.value)
}

/// Deletes them; there need not be any.
///
/// # Errors
/// The state can't be read.
pub fn delete_shares_backup(permit: &Permit<'_, Administer>, of: Shares) -> Result<Txn, SealError> {
    let mut txn = Txn::default();
    let found = permit.context().view.mod_revision::<SharesBackups>(&of)?;
    if found.is_some() {
        txn.delete::<SharesBackups>(&of);
    }
    Ok(txn)
}
