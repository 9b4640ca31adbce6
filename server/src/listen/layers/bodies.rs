//! What the bodies of all calls may hold in memory, over all listeners. A body is read before
//! anyone knows whose it is, so that a stranger's counts like everyone's: by the bytes that
//! arrived, not by those announced, which cost nothing yet. Never makes a call wait.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{REQUEST_BODIES_BYTES_MAX, REQUEST_BYTES_FREE};

/// The bytes that all calls share. A clone is the same budget.
#[derive(Clone, Debug)]
pub struct BodyBudget(Arc<Semaphore>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(REQUEST_BODIES_BYTES_MAX)
    }
}

impl BodyBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The share of one call, which holds nothing yet.
    pub(super) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            held: Arc::default(),
        }
    }
}

/// What one call holds of the budget: given back when its last clone goes.
#[derive(Clone, Debug)]
pub(super) struct Share {
    budget: BodyBudget,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Share {
    /// Makes it the share for a message of which `bytes` have arrived. False if that is too much.
    pub fn hold(&self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(REQUEST_BYTES_FREE);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if wanted <= has {
            // The next message of a stream: the one before was taken out of the body.
            drop(held.as_mut().and_then(|held| held.split(has - wanted)));
            return true;
        }
        let Ok(more) = u32::try_from(wanted - has) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.budget.0).try_acquire_many_owned(more) else {
            return false;
        };
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_shrinks_and_is_given_back() {
        let budget = BodyBudget::new(100);
        let (one, other) = (budget.share(), budget.share());
        assert!(one.hold(REQUEST_BYTES_FREE) && one.hold(REQUEST_BYTES_FREE + 60));
        assert!(other.hold(REQUEST_BYTES_FREE + 40) && !other.hold(REQUEST_BYTES_FREE + 41));
        assert!(one.hold(REQUEST_BYTES_FREE + 10));
        assert!(other.hold(REQUEST_BYTES_FREE + 90));
        let clone = other.clone();
        drop(other);
        assert!(!one.hold(REQUEST_BYTES_FREE + 11));
        drop(clone);
        assert!(one.hold(REQUEST_BYTES_FREE + 100));
        drop(one);
        assert_eq!(budget.0.available_permits(), 100);
    }
}
