//! What this node is to the others and to its orchestrator. Never reads or decides on secrets.

pub mod health;
