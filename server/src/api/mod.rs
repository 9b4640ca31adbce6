//! The doors. An adapter turns a message of its wire into a call of the pipeline and the
//! answer back; it decides nothing.

pub mod grpc;
