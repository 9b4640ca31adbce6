//! The doors. An adapter turns a message of its wire into a call of the pipeline and the
//! answer back; it decides nothing.

mod calls;
mod doors;
pub mod grpc;
pub mod http;
mod paths;

pub use doors::Doors;
pub use paths::Logical;
