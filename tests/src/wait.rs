//! Waiting for a condition, with a bound. No scenario sleeps and hopes.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(15);

/// Polls until `probe` gives a value. After `bound`, returns the last reason it gave.
pub fn try_eventually<T, E>(
    bound: Duration,
    mut probe: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let end = Instant::now() + bound;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(reason) if Instant::now() >= end => return Err(reason),
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Polls until `probe` gives a value; panics with the last reason after `bound`.
pub fn eventually<T, E: Display>(
    what: &str,
    bound: Duration,
    probe: impl FnMut() -> Result<T, E>,
) -> T {
    match try_eventually(bound, probe) {
        Ok(value) => value,
        Err(reason) => panic!("not within {bound:?}: {what}: {reason}"),
    }
}
