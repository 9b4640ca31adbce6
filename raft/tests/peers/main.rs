//! The peer port on loopback: who may speak, who may not, and that raft works through it.

// Helpers outside of test functions fail like tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod cluster;
mod support;
mod transport;
