//! What apply tells the expiration manager: the earliest expiry that was written since it
//! looked last. A lease may be written in front of the manager's cursor (a renewal that
//! shortens, a short lease that was planned some seconds before it was committed), and must
//! neither be passed over nor wait. It holds one number, however many leases there are.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use tenure_core::types::UnixMillis;
use tokio::{sync::Notify, time::timeout};

/// Nothing was written.
const NONE: u64 = u64::MAX;
/// Nobody waits.
const AWAKE: u64 = 0;

/// Between apply, which writes, and the manager, which looks and waits.
pub struct DueHead {
    earliest: AtomicU64,
    /// The latest revision that wrote one.
    revision: AtomicU64,
    /// The manager sleeps, and is to be woken by what ends before this.
    wake_before: AtomicU64,
    wake: Notify,
}

impl Default for DueHead {
    fn default() -> Self {
        Self {
            earliest: AtomicU64::new(NONE),
            revision: AtomicU64::new(0),
            wake_before: AtomicU64::new(AWAKE),
            wake: Notify::new(),
        }
    }
}

impl DueHead {
    /// A row that ends at `at` was written by the transaction of `revision`. Called a moment
    /// before that can be read.
    pub fn written(&self, at: UnixMillis, revision: u64) {
        self.revision.fetch_max(revision, SeqCst);
        self.earliest.fetch_min(at.get(), SeqCst);
        // After the store above: either this sees the sleeper, or the sleeper sees that.
        if at.get() < self.wake_before.load(SeqCst) {
            self.wake.notify_one();
        }
    }

    /// There is something to clean up.
    pub fn revoked(&self) {
        self.wake.notify_one();
    }

    /// The earliest that was written since the last time, and the revision from which on it
    /// can be read. Call it before a state is pinned, and [`Self::pinned`] after.
    pub fn take(&self) -> Option<(UnixMillis, u64)> {
        let earliest = self.earliest.swap(NONE, SeqCst);
        (earliest != NONE).then(|| (UnixMillis::new(earliest), self.revision.load(SeqCst)))
    }

    /// A state of `revision` was pinned. If what was told before can't be read in it, it is told
    /// again: the next step must look there once more.
    pub fn pinned(&self, told: Option<(UnixMillis, u64)>, revision: u64) {
        if let Some((earliest, written)) = told
            && revision < written
        {
            self.written(earliest, written);
        }
    }

    /// Waits for so long, or until something that ends before `until` is written, or there is
    /// something to clean up.
    pub async fn wait(&self, until: UnixMillis, at_most: Duration) {
        self.wake_before.store(until.get(), SeqCst);
        if self.earliest.load(SeqCst) >= until.get() {
            let _ = timeout(at_most, self.wake.notified()).await;
        }
        self.wake_before.store(AWAKE, SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinHandle, time::Instant};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(ms)
    }

    #[test]
    fn the_earliest_is_told_once() {
        let head = DueHead::default();
        assert_eq!(head.take(), None);
        head.written(at(7), 3);
        head.written(at(5), 3);
        head.written(at(9), 3);
        assert_eq!(head.take(), Some((at(5), 3)));
        assert_eq!(head.take(), None);
    }

    /// Apply tells of a row a moment before it can be read. A step that pins its state in
    /// between doesn't find it; it must not be the last one to look.
    ///
    /// Planted bug: what was told is not told again. Caught: nothing was left to look at.
    #[test]
    fn what_can_not_be_read_yet_is_told_again() {
        let head = DueHead::default();
        head.written(at(5), 9);
        let told = head.take();
        head.pinned(told, 8);
        assert_eq!(head.take(), Some((at(5), 9)));
        // Something earlier was written meanwhile: both are told.
        head.written(at(3), 10);
        head.pinned(told, 8);
        assert_eq!(head.take(), Some((at(3), 10)));
        head.pinned(told, 9);
        head.pinned(None, 0);
        assert_eq!(head.take(), None);
    }

    /// Waits on the side; the answer is whether it was woken, not late.
    fn waits(head: &Arc<DueHead>, until: u64, most: Duration) -> JoinHandle<bool> {
        let head = Arc::clone(head);
        tokio::spawn(async move {
            let start = Instant::now();
            head.wait(at(until), most).await;
            start.elapsed() < most
        })
    }

    #[tokio::test]
    async fn only_what_comes_earlier_wakes() {
        let head = Arc::new(DueHead::default());
        let sleeper = waits(&head, 100, Duration::from_millis(50));
        tokio::task::yield_now().await;
        head.written(at(100), 3);
        assert!(!sleeper.await.unwrap());

        assert_eq!(head.take(), Some((at(100), 3)));
        let sleeper = waits(&head, 100, LONG);
        tokio::task::yield_now().await;
        head.written(at(99), 3);
        assert!(sleeper.await.unwrap());
        // It was written before the wait began.
        assert!(waits(&head, 100, LONG).await.unwrap());

        let sleeper = waits(&head, 50, LONG);
        tokio::task::yield_now().await;
        head.revoked();
        assert!(sleeper.await.unwrap());
    }
}
