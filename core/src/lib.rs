//! The domain, pure: tokens, leases, policies, the barrier, typed tables over opaque keys.
//!
//! It never touches a file, a clock, a socket or the system's randomness: time
//! ([`types::UnixMillis`]), random bytes ([`random::Random`]) and storage
//! ([`state::Store`]) come in as arguments. So every rule here can be simulated and
//! replayed.

#![forbid(unsafe_code)]

pub mod barrier;
pub mod dedupe;
pub mod event;
pub mod lease;
pub mod mount;
pub mod names;
pub mod policy;
pub mod quota;
pub mod random;
pub mod seal;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod types;
