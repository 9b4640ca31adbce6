//! The fault-test harness: nodes as real processes, load with a ledger of what was
//! acknowledged, faults (kill, pause, power cut, failpoints, wrong clocks, cut links, a disk
//! that takes nothing), and the checks that must hold afterwards. It never looks inside a
//! node: it judges by what clients were told, by what is on disk after a restart, and by the
//! trace lines a node writes.
//!
//! Every run has a seed. A failing scenario prints it with the command that replays it, and
//! keeps its folder. `TENURE_FAULT_SEED` sets the seed, `TENURE_FAULT_SCALE` (default 1)
//! multiplies the number of rounds: a change runs with 1, the full figures of GUARANTEES.md
//! with 100.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod clockshift;
pub mod cluster;
pub mod control;
pub mod invariants;
pub mod ledger;
pub mod linear;
pub mod load;
pub mod lostwrite;
pub mod ports;
pub mod preload;
pub mod process;
pub mod random;
pub mod scenario;
pub mod server_cluster;
pub mod wait;

pub use cluster::{Cluster, ClusterOptions, Node};
pub use control::{CallError, Control, Status};
pub use ledger::Ledger;
pub use load::Load;
pub use process::Process;
pub use random::Random;
pub use scenario::{Scenario, scale};
pub use wait::{eventually, try_eventually};
