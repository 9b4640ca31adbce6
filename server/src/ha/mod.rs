//! What this node is to the others and to its orchestrator: leadership, forwarding, health.
//! Never reads or decides on secrets.

pub mod forward;
pub mod health;
pub mod leadership;
