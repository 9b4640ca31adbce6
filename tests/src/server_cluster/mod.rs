//! Clusters of the real program: each node is a process `tenure server` with its own data
//! folder, TLS certificate, ports and logs. Tests and the demo speak to them through the SDK
//! alone, as every client does, and act on their processes with signals.
//!
//! Everything here answers with an [`Outcome`]: the demo is not a test, and says what went
//! wrong in a sentence.

mod certificates;
mod cluster;
mod network;
mod node;
mod traffic;
mod until;

use std::path::PathBuf;

pub use certificates::Authority;
pub use cluster::{Keys, ServerCluster, ServerOptions};
pub use network::{Host, Network, may_make_networks};
pub use node::{ServerNode, refused_token};
pub use traffic::{Notes, Traffic};
pub use until::{SOON, in_parallel, until};

/// A result whose error is a sentence for people.
pub type Outcome<T> = Result<T, String>;

/// The program under test: beside (or one folder above) the running test or demo, where
/// cargo puts it. `TENURE_TEST_BINARY` names another one.
pub fn tenure_binary() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("TENURE_TEST_BINARY") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join("tenure"))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "there is no program `tenure` beside {}: build it first (`make build`; `make test` \
             and `make demo` do it themselves)",
            own.display()
        )
    })
}
