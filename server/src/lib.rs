//! The Tenure process: what turns requests into decisions and decisions into commits.
//!
//! The edge (`config`, `listen`, `telemetry`, `ha::health`) decides nothing about tokens or
//! policies: it bounds, names and measures what comes in, and hands it on.

pub mod config;
pub mod ha;
pub mod limits;
pub mod listen;
pub mod telemetry;
