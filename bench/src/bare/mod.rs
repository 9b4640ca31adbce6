//! The bare stack: tonic, the replicated store and RocksDB, without tokens, policies and
//! barrier. What Tenure is measured against on the same machine in the same run.

mod cluster;
mod node;

/// The generated service.
#[allow(missing_docs, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("tenure.bench.bare");
}

pub use cluster::{Bare, Call};
pub use node::{NodeArguments, run};
