//! A new barrier key: it seals all that is written from then on; what was sealed before stays
//! readable.

use super::{SealError, rotation::operations};
use crate::{
    barrier::{Barrier, Keyring, RootKey},
    random::Random,
    state::{Keyrings, RootKeys, RootKeysBefore, Table, Txn, View, key_of, range_of},
    token::{Administer, Permit},
    types::{UnixMillis, limits::TERMS_FOLLOWED},
};

/// The barrier key that seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its term; the first one is 1.
    pub term: u32,
    /// When it was made.
    pub created: UnixMillis,
    /// Transactions that were carried out since.
    pub operations: u64,
}

pub(super) fn open_keyring(view: &View<'_>) -> Result<(RootKey, Keyring), SealError> {
    let root = view.get::<RootKeys>(&())?;
    let root = root.ok_or(SealError::Missing(RootKeys::NAME))?.value;
    let sealed = view.get::<Keyrings>(&())?;
    let sealed = sealed.ok_or(SealError::Missing(Keyrings::NAME))?;
    let keyring = Keyring::open(&root, &sealed.value)?;
    Ok((root, keyring))
}

/// Which barrier key seals.
///
/// # Errors
/// The state can't be read.
pub fn key_status(permit: &Permit<'_, Administer>) -> Result<KeyStatus, SealError> {
    let view = permit.context().view;
    let (_, keyring) = open_keyring(view)?;
    Ok(KeyStatus {
        term: keyring.term(),
        created: keyring.term_created(),
        operations: operations(view, &keyring)?,
    })
}

/// Adds a barrier key.
///
/// # Errors
/// The state can't be read.
pub fn rotate(permit: &Permit<'_, Administer>, random: &mut dyn Random) -> Result<Txn, SealError> {
    let context = permit.context();
    add_key(context.view, context.now, random)
}

pub(super) fn add_key(
    view: &View<'_>,
    now: UnixMillis,
    random: &mut dyn Random,
) -> Result<Txn, SealError> {
    let (root, before) = open_keyring(view)?;
    let after = before.rotated(now, view.revision(), random);
    let barrier = Barrier::new(&after)?;
    let mut txn = Txn::default();
    txn.insert_plain::<Keyrings>(&(), &after.seal(&root, random)?.into())?;
    txn.insert::<RootKeys>(&barrier, &(), &root, random)?;
    // Who has the keys up to this term finds the root key by it.
    let term = before.term();
    let key = key_of::<RootKeysBefore>(&term);
    let copy = view
        .barrier()
        .seal_under(term, &key, &RootKeys::encode(&root), random)?;
    txn.insert_plain::<RootKeysBefore>(&term, &copy.into())?;
    if let Some(oldest) = term.checked_sub(TERMS_FOLLOWED) {
        txn.delete::<RootKeysBefore>(&oldest);
    }
    Ok(txn)
}

/// The copies of the root key that must be written anew when it changes.
pub(super) fn copies(view: &View<'_>) -> Result<Vec<u32>, SealError> {
    let range = range_of::<RootKeysBefore>(&[]);
    let most = TERMS_FOLLOWED as usize + 1;
    let rows = view.scan::<RootKeysBefore>(range, most)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
