//! When one token or lease is renewed next, from what the answers say. It is given the time and
//! chance, and must never count on the server's clock: an end is counted from before the question
//! was sent, so that it is at the server at the same time or later.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{
    RENEWAL_END_MS, RENEWAL_RETRY_FIRST_MS, RENEWAL_RETRY_MS_MAX, RENEWAL_RETRY_SOON_MS,
    RENEWAL_ROOM_MS, RENEWAL_TRY_MS_MAX, RENEWAL_TRY_MS_MIN,
};

/// The plan of one token or lease.
#[derive(Debug)]
pub(super) struct Plan {
    /// When it ends, as far as is known.
    ends_at: Option<Instant>,
    /// The longest life that an answer gave, as long as answers give that.
    granted: Duration,
    /// Answers give less than before: its maximum is in sight.
    capped: bool,
    /// Renewals that failed since the last one that was answered.
    failures: u32,
    /// When it is renewed. `None`: never again, it is watched to its end.
    next: Option<Slot>,
}

/// When something is renewed: together with others from one time on, alone at another.
#[derive(Clone, Copy, Debug)]
struct Slot {
    from: Instant,
    at: Instant,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It has ended: its time is over.
    Ended,
    /// It is renewed now, at the latest.
    Now,
    /// It is renewed then, or now if others are.
    Along(Instant),
    /// Nothing before then. `None`: never.
    Later(Option<Instant>),
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It lives on, and can be renewed again.
    Renewed,
    /// It will not live longer. (Also after something else was told in between.)
    ReachedMax,
    /// The same, and that is what was told last.
    StillAtMax,
}

impl Plan {
    /// It is renewed at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ends_at: None,
            granted: Duration::ZERO,
            capped: false,
            failures: 0,
            next: Some(Slot { from: now, at: now }),
        }
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// What is to be done at this time.
    pub(super) fn due(&self, now: Instant) -> Due {
        if self.ends_at.is_some_and(|end| end <= now) {
            return Due::Ended;
        }
        match self.next {
            Some(slot) if slot.at <= now => Due::Now,
            Some(slot) if slot.from <= now => Due::Along(slot.at),
            Some(slot) => Due::Later(Some(slot.at)),
            None => Due::Later(self.ends_at),
        }
    }

    /// A renewal that was sent at this time gave it so long to live.
    ///
    /// Less than before means that the maximum cut it: it is told then, while there is time to
    /// log in again. It is renewed some more times all the same: the longest life of new leases
    /// may have been made shorter, and then the next answer gives as much as this one.
    pub(super) fn granted(&mut self, sent: Instant, life: Duration, chance: u64) -> Answer {
        let end = sent + life;
        let room = Duration::from_millis(RENEWAL_END_MS);
        // Lives come in whole seconds, so an end that stays seems to move by less than two.
        let moved = self.ends_at.is_none_or(|before| end > before + room);
        let answer = match self.capped {
            false if life >= self.granted => Answer::Renewed,
            false => Answer::ReachedMax,
            true if moved => Answer::Renewed,
            true if self.failures > 0 => Answer::ReachedMax,
            true => Answer::StillAtMax,
        };
        self.capped = answer != Answer::Renewed;
        self.granted = life;
        self.ends_at = Some(end);
        self.failures = 0;
        let is_over = life.is_zero() || (self.capped && life <= room);
        self.next = (!is_over).then(|| {
            let wait = wait(life);
            Slot {
                from: sent + wait * 4 / 5,
                at: sent + wait - jitter(wait / 10, chance),
            }
        });
        answer
    }

    /// A renewal failed, and may be tried again: soon, then ever later, in proportion to what is
    /// left of its life.
    pub(super) fn failed(&mut self, now: Instant, chance: u64) {
        let most = Duration::from_millis(RENEWAL_RETRY_MS_MAX);
        let cap = self.left(now).map_or(most, |left| {
            (left / 8).clamp(Duration::from_millis(RENEWAL_RETRY_SOON_MS), most)
        });
        let wait = Duration::from_millis(RENEWAL_RETRY_FIRST_MS << self.failures.min(16)).min(cap);
        // It isn't slept past its end.
        let end = self.ends_at.unwrap_or(now + wait);
        let at = end.min(now + wait - jitter(wait / 2, chance));
        self.failures = self.failures.saturating_add(1);
        self.next = Some(Slot { from: at, at });
    }

    /// It can't be renewed, and ends then, if that is known.
    pub(super) fn over(&mut self, ends_at: Option<Instant>) {
        self.ends_at = ends_at;
        self.next = None;
    }

    /// How long it lives, as far as is known.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let end = self.ends_at?;
        Some(end.saturating_duration_since(now))
    }
}

/// How long one try may take of what lives so long: there is time for others after it.
pub(super) fn try_limit(left: Option<Duration>) -> Duration {
    let most = Duration::from_millis(RENEWAL_TRY_MS_MAX);
    let least = Duration::from_millis(RENEWAL_TRY_MS_MIN);
    left.map_or(most, |left| (left / 3).clamp(least, most))
}

/// When a life is renewed, counted from its beginning: after two thirds, as Vault's LifetimeWatcher
/// does (api/lifetime_watcher.go), and a short one earlier, at the earliest after one third, as
/// etcd's clients do (client/v3/lease.go), so that a failover fits into what is left.
fn wait(life: Duration) -> Duration {
    let room = Duration::from_millis(RENEWAL_ROOM_MS).min(life * 2 / 3);
    life - room.max(life / 3)
}

/// A random part of a time, so that clients that began together don't come back together.
fn jitter(most: Duration, chance: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(chance % nanos.saturating_add(1).max(1))
}
