//! Cluster time: replicated milliseconds since the epoch that never run backwards.
//!
//! Between entries it advances with a clock that counts suspend. It is corrected only
//! forwards, towards the median of the voters' wall clocks: at once when a majority stands
//! far ahead, slowly when near. Where it is ahead of the median it waits. So one node with
//! a wrong clock, even the active one, expires nothing early.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// Corrections up to this are made slowly, beyond it at once.
pub const NEAR_MS: u64 = 1_000;
/// Differences up to this are left alone: reading the clocks takes as long.
pub const TOLERANCE_MS: u64 = 20;
/// A node whose wall clock is farther from the median than this yields leadership.
pub const SKEW_YIELD_MS: u64 = 10_000;
/// Rate while slowly catching up, and while slightly ahead, in thousandths.
const FAST: u64 = 1_050;
const SLOW: u64 = 950;
const NORMAL: u64 = 1_000;

/// The clocks of this machine.
pub trait WallClock: Send + Sync + 'static {
    /// Wall clock, milliseconds since the epoch.
    fn wall_ms(&self) -> u64;

    /// A clock that never goes back and counts suspend (CLOCK_BOOTTIME).
    fn boottime(&self) -> Duration {
        clock(ClockId::Boottime)
    }
}

/// The machine's own clocks.
pub struct SystemClock;

impl WallClock for SystemClock {
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        millis(since)
    }
}

/// How long the machine has been suspended, in all (CLOCK_BOOTTIME minus CLOCK_MONOTONIC).
/// If it grew during a lease read, the lease may have ended unseen.
pub fn suspended() -> Duration {
    clock(ClockId::Boottime).saturating_sub(clock(ClockId::Monotonic))
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Cluster time as this node knows it. On the active node it is what entries carry; on the
/// others a lower bound, anchored by entries and ReadIndex answers.
pub struct ClusterClock {
    wall: Arc<dyn WallClock>,
    state: Mutex<Anchor>,
}

struct Anchor {
    base_ms: u64,
    base_boot: Duration,
    rate: u64,
    /// Cluster time minus median, as last observed.
    ahead_ms: i64,
    /// Own wall clock minus median, as last observed.
    skew_ms: i64,
}

impl Anchor {
    fn at(&self, boot: Duration) -> u64 {
        let elapsed = millis(boot.saturating_sub(self.base_boot));
        self.base_ms
            .saturating_add(elapsed.saturating_mul(self.rate) / NORMAL)
    }

    fn rebase(&mut self, boot: Duration) -> u64 {
        self.base_ms = self.at(boot);
        self.base_boot = boot;
        self.base_ms
    }
}

impl ClusterClock {
    /// A clock that starts at the time that the state carries.
    pub fn new(wall: Arc<dyn WallClock>, applied_ms: u64) -> Self {
        let base_boot = wall.boottime();
        Self {
            wall,
            state: Mutex::new(Anchor {
                base_ms: applied_ms,
                base_boot,
                rate: NORMAL,
                ahead_ms: 0,
                skew_ms: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cluster time now, milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        let boot = self.wall.boottime();
        self.lock().at(boot)
    }

    /// This node's wall clock, milliseconds since the epoch.
    pub fn wall_ms(&self) -> u64 {
        self.wall.wall_ms()
    }

    /// The clock that counts suspend.
    pub fn boottime(&self) -> Duration {
        self.wall.boottime()
    }

    /// An entry or an answer of the active node carried `time_ms`: never be behind it.
    pub fn anchor(&self, time_ms: u64) {
        let boot = self.wall.boottime();
        let mut anchor = self.lock();
        if anchor.at(boot) < time_ms {
            anchor.base_ms = time_ms;
            anchor.base_boot = boot;
        }
    }

    /// Corrects the clock by the wall clocks of the voters that are known: `known` of
    /// `voters`, this node's own included if it votes. Without a majority nothing changes.
    pub fn observe(&self, known: &[u64], voters: usize) {
        let Some(median) = majority_reached(known, voters) else {
            return;
        };
        let (wall, boot) = (self.wall.wall_ms(), self.wall.boottime());
        let mut anchor = self.lock();
        let now = anchor.rebase(boot);
        anchor.rate = NORMAL;
        if now == 0 || median > now.saturating_add(NEAR_MS) {
            anchor.base_ms = now.max(median);
        } else if median > now + TOLERANCE_MS {
            anchor.rate = FAST;
        } else if now > median.saturating_add(NEAR_MS) {
            anchor.rate = 0;
        } else if now > median + TOLERANCE_MS {
            anchor.rate = SLOW;
        }
        anchor.ahead_ms = difference(anchor.base_ms, median);
        anchor.skew_ms = difference(wall, median);
    }

    /// How far this node's wall clock is from the median of the voters, milliseconds.
    pub fn skew_ms(&self) -> i64 {
        self.lock().skew_ms
    }

    /// How far cluster time is ahead of the median of the voters, milliseconds.
    pub fn ahead_ms(&self) -> i64 {
        self.lock().ahead_ms
    }
}

fn difference(a: u64, b: u64) -> i64 {
    let magnitude = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a >= b { magnitude } else { -magnitude }
}

/// The latest time that a majority of all voters has reached: with all of an odd number
/// known, their median. Unknown clocks count as not there yet.
fn majority_reached(known: &[u64], voters: usize) -> Option<u64> {
    let mut sorted = known.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.get(voters / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Fake {
        wall: AtomicU64,
        boot: AtomicU64,
    }

    impl WallClock for Arc<Fake> {
        fn wall_ms(&self) -> u64 {
            self.wall.load(Ordering::Relaxed)
        }
        fn boottime(&self) -> Duration {
            Duration::from_millis(self.boot.load(Ordering::Relaxed))
        }
    }

    const DAY: u64 = 86_400_000;
    const T: u64 = 1_800_000_000_000;

    fn clock() -> (Arc<Fake>, ClusterClock) {
        let fake = Arc::new(Fake::default());
        fake.wall.store(T, Ordering::Relaxed);
        let clock = ClusterClock::new(Arc::new(Arc::clone(&fake)), T);
        (fake, clock)
    }

    #[test]
    fn one_clock_a_day_ahead_moves_nothing() {
        let (fake, clock) = clock();
        clock.observe(&[T + DAY, T, T], 3);
        assert_eq!(clock.now_ms(), T);
        // The active node's own clock is the wrong one, and one voter is away.
        fake.wall.store(T + DAY, Ordering::Relaxed);
        clock.observe(&[T + DAY, T], 3);
        assert_eq!(clock.now_ms(), T);
        assert_eq!(clock.skew_ms(), DAY as i64);
    }

    #[test]
    fn a_majority_far_ahead_is_followed_at_once() {
        let (_, clock) = clock();
        clock.observe(&[T + DAY, T + DAY + 3, T], 3);
        assert_eq!(clock.now_ms(), T + DAY);
    }

    #[test]
    fn without_a_majority_it_only_advances() {
        let (fake, clock) = clock();
        clock.observe(&[T + DAY], 3);
        fake.boot.store(500, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), T + 500);
    }

    #[test]
    fn ahead_of_the_median_it_waits() {
        let (fake, clock) = clock();
        clock.observe(&[T - DAY; 3], 3);
        fake.boot.store(10_000, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), T);
        assert_eq!(clock.ahead_ms(), DAY as i64);
    }

    #[test]
    fn near_differences_are_made_up_slowly() {
        let (fake, clock) = clock();
        clock.observe(&[T + 500; 3], 3);
        fake.boot.store(1_000, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), T + 1_050);
        clock.observe(&[T + 1_000; 3], 3);
        fake.boot.store(2_000, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), T + 1_050 + 950);
    }

    proptest! {
        /// Never backwards; and never past what a majority has reached by more than the
        /// time that has passed.
        #[test]
        fn never_back_and_never_early(
            steps in prop::collection::vec((0u64..3_000, prop::collection::vec(0u64..2 * DAY, 0..5)), 1..40),
        ) {
            let (fake, clock) = clock();
            let mut last = clock.now_ms();
            let mut bound = last;
            for (pass, offsets) in steps {
                fake.boot.fetch_add(pass, Ordering::Relaxed);
                bound += pass * FAST / NORMAL + 1;
                let known: Vec<u64> = offsets.iter().map(|o| T - DAY + o).collect();
                if let Some(reached) = majority_reached(&known, 5) {
                    bound = bound.max(reached);
                }
                clock.observe(&known, 5);
                let now = clock.now_ms();
                prop_assert!(now >= last);
                prop_assert!(now <= bound);
                last = now;
            }
        }
    }
}
