//! Lookups that go on beside what is measured, at a fixed rate through all nodes. Each is counted
//! from when it was due, so that a stall is seen by all that it holds up.

use std::{
    cell::RefCell,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tenure_tests::server_cluster::Outcome;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    client::Calls,
    limits::{FOREGROUND_CLIENTS, LATENCY_US_MAX},
    system::System,
};

/// Running lookups; they end when it is dropped.
pub struct Foreground {
    seen: Rc<Seen>,
    _clients: JoinSet<()>,
}

struct Seen {
    latency: RefCell<Histogram<u64>>,
    failed: RefCell<Option<String>>,
}

/// What lookups took.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.1}", self.p50_ms, self.p99_ms)
    }
}

impl Foreground {
    /// Starts lookups of the system's pool, so many a second. Must run in a `LocalSet`.
    ///
    /// # Errors
    /// No connection.
    pub async fn start<S: System>(system: &S, rate: u32) -> Outcome<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        let seen = Rc::new(Seen {
            latency: RefCell::new(latency.map_err(|error| error.to_string())?),
            failed: RefCell::default(),
        });
        let every = Duration::from_secs(FOREGROUND_CLIENTS as u64) / rate.max(1);
        let mut clients = JoinSet::new();
        for number in 0..FOREGROUND_CLIENTS {
            let node = number % system.nodes().max(1);
            let pool = system.pool();
            for mut calls in system.connect(node, 1).await? {
                let (seen, pool) = (Rc::clone(&seen), Rc::clone(&pool));
                // They don't all ask at once.
                let first = every * u32::try_from(number).unwrap_or(0)
                    / u32::try_from(FOREGROUND_CLIENTS).unwrap_or(1);
                clients.spawn_local(async move {
                    tokio::time::sleep(first).await;
                    let mut ticks = interval(every);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                    let mut ended = Instant::now();
                    for token in pool
                        .iter()
                        .cycle()
                        .skip(number * pool.len() / FOREGROUND_CLIENTS)
                    {
                        let due = ticks.tick().await.into_std();
                        // The timer's own lateness isn't the server's.
                        let began = if ended > due { due } else { Instant::now() };
                        if let Err(error) = calls.lookup_self(token).await {
                            seen.failed.borrow_mut().get_or_insert(error);
                        }
                        ended = Instant::now();
                        let took = (ended - began).as_micros();
                        let took = u64::try_from(took).unwrap_or(u64::MAX).max(1);
                        seen.latency.borrow_mut().saturating_record(took);
                    }
                });
            }
        }
        Ok(Self {
            seen,
            _clients: clients,
        })
    }

    /// What was seen since the last time.
    ///
    /// # Errors
    /// A lookup failed.
    pub fn take(&self) -> Outcome<Latency> {
        if let Some(error) = self.seen.failed.borrow_mut().take() {
            return Err(format!("a lookup in the foreground failed: {error}"));
        }
        let mut latency = self.seen.latency.borrow_mut();
        let quantile = |q: f64| latency.value_at_quantile(q) as f64 / 1_000.0;
        let taken = Latency {
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        };
        latency.reset();
        Ok(taken)
    }
}
