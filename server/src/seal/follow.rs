//! What a restored state means for the keys in memory: they are replaced by those of the state
//! if they open it, and forgotten if they don't. Never knows a share.

use tenure_core::{
    barrier::{Keyring, KeyringError},
    state::{Keyrings, ReadError, RootKeys, SealConfigs, Store, View, read_plain},
};

use super::keys::{Keys, KeysError, Unsealed};

/// Why keys don't open a state.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// A record of the seal can't be read with them.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It isn't there.
    #[error("the state holds no keyring")]
    Missing,
    /// The keyring is under another root key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The keyring can't be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The keys of a state, opened by keys that are known.
///
/// # Errors
/// They don't open it.
pub fn reopen(known: &Unsealed, state: &dyn Store) -> Result<Unsealed, ReopenError> {
    let sealed = read_plain::<Keyrings>(state, &())?.ok_or(ReopenError::Missing)?;
    let config = read_plain::<SealConfigs>(state, &())?.ok_or(ReopenError::Missing)?;
    let view = View::new(state, &known.barrier);
    let root = view
        .get::<RootKeys>(&())?
        .ok_or(ReopenError::Missing)?
        .value;
    let keyring = Keyring::open(&root, &sealed)?;
    Ok(Unsealed::new(
        &root,
        &keyring,
        config.shares,
        config.threshold,
    )?)
}

/// After a restore, before anyone sees the new state: the keys follow it, or the node is
/// sealed.
pub fn follow(keys: &Keys, state: &dyn Store) {
    let Some(known) = keys.get() else {
        return;
    };
    match reopen(&known, state) {
        Ok(new) => keys.open(new),
        Err(error) => {
            tracing::warn!(%error, "a snapshot made under other keys was restored: sealing");
            keys.lose();
        }
    }
}
