//! Events: what happened to leases and tokens, in the order of its commits. They are told by the
//! transactions that do what they tell ([`Txn::tell`](crate::state::Txn::tell)), and are read
//! here, for those who may know, and deleted, within bounds. Nothing here waits.
//!
//! **Invariant:** the end of a lease is told exactly once, by the transaction that deletes its
//! record; whoever reads an event at its revision or later can read what it tells.

mod read;
mod tidy;
mod watch;

pub use read::{floor, page};
pub use tidy::{Tidied, Tidy};
pub use watch::{WatchLeases, Watched};

#[cfg(test)]
mod tests;
