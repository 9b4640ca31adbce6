//! New shares: of a new root key, or of a new recovery key where a provider keeps the root key; and a
//! new root key for such a provider to keep. From the commit on the old ones give nothing.

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
        Keyrings, RecoveryKeys, RootKeys, RootKeysBefore, SealConfig, SealConfigs, SharesBackup,
        SharesBackups, StoredRootKey, StoredRootKeys, Table, Txn, View, key_of,
    },
    token::Shares,
    types::UnixMillis,
};

/// A key that was made and isn't in force yet.
pub struct Candidate {
    of: Shares,
    key: RootKey,
    guard: Guard,
    kept: Option<SharesBackup>,
}

/// What gives the key.
enum Guard {
    /// So many shares, of which so many are needed.
    Shares(u8, u8),
    /// The provider that sealed it.
    Provider(StoredRootKey),
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
            guard: Guard::Shares(shares, threshold),
            kept: None,
        };
        Ok((candidate, split))
    }

    /// A root key that a provider has sealed: it has no shares.
    pub fn of_provider(key: RootKey, stored: StoredRootKey) -> Self {
        Self {
            of: Shares::Root,
            key,
            guard: Guard::Provider(stored),
            kept: None,
        }
    }

    /// Its shares, encrypted, are to be kept once they are in force.
    pub fn keep(&mut self, backup: SharesBackup) {
        self.kept = Some(backup);
    }

    /// How many shares it has, and how many of them give it.
    pub fn split(&self) -> (u8, u8) {
        match self.guard {
            Guard::Shares(shares, threshold) => (shares, threshold),
            Guard::Provider(_) => (0, 0),
        }
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

/// Whether this key of the cluster has shares; if not, a provider keeps it.
///
/// # Errors
/// There is no such key, or the state can't be read.
pub fn has_shares(view: &View<'_>, of: Shares) -> Result<bool, SealError> {
    let has_provider = view.mod_revision::<StoredRootKeys>(&())?.is_some();
    match (of, has_provider) {
        (Shares::Root, true) => Ok(false),
        (Shares::Recovery, false) => Err(SealError::NoSuchShares(
            "this cluster has no recovery shares: no provider opens it",
        )),
        _ => Ok(true),
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
    let has_shares = has_shares(view, candidate.of)?;
    let mut txn = Txn::default();
    match &candidate.guard {
        Guard::Shares(shares, threshold) if has_shares => {
            let config = SealConfig {
                shares: *shares,
                threshold: *threshold,
                created: now,
            };
            txn.insert_plain::<SealConfigs>(&(), &config)?;
        }
        // The shares in force are those of the recovery key, which stays.
        Guard::Provider(stored) if !has_shares => {
            txn.insert_plain::<StoredRootKeys>(&(), stored)?;
        }
        _ => return Err(SealError::Stale),
    }
    let (barrier, key) = (view.barrier(), &candidate.key);
    if let Some(kept) = &candidate.kept {
        txn.insert::<SharesBackups>(barrier, &candidate.of, kept, random)?;
    }
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
