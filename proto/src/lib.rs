//! The contract: what clients call (`v1`) and what nodes say to one another and keep on
//! disk (`internal`). Generated from the `.proto` files beside this crate's manifest; it
//! must never hold logic.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

mod redact;

/// The public services: tokens, leases, secrets, mounts, seal, cluster.
pub mod v1 {
    tonic::include_proto!("tenure.v1");

    /// Descriptor set of the public services, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/tenure_v1.bin"));
}

/// Node to node, and on disk.
pub mod internal {
    tonic::include_proto!("tenure.internal.v1");
}

/// The typed records of the replicated state: what the barrier seals.
pub mod state {
    tonic::include_proto!("tenure.state.v1");
}
