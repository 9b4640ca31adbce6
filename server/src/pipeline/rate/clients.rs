//! What clients have used, in memory of a fixed size. A client has a slot of its own in one of a few
//! places that its address gives under a key of this process. A slot is given to another client
//! only when it says no more than a new one; who finds none shares a window with others of the same
//! limit. So nobody gets more by pushing others out, or by being pushed out: with more clients in an
//! interval than there are slots, some are refused too early, and none too late.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use tenure_core::quota::{Rule, Verdict, Window};

use crate::limits::{RATE_CLIENTS_SHARDS, RATE_CLIENTS_SLOTS, RATE_SHARED_WINDOWS};

/// Places of one client.
const WAYS: usize = 8;
/// Groups of places in one shard.
const SETS: usize = RATE_CLIENTS_SLOTS / RATE_CLIENTS_SHARDS / WAYS;

#[derive(Clone, Copy, Default)]
struct Slot {
    address: [u8; 16],
    /// The number of the limit.
    rule: u64,
    window: Window,
}

/// One part of the slots, under a lock of its own.
struct Shard {
    slots: Box<[[Slot; WAYS]]>,
    /// What those share who have no slot, by limit and a part of their hash.
    shared: BTreeMap<(u64, usize), Window>,
}

/// All clients.
pub struct Clients {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl Default for Clients {
    fn default() -> Self {
        let shard = || Shard {
            slots: vec![[Slot::default(); WAYS]; SETS].into_boxed_slice(),
            shared: BTreeMap::new(),
        };
        Self {
            shards: (0..RATE_CLIENTS_SHARDS)
                .map(|_| Mutex::new(shard()))
                .collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Clients {
    /// Takes one request of a client.
    pub fn take(&self, rule: &Rule, address: [u8; 16], now_ms: u64) -> Verdict {
        let hash = self.hasher.hash_one((address, rule.id));
        let part = |hash: u64, of: usize| usize::try_from(hash % of as u64).unwrap_or(0);
        let shard = &self.shards[part(hash, RATE_CLIENTS_SHARDS)];
        let hash = hash / RATE_CLIENTS_SHARDS as u64;
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Shard { slots, shared } = &mut *shard;
        let set = &mut slots[part(hash, SETS)];
        let mine = |slot: &Slot| slot.rule == rule.id && slot.address == address;
        if let Some(slot) = set.iter_mut().find(|slot| mine(slot)) {
            return slot.window.take(rule, now_ms);
        }
        let key = (rule.id, part(hash / SETS as u64, RATE_SHARED_WINDOWS));
        let before = shared.get(&key).filter(|window| !window.is_over(now_ms));
        match set.iter_mut().find(|slot| slot.window.is_over(now_ms)) {
            Some(slot) => {
                *slot = Slot {
                    address,
                    rule: rule.id,
                    // It may be one of those who shared: what they used is taken to be its own.
                    window: before.copied().unwrap_or_default(),
                };
                slot.window.take(rule, now_ms)
            }
            None => {
                if before.is_none() {
                    shared.retain(|_, window| !window.is_over(now_ms));
                }
                shared.entry(key).or_default().take(rule, now_ms)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: u64, rate: u32, interval_ms: u64) -> Rule {
        Rule {
            id,
            rate,
            interval_ms,
            block_ms: None,
        }
    }

    fn address(n: u64) -> [u8; 16] {
        u128::from(n).to_be_bytes()
    }

    #[test]
    fn nobody_escapes_however_many_come() {
        let clients = Clients::default();
        let rule = rule(1, 3, 60_000);
        for n in 0..3 {
            assert_eq!(
                clients.take(&rule, address(7), n),
                Verdict::Served(2 - n as u32)
            );
        }
        let crowd = 4 * RATE_CLIENTS_SLOTS as u64;
        let mut served = 0_u64;
        for n in 1_000..1_000 + crowd {
            served += u64::from(matches!(
                clients.take(&rule, address(n), 10),
                Verdict::Served(_)
            ));
        }
        // Most slots were given away before those who share one window had used it up, and what is
        // shared is bounded.
        assert!(served > RATE_CLIENTS_SLOTS as u64 * 2 / 3, "{served}");
        let shared = RATE_CLIENTS_SHARDS * RATE_SHARED_WINDOWS * 3;
        assert!(served <= (RATE_CLIENTS_SLOTS + shared) as u64, "{served}");
        assert!(matches!(
            clients.take(&rule, address(7), 20),
            Verdict::Refused(_)
        ));
        // Those who have shared get no second allowance when places come free.
        for n in 1_000..1_000 + crowd {
            clients.take(&rule, address(n), 30);
            clients.take(&rule, address(n), 30);
        }
        let again = (1_000..1_000 + crowd)
            .filter(|n| matches!(clients.take(&rule, address(*n), 40), Verdict::Served(_)));
        assert_eq!(again.count(), 0);
        // And all of it is over with the interval.
        assert_eq!(clients.take(&rule, address(7), 60_001), Verdict::Served(2));
    }

    #[test]
    fn limits_are_counted_apart_and_memory_is_bounded() {
        let clients = Clients::default();
        let (one, other) = (rule(1, 1, 1_000), rule(2, 1, 1_000));
        assert_eq!(clients.take(&one, address(1), 0), Verdict::Served(0));
        assert_eq!(clients.take(&one, address(1), 1), Verdict::Refused(999));
        assert_eq!(clients.take(&other, address(1), 1), Verdict::Served(0));
        assert_eq!(clients.take(&one, address(2), 1), Verdict::Served(0));
        assert_eq!(clients.take(&one, address(1), 1_000), Verdict::Served(0));
        let slots = RATE_CLIENTS_SLOTS * size_of::<Slot>();
        assert!(slots <= 4 << 20, "{slots}");
        for n in 0..1_000_000 {
            clients.take(&one, address(n), 5_000);
        }
        for shard in &clients.shards {
            assert!(shard.lock().unwrap().shared.len() <= RATE_SHARED_WINDOWS);
        }
    }
}
