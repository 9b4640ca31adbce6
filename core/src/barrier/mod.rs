//! The barrier: bytes in, bytes out. All that is stored passes through it; nothing below
//! it sees a name or a value in clear. It stores nothing itself.

pub mod aead;
mod batch;
pub mod join;
mod keyring;
mod names;
mod sealed;
pub mod shamir;

pub use batch::{BATCH_OVERHEAD_BYTES, BatchKey};
pub use keyring::{Keyring, KeyringError, RootKey};
pub use names::{AccessorHash, NameChain, NameHash, RequestHash, TokenHash};
pub use sealed::{Barrier, BarrierError};
