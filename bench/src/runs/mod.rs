//! What can be measured, one file each.

pub mod expiry;
pub mod failover;
pub mod operations;
pub mod ready;
pub mod steady;
pub mod tree;

use std::{path::Path, time::Duration};

use futures_util::{StreamExt, stream};
use tempfile::TempDir;
use tenure_tests::server_cluster::Outcome;

use crate::{
    limits::{FILL_CLIENTS, HOUR},
    operation::Through,
    tenure::{Tenure, grant},
};

/// A folder for data and logs, gone when it is dropped.
fn folder(dir: &Path) -> Outcome<TempDir> {
    let mut made = tempfile::Builder::new();
    let made = made.prefix("tenure-bench-").tempdir_in(dir);
    made.map_err(|error| format!("a folder in {}: {error}", dir.display()))
}

/// The middle one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1_000.0)
}

/// Grants `count` leases of an hour.
async fn fill(tenure: &mut Tenure, count: usize) -> Outcome<()> {
    let node = tenure.node(Through::Active).await?;
    let client = tenure.cluster.root_at(node)?;
    let grants = stream::iter(0..count).map(|_| client.grant_lease(grant(HOUR)));
    let mut grants = grants.buffer_unordered(FILL_CLIENTS);
    while let Some(granted) = grants.next().await {
        granted.map_err(|error| format!("grant: {error}"))?;
    }
    Ok(())
}
