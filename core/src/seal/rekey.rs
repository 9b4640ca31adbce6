//! New shares: of a new root key, or of a new recovery key where a provider keeps the root key.
//! From the commit on the old ones give nothing.

use super::{
    Quorum, SealError,
    rotate::{copies, open_keyring},
};
use crate::{
    barrier::{
        RootKey,
        shamir::{self, Share, SplitError},
    },
    random::Random,
    state::{
        Keyrings, RecoveryKeys, RootKeys, RootKeysBefore, SealConfig, SealConfigs, StoredRootKeys,
        Table, Txn, View, key_of,
    },
    token::Shares,
    types::UnixMillis,
};

/// A key whose shares were made and that isn't in force yet.
pub struct Candidate {
    of: Shares,
    key: RootKey,
    shares: u8,
    threshold: u8,
}

impl Candidate {
    /// A new key, with its shares.
    ///
    /// # Errors
    /// It can't be split that way.
    pub fn generate(
        of: Shares,
        shares: u8,
        threshold: u8,
        random: &mut dyn Random,
    ) -> Result<(Self, Vec<Share>), SplitError> {
        let key = RootKey::generate(random);
        let split = shamir::split(key.expose(), shares, threshold, random)?;
        let candidate = Self {
            of,
            key,
            shares,
            threshold,
        };
        Ok((candidate, split))
    }

    /// How many shares it has, and how many of them give it.
    pub fn split(&self) -> (u8, u8) {
        (self.shares, self.threshold)
    }

    /// Whether these shares give it.
    pub fn is_given_by(&self, shares: &[Share]) -> bool {
        let combined = shamir::combine(shares).ok();
        let key = combined.and_then(|key| RootKey::from_slice(key.expose()));
        key.is_some_and(|key| key == self.key)
    }

    /// Whether a keyring is sealed by it: then it is in force.
    pub fn is_in_force(&self, view: &View<'_>) -> Result<bool, SealError> {
        let key = match self.of {
            Shares::Root => view.get::<RootKeys>(&())?.map(|row| row.value),
            Shares::Recovery => view.get::<RecoveryKeys>(&())?.map(|row| row.value),
        };
        Ok(key.is_some_and(|key| key == self.key))
    }
}

/// Whether this cluster has such shares.
///
/// # Errors
/// It has none, or the state can't be read.
pub fn check_shares(view: &View<'_>, of: Shares) -> Result<(), SealError> {
    let has_provider = view.mod_revision::<StoredRootKeys>(&())?.is_some();
    match (of, has_provider) {
        (Shares::Root, true) => Err(SealError::NoSuchShares(
            "the root key of this cluster has no shares, a provider keeps it: rekey the recovery \
             shares",
        )),
        (Shares::Recovery, false) => Err(SealError::NoSuchShares(
            "this cluster has no recovery shares: no provider opens it",
        )),
        _ => Ok(()),
    }
}

/// Puts the candidate in force.
///
/// # Errors
/// The shares were changed since the quorum was proven, there are none of this kind, or the
/// state can't be read.
pub fn rekey(
    view: &View<'_>,
    quorum: &Quorum,
    candidate: &Candidate,
    now: UnixMillis,
    random: &mut dyn Random,
) -> Result<Txn, SealError> {
    quorum.check(view)?;
    check_shares(view, candidate.of)?;
    let mut txn = Txn::default();
    let config = SealConfig {
        shares: candidate.shares,
        threshold: candidate.threshold,
        created: now,
    };
    txn.insert_plain::<SealConfigs>(&(), &config)?;
    let (barrier, key) = (view.barrier(), &candidate.key);
    match candidate.of {
        Shares::Recovery => txn.insert::<RecoveryKeys>(barrier, &(), key, random)?,
        Shares::Root => {
            let (_, keyring) = open_keyring(view)?;
            txn.insert_plain::<Keyrings>(&(), &keyring.seal(key, random)?.into())?;
            txn.insert::<RootKeys>(barrier, &(), key, random)?;
            for term in copies(view)? {
                let place = key_of::<RootKeysBefore>(&term);
                let plain = RootKeys::encode(key);
                let copy = barrier.seal_under(term, &place, &plain, random)?;
                txn.insert_plain::<RootKeysBefore>(&term, &copy.into())?;
            }
        }
    }
    Ok(txn)
}
