//! The peer port on loopback: who may speak, who may not, and that raft works through it.

mod access;
mod cluster;
mod support;
mod transport;
