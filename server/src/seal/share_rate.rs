//! How fast key shares may be given to this node: by one address, and by all. Shares can't be
//! guessed; this bounds what trying costs. It keeps addresses and counts, never a share.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    error::Error,
    limits::{
        SHARE_ADDRESSES_MAX, SHARES_AT_ONCE_PER_ADDRESS, SHARES_AT_ONCE_PER_NODE,
        SHARES_PER_SECOND_PER_ADDRESS, SHARES_PER_SECOND_PER_NODE,
    },
};

/// The counts of one node: those whose token may aren't held up by strangers.
#[derive(Default)]
pub struct ShareRate {
    strangers: Bound,
    permitted: Bound,
}

struct Bound(Mutex<Counts>);

struct Counts {
    node: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
    /// Of those whose address isn't known, or that are one too many.
    others: Bucket,
}

/// Fills up by `per_second` to `most`.
struct Bucket {
    left: f64,
    most: f64,
    per_second: f64,
    seen: Instant,
}

impl Bucket {
    fn new(most: u32, per_second: u32, now: Instant) -> Self {
        Self {
            left: most.into(),
            most: most.into(),
            per_second: per_second.into(),
            seen: now,
        }
    }

    fn of_address(now: Instant) -> Self {
        Self::new(
            SHARES_AT_ONCE_PER_ADDRESS,
            SHARES_PER_SECOND_PER_ADDRESS,
            now,
        )
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.seen).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.most);
        self.seen = now;
    }

    /// How long until it has one; zero if it has.
    fn wait(&self) -> Duration {
        Duration::try_from_secs_f64((1.0 - self.left).max(0.0) / self.per_second)
            .unwrap_or(Duration::from_secs(1))
    }
}

impl Default for Bound {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Counts {
            node: Bucket::new(SHARES_AT_ONCE_PER_NODE, SHARES_PER_SECOND_PER_NODE, now),
            addresses: HashMap::new(),
            others: Bucket::of_address(now),
        }))
    }
}

/// The address in `remote`, without its port.
pub fn address_of(remote: &str) -> Option<IpAddr> {
    remote
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| remote.parse())
        .ok()
        .map(|address| address.to_canonical())
}

/// Whoever has an IPv6 address has all of its /64.
fn network_of(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, ..] = v6.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
}

impl ShareRate {
    /// Takes one of the shares that `remote` may give; `permitted`: by the policies of its token.
    ///
    /// # Errors
    /// There is none left: RESOURCE_EXHAUSTED, with when there will be.
    pub fn spend(&self, remote: &str, permitted: bool) -> Result<(), Error> {
        let bound = match permitted {
            true => &self.permitted,
            false => &self.strangers,
        };
        bound
            .spend_at(address_of(remote).map(network_of), Instant::now())
            .map_err(Error::too_many_shares)
    }
}

impl Bound {
    fn spend_at(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts {
            node,
            addresses,
            others,
        } = &mut *counts;
        let is_known = address.is_some_and(|address| addresses.contains_key(&address));
        if !is_known && addresses.len() >= SHARE_ADDRESSES_MAX {
            // Who has used nothing lately is as good as new.
            addresses.retain(|_, bucket| {
                bucket.fill(now);
                bucket.left < bucket.most
            });
        }
        let own = match address {
            Some(address) if is_known || addresses.len() < SHARE_ADDRESSES_MAX => addresses
                .entry(address)
                .or_insert_with(|| Bucket::of_address(now)),
            _ => others,
        };
        own.fill(now);
        node.fill(now);
        let wait = own.wait().max(node.wait());
        if wait > Duration::ZERO {
            return Err(wait);
        }
        own.left -= 1.0;
        node.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(rate: &Bound, address: u32, count: u32, now: Instant) -> u32 {
        let address = Some(IpAddr::V4(address.into()));
        (0..count)
            .map(|_| u32::from(rate.spend_at(address, now).is_ok()))
            .sum()
    }

    #[test]
    fn an_address_has_its_share_and_a_node_its_own() {
        let rate = Bound::default();
        let start = Instant::now();
        assert_eq!(many(&rate, 1, 1_000, start), SHARES_AT_ONCE_PER_ADDRESS);
        let wait = rate.spend_at(Some(IpAddr::V4(1.into())), start);
        let wait = wait.unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
        // Others aren't touched by it.
        assert_eq!(many(&rate, 2, 10, start), 10);
        let later = start + Duration::from_secs(2);
        assert_eq!(
            many(&rate, 1, 1_000, later),
            2 * SHARES_PER_SECOND_PER_ADDRESS
        );
        // All together.
        let taken: u32 = (10..1_000).map(|a| many(&rate, a, 100, later)).sum();
        assert!(taken <= SHARES_AT_ONCE_PER_NODE, "{taken}");
        assert_eq!(many(&rate, 2_000, 10, later), 0);
    }

    #[test]
    fn strangers_take_nothing_from_who_may() {
        let rate = ShareRate::default();
        let spend = |permitted| rate.spend("10.0.0.1:1", permitted);
        while spend(false).is_ok() {}
        assert!(spend(true).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let rate = Bound::default();
        let mut now = Instant::now();
        for address in 0..20_000 {
            now += Duration::from_millis(20);
            many(&rate, address, 1, now);
            let known = rate.0.lock().unwrap().addresses.len();
            assert!(known <= SHARE_ADDRESSES_MAX);
        }
    }

    #[test]
    fn ports_are_no_other_address() {
        assert_eq!(address_of("127.0.0.1:1"), address_of("127.0.0.1:2"));
        assert_eq!(address_of("[::1]:1"), address_of("::1"));
        assert_eq!(address_of("[::ffff:10.0.0.1]:1"), address_of("10.0.0.1:9"));
        assert_eq!(address_of(""), None);
        let network = |text: &str| address_of(text).map(network_of);
        assert_eq!(network("[2001:db8::1]:1"), network("2001:db8::9:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
