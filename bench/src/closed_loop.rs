//! A closed loop: each client sends its next call when it has the answer to the last one.
//! Runs on one thread, so that the generator leaves the machine to what it measures; how busy that
//! thread was is part of what comes out.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::{task::JoinSet, time::sleep_until};

use crate::limits::{GENERATOR_SHARE_MAX, LATENCY_US_MAX};

/// A client whose call failed waits so long: a broken peer must not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(5);

/// What a call led to.
pub enum Turn {
    /// It was served.
    Served,
    /// There is nothing left to call with: the measurement ends.
    Exhausted,
}

/// A client.
pub trait Worker: 'static {
    /// Makes one call.
    ///
    /// # Errors
    /// The call failed, for people.
    fn turn(&mut self) -> impl Future<Output = Result<Turn, String>>;
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Calls before it don't count.
    pub warm: Duration,
    /// Calls in it do.
    pub measured: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Served calls a second.
    pub rate: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Calls that failed, those before and after the window too.
    pub failures: u64,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
    /// How much of a core the generator used in the window: 1 is all of it.
    pub generator: f64,
    /// Seconds that were measured, if there was nothing left to call with before half of the
    /// window was over.
    pub cut_short: Option<f64>,
}

impl Sample {
    /// Whether it tells about the generator rather than about what it called.
    pub fn is_generator_bound(&self) -> bool {
        self.generator > GENERATOR_SHARE_MAX
    }

    /// The one with the median rate.
    pub fn median(mut samples: Vec<Sample>) -> Option<Sample> {
        samples.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let middle = samples.len() / 2;
        samples.into_iter().nth(middle)
    }
}

struct Tally {
    latency: Histogram<u64>,
    failures: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn fail(&mut self, reason: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(reason);
    }
}

/// A moment, and the time that this thread had worked until then.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    worked: Duration,
}

impl Mark {
    fn now() -> Self {
        let worked = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(worked.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(worked.tv_nsec).unwrap_or_default();
        Self {
            at: Instant::now(),
            worked: Duration::new(seconds, nanos),
        }
    }

    /// The share of a core since an earlier mark.
    fn share_since(self, earlier: Self) -> f64 {
        let worked = self.worked.saturating_sub(earlier.worked);
        let wall = self.at.saturating_duration_since(earlier.at);
        worked.as_secs_f64() / wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Runs the clients for the window and tells what came out. Must run in a `LocalSet`.
///
/// # Errors
/// A client broke, or nothing was measured.
pub async fn measure<W: Worker>(workers: Vec<W>, window: Window) -> Result<Sample, String> {
    let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
    let tally = Rc::new(RefCell::new(Tally {
        latency: histogram.map_err(|error| error.to_string())?,
        failures: 0,
        first_failure: None,
    }));
    let stop = Rc::new(Cell::new(false));
    let last = Rc::new(Cell::new(Instant::now()));
    let from = Instant::now() + window.warm;
    let until = from + window.measured;
    let mut clients = JoinSet::new();
    // Whoever ends first marks the end: afterwards the thread only waits for the last answers.
    let ended = Rc::new(Cell::new(None));
    let begun = tokio::task::spawn_local(async move {
        sleep_until(from.into()).await;
        Mark::now()
    });
    for mut worker in workers {
        let (tally, stop, last) = (Rc::clone(&tally), Rc::clone(&stop), Rc::clone(&last));
        let mark = Rc::clone(&ended);
        clients.spawn_local(async move {
            while !stop.get() {
                let began = Instant::now();
                if began >= until {
                    break;
                }
                let turn = worker.turn().await;
                let ended = Instant::now();
                match turn {
                    Ok(Turn::Served) if ended >= from && ended < until => {
                        let took = u64::try_from((ended - began).as_micros()).unwrap_or(u64::MAX);
                        tally.borrow_mut().latency.saturating_record(took.max(1));
                        last.set(ended);
                    }
                    Ok(Turn::Served) => {}
                    Ok(Turn::Exhausted) => stop.set(true),
                    Err(reason) => {
                        tally.borrow_mut().fail(reason);
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
            }
            mark.set(mark.get().or_else(|| Some(Mark::now())));
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| format!("a client broke: {error}"))?;
    }
    let begun = begun.await.map_err(|error| error.to_string())?;
    let generator = ended.get().map_or(0.0, |end| end.share_since(begun));
    let end = if stop.get() { last.get() } else { until };
    let seconds = end.saturating_duration_since(from).as_secs_f64();
    let tally = tally.borrow();
    if tally.latency.is_empty() || seconds <= 0.0 {
        let why = tally.first_failure.clone();
        return Err(why.unwrap_or_else(|| "no call ended while it was measured".to_owned()));
    }
    let quantile = |q: f64| tally.latency.value_at_quantile(q) as f64 / 1_000.0;
    Ok(Sample {
        rate: tally.latency.len() as f64 / seconds,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        failures: tally.failures,
        first_failure: tally.first_failure.clone(),
        generator,
        cut_short: (seconds < window.measured.as_secs_f64() / 2.0).then_some(seconds),
    })
}
