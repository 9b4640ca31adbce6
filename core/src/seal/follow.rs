//! How a node that is unsealed follows: from the barrier keys that it has to the root key and
//! the keyring of a state. It never asks for shares.

use super::SealError;
use crate::{
    barrier::{Barrier, BarrierError, Keyring, RootKey},
    state::{Keyrings, RootKeys, RootKeysBefore, Store, Table, key_of, read_plain},
};

/// The keys of a state.
pub struct Followed {
    /// The root key.
    pub root: RootKey,
    /// The keyring that it seals.
    pub keyring: Keyring,
}

/// The keys of the state in `store`, for a node that has the keys in `barrier`.
///
/// # Errors
/// The node is too far behind, or the state is another cluster's.
pub fn follow(store: &dyn Store, barrier: &Barrier) -> Result<Followed, SealError> {
    let root = root_key(store, barrier)?;
    let sealed = read_plain::<Keyrings>(store, &())?.ok_or(SealError::Missing(Keyrings::NAME))?;
    let keyring = Keyring::open(&root, &sealed)?;
    Ok(Followed { root, keyring })
}

fn root_key(store: &dyn Store, barrier: &Barrier) -> Result<RootKey, SealError> {
    let key = key_of::<RootKeys>(&());
    let sealed = store.get(&key).map_err(crate::state::ReadError::from)?;
    let sealed = sealed.ok_or(SealError::Missing(RootKeys::NAME))?;
    let opened = match barrier.open(&key, &sealed.value) {
        // A term that this node has missed: there is a copy under the last one that it has.
        Err(BarrierError::UnknownTerm(_)) => {
            let term = barrier.term();
            let copy = read_plain::<RootKeysBefore>(store, &term)?;
            let copy = copy.ok_or(SealError::Missing(RootKeysBefore::NAME))?;
            barrier.open(&key_of::<RootKeysBefore>(&term), &copy)?
        }
        opened => opened?,
    };
    RootKeys::decode(&opened).ok_or(SealError::Missing(RootKeys::NAME))
}
