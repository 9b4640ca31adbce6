//! Why keys could not be changed. It never tells which share was wrong.

use crate::{
    barrier::{BarrierError, KeyringError},
    state::ReadError,
};

/// Why keys could not be changed or followed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The shares don't give the key that guards the cluster.
    #[error("the shares do not give the key; at least one of them is wrong. Give them all again")]
    WrongShares,
    /// The shares were changed since the quorum was proven.
    #[error("the shares were changed meanwhile: begin again")]
    Stale,
    /// There are no such shares in this cluster.
    #[error("{0}")]
    NoSuchShares(&'static str),
    /// No encrypted shares are kept.
    #[error("no encrypted shares are kept")]
    NoBackup,
    /// A rotation can't be configured like this.
    #[error("{0}")]
    Rotation(&'static str),
    /// A record that must be there is missing.
    #[error("the record {0} is missing")]
    Missing(&'static str),
    /// The state can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A value can't be sealed or opened.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// The keyring can't be opened by the root key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}
