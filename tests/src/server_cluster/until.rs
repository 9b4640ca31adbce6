//! Waiting for a condition with a bound, for asynchronous probes.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Outcome;

/// Bound of everything that a healthy cluster does in a second or two.
pub const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Polls until `probe` gives a value; after `bound`, fails with the last reason it gave.
pub async fn until<T, E: Display>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> Outcome<T> {
    let end = Instant::now() + bound;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(reason) if Instant::now() >= end => {
                return Err(format!(
                    "not within {} s: {what}: {reason}",
                    bound.as_secs()
                ));
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Does something for each item, `workers` at a time, and gives the first failure.
pub async fn in_parallel<T, F>(items: Vec<T>, workers: usize, work: impl Fn(T) -> F) -> Outcome<()>
where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    let joined = |done: Result<Outcome<()>, tokio::task::JoinError>| {
        done.unwrap_or_else(|error| Err(format!("a task broke: {error}")))
    };
    for item in items {
        while tasks.len() >= workers.max(1) {
            match tasks.join_next().await {
                Some(done) => joined(done)?,
                None => break,
            }
        }
        tasks.spawn(work(item));
    }
    while let Some(done) = tasks.join_next().await {
        joined(done)?;
    }
    Ok(())
}
