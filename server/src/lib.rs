//! The Tenure process: what turns requests into decisions and decisions into commits.
//!
//! The edge (`config`, `listen`, `telemetry`, `ha::health`) decides nothing about tokens or
//! policies: it bounds, names and measures what comes in, and hands it on to the `pipeline`.

pub mod api;
pub mod config;
pub mod engines;
pub mod error;
pub mod expiration;
pub mod ha;
pub mod limits;
pub mod listen;
pub mod pipeline;
mod process;
mod random;
pub mod run;
pub mod seal;
pub mod streams;
pub mod telemetry;

pub use run::{Dev, DevReady, RunError, dev, serve};
