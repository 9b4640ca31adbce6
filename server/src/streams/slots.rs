//! How many streams there are, of a node and of a token.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tenure_core::barrier::TokenHash;

use crate::{
    error::Error,
    limits::{STREAMS_MAX, STREAMS_PER_TOKEN_MAX},
};

#[derive(Default)]
struct Counts {
    all: usize,
    of: BTreeMap<TokenHash, usize>,
}

/// The counts.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<Counts>>);

/// One stream, counted until it is dropped.
pub(super) struct Slot {
    slots: Slots,
    token: TokenHash,
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a stream, if there is room for it.
    pub(super) fn enter(&self, token: TokenHash) -> Result<Slot, Error> {
        let mut counts = self.lock();
        let of_token = counts.of.get(&token).copied().unwrap_or(0);
        if counts.all >= STREAMS_MAX || of_token >= STREAMS_PER_TOKEN_MAX {
            return Err(Error::too_many_streams());
        }
        counts.all += 1;
        counts.of.insert(token, of_token + 1);
        Ok(Slot {
            slots: self.clone(),
            token,
        })
    }

    /// Whether there is no stream.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().all == 0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.lock();
        counts.all = counts.all.saturating_sub(1);
        match counts.of.get_mut(&self.token) {
            Some(left) if *left > 1 => *left -= 1,
            _ => {
                counts.of.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(n: u16) -> TokenHash {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        TokenHash::from_slice(&bytes).unwrap()
    }

    #[test]
    fn one_token_can_not_take_all_and_all_are_bounded() {
        let slots = Slots::default();
        let mut held: Vec<Slot> = (0..STREAMS_PER_TOKEN_MAX)
            .map(|_| slots.enter(token(0)).unwrap())
            .collect();
        assert!(slots.enter(token(0)).is_err());
        let others = 1..=u16::try_from(STREAMS_MAX - STREAMS_PER_TOKEN_MAX).unwrap();
        held.extend(others.map(|n| slots.enter(token(n)).unwrap()));
        assert!(slots.enter(token(u16::MAX)).is_err());
        held.remove(0);
        held.push(slots.enter(token(0)).unwrap());
        drop(held);
        assert!(slots.is_empty());
        assert!(slots.lock().of.is_empty());
    }
}
