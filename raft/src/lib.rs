//! The replicated store: openraft over RocksDB, transactions with optimistic conflict
//! detection, snapshots as streamed checkpoints, and the peer transport (mutual TLS pinned
//! to the membership).
//!
//! **Invariant:** this crate replicates opaque bytes. It knows no token, no lease, no key
//! and no policy, and it works on a sealed node; nothing above it touches RocksDB or
//! openraft.

pub mod backup;
pub mod batch;
pub mod clock;
pub mod codec;
pub mod files;
pub mod identity;
pub mod limits;
pub mod log;
pub mod marker;
pub mod network;
pub mod node;
pub mod options;
pub mod peer_server;
pub mod peers;
pub mod reads;
pub mod resolver;
pub mod rocks;
pub mod snapshot;
pub mod state;
pub mod tls;
pub mod txn;
pub mod types;
pub mod view;
