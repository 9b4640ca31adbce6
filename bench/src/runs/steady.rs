//! Full load for minutes: no election without a cause, no failed call.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tenure_tests::server_cluster::Outcome;

use super::folder;
use crate::{
    closed_loop::Window,
    metrics::{scrape, value},
    operation::{Operation, Through},
    tenure::Tenure,
};

/// How long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Clients at once
    #[arg(long, default_value_t = 64)]
    clients: usize,
}

/// One piece of the load; after each the term is looked at.
const PIECE: Duration = Duration::from_secs(15);

/// Runs the load and fails when the term changed or a call failed.
///
/// # Errors
/// As said.
pub async fn run(arguments: Arguments, dir: &Path) -> Outcome<()> {
    let folder = folder(dir)?;
    let mut tenure = Tenure::start(folder.path(), 3, false).await?;
    let term = terms(&tenure).await?;
    let end = Instant::now() + Duration::from_secs(arguments.minutes * 60);
    let (mut calls, mut pieces) = (0.0, 0_usize);
    while Instant::now() < end {
        let operation = match pieces % 3 {
            0 => Operation::Create,
            1 => Operation::RenewSelf,
            _ => Operation::GrantLease,
        };
        let window = Window {
            warm: Duration::ZERO,
            measured: PIECE,
        };
        let measured = tenure.measure(operation, Through::Active, arguments.clients, window);
        let (sample, _) = measured.await?;
        if let Some(reason) = sample.first_failure {
            return Err(format!("{} calls failed: {reason}", sample.failures));
        }
        let now = terms(&tenure).await?;
        if now != term {
            return Err(format!(
                "an election without a cause: terms {term:?}, now {now:?}"
            ));
        }
        println!("{operation}: {:.0} a second, term {term:?}", sample.rate);
        calls += sample.rate * PIECE.as_secs_f64();
        pieces += 1;
    }
    println!(
        "{} minutes, {} clients, {calls:.0} writes: no election, no failed call",
        arguments.minutes, arguments.clients
    );
    Ok(())
}

async fn terms(tenure: &Tenure) -> Outcome<Vec<u64>> {
    let mut terms = Vec::new();
    for node in &tenure.cluster.nodes {
        let values = scrape(node.metrics).await?;
        terms.push(value(&values, "tenure_raft_term")? as u64);
    }
    Ok(terms)
}
