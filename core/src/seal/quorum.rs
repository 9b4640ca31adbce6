//! The proof that a quorum of key holders stands behind something. It tells right from wrong
//! and nothing more.

use super::SealError;
use crate::{
    barrier::{
        RootKey,
        shamir::{self, Share},
    },
    state::{RecoveryKeys, RootKeys, SealConfigs, Table, View},
};

/// The quorum was proven, against the shares of one revision. Only [`Quorum::prove`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Quorum {
    shares_revision: u64,
}

impl Quorum {
    /// Whether these shares give the key that guards the cluster.
    ///
    /// # Errors
    /// They don't, or the state can't be read.
    pub fn prove(view: &View<'_>, shares: &[Share]) -> Result<Self, SealError> {
        let shares_revision = shares_revision(view)?;
        let expected = guarding_key(view)?;
        let combined = shamir::combine(shares).map_err(|_| SealError::WrongShares)?;
        let given = RootKey::from_slice(combined.expose()).ok_or(SealError::WrongShares)?;
        if given == expected {
            Ok(Self { shares_revision })
        } else {
            Err(SealError::WrongShares)
        }
    }

    /// Whether the shares that proved it are still the cluster's.
    pub(super) fn check(&self, view: &View<'_>) -> Result<(), SealError> {
        if shares_revision(view)? == self.shares_revision {
            Ok(())
        } else {
            Err(SealError::Stale)
        }
    }
}

fn shares_revision(view: &View<'_>) -> Result<u64, SealError> {
    let revision = view.mod_revision::<SealConfigs>(&())?;
    revision.ok_or(SealError::Missing(SealConfigs::NAME))
}

/// The key that the shares of this cluster give: the recovery key where there is one, else the
/// root key.
///
/// # Errors
/// The state can't be read.
pub fn guarding_key(view: &View<'_>) -> Result<RootKey, SealError> {
    if let Some(recovery) = view.get::<RecoveryKeys>(&())? {
        return Ok(recovery.value);
    }
    let root = view.get::<RootKeys>(&())?;
    Ok(root.ok_or(SealError::Missing(RootKeys::NAME))?.value)
}
