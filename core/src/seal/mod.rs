//! The keys as a cluster changes them: a new barrier key, a new root key with new shares, and
//! how an unsealed node follows. Pure: nothing here commits, or keeps an attempt.
//!
//! **Invariant:** whoever holds the barrier keys up to any term of late can find the root key
//! of today, and by it the keyring; nobody can without one of the two.

mod backup;
mod error;
mod follow;
mod quorum;
mod rekey;
mod rotate;
mod rotation;
mod stored;

pub use backup::{delete_shares_backup, shares_backup};
pub use error::SealError;
pub use follow::{Followed, follow};
pub use quorum::{Quorum, guarding_key};
pub use rekey::{Candidate, has_shares, rekey};
pub use rotate::{KeyStatus, key_status, rotate};
pub use rotation::{WriteRotationConfig, rotate_when_due, rotation_config, write_rotation_config};
pub use stored::{StoredError, open_stored, seal_stored};

#[cfg(test)]
mod tests;
