//! The wait of a call that conflicts again and again. Each commit sends all others of a hot key
//! back; planning again at once, together, they would be busy with nothing else. Never waits
//! past the deadline.

use std::time::Duration;

use tenure_core::random::Random;
use tokio::time::{Instant, sleep_until};

use crate::random::SystemRandom;

/// So many conflicts are ordinary: the next attempt comes at once.
const CONFLICTS_FREE: u32 = 4;
/// Longest wait, milliseconds.
const WAIT_MS_MAX: u64 = 100;

/// The conflicts of one call.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    conflicts: u32,
}

impl Backoff {
    /// To be called after each conflict.
    pub async fn wait(&mut self, deadline: Instant) {
        self.conflicts = self.conflicts.saturating_add(1);
        let bound = self.bound_ms();
        if bound == 0 {
            return;
        }
        let mut drawn = [0; 8];
        SystemRandom.fill(&mut drawn);
        let wait = Duration::from_millis(u64::from_le_bytes(drawn) % (bound + 1));
        sleep_until((Instant::now() + wait).min(deadline)).await;
    }

    /// The next wait is random, up to so many milliseconds.
    fn bound_ms(&self) -> u64 {
        match self.conflicts.checked_sub(CONFLICTS_FREE) {
            None | Some(0) => 0,
            Some(more) => 1_u64
                .checked_shl(more)
                .unwrap_or(WAIT_MS_MAX)
                .min(WAIT_MS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_begin_late_double_and_are_bounded() {
        let bounds = [0, 4, 5, 6, 10, 11, 12, 70, u32::MAX];
        let bounds = bounds.map(|conflicts| Backoff { conflicts }.bound_ms());
        assert_eq!(bounds, [0, 0, 2, 4, 64, 100, 100, 100, 100]);
    }

    #[tokio::test]
    async fn no_wait_passes_the_deadline() {
        let deadline = Instant::now() + Duration::from_millis(3);
        let mut backoff = Backoff::default();
        // A thousand waits of up to 100 ms would take most of a minute.
        let waits = async {
            for _ in 0..1_000 {
                backoff.wait(deadline).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), waits).await;
        assert!(ended.is_ok(), "waited on after the deadline");
    }
}
