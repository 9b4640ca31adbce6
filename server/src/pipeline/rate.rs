//! Rate limits at work, on this node alone: before anything is known of a caller but its address,
//! so that guessing tokens is limited, too. A request that a standby passes on was counted there.
//!
//! The limits are read from this node's own state when apply has changed them: on a standby that
//! is when it has the change. They hold names, so what was made ready goes with the keys.

mod clients;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tenure_core::{
    quota::{RateRules, Verdict},
    state::{RateLimits, TAG, Table, View},
};
use tenure_raft::{node::Node, state::Change};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use self::clients::Clients;
use super::store::StateView;
use crate::{error::Error, seal::Unsealed};

/// The limits, made ready.
#[derive(Default)]
pub struct Ready(ArcSwapOption<Rules>);

/// The limits and the state that they were read from.
struct Rules {
    /// How often the whole state was replaced before.
    epoch: u64,
    revision: u64,
    rules: RateRules,
}

/// What this node knows of its clients, and whether the limits have changed.
pub struct RateGate {
    /// How often the whole state was replaced.
    epoch: AtomicU64,
    /// The revision of the last change.
    changed: AtomicU64,
    /// Made when there is a limit.
    clients: OnceLock<Clients>,
    began: Instant,
}

impl Default for RateGate {
    fn default() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            clients: OnceLock::new(),
            began: Instant::now(),
        }
    }
}

/// What answers tell of the limit, if they do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told(Option<(u32, u32)>);

impl Told {
    /// Adds it to an answer.
    pub fn tell(self, headers: &mut MetadataMap) {
        if let Some((limit, left)) = self.0 {
            headers.insert("x-ratelimit-limit", limit.into());
            headers.insert("x-ratelimit-remaining", left.into());
        }
    }
}

/// A request that is refused: when to come again, and what its answer tells.
pub struct Limited {
    /// When the next one may be served.
    pub after: Duration,
    /// Whether the answer tells the limit.
    pub told: Told,
}

impl Limited {
    /// The refusal.
    pub fn error(&self) -> Error {
        Error::rate_limited(self.after)
    }

    /// Adds to the refusal what it tells.
    pub fn tell(&self, headers: &mut MetadataMap) {
        self.told.tell(headers);
        if self.told.0.is_some() {
            let seconds = self.after.as_millis().div_ceil(1_000);
            headers.insert(
                "retry-after",
                u64::try_from(seconds).unwrap_or(u64::MAX).into(),
            );
        }
    }
}

impl RateGate {
    /// Apply has changed these keys, up to this revision. It comes before a view shows them: what
    /// is read from an older one is read again.
    pub fn applied(&self, changes: &[Change], revision: u64) {
        let concerns = |key: &[u8]| key.starts_with(&[TAG, RateLimits::ID]);
        let changed = changes.iter().any(|change| match change {
            Change::Put { key, .. } | Change::Delete { key, .. } => concerns(key),
            Change::DeleteRange { .. } => false,
        });
        if changed {
            self.changed.fetch_max(revision, Ordering::AcqRel);
        }
    }

    /// The whole state was replaced by one of this revision.
    pub fn reset(&self, revision: u64) {
        self.changed.store(revision, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes one request of a client to a path.
    ///
    /// # Errors
    /// The client has nothing left.
    pub fn take(
        &self,
        keys: &Unsealed,
        node: &Node,
        path: &str,
        client: Option<SocketAddr>,
    ) -> Result<Told, Limited> {
        let Some(ready) = self.ready(keys, node) else {
            return Ok(Told::default());
        };
        let rules = &ready.rules;
        let Some(rule) = rules.rule(path) else {
            return Ok(Told::default());
        };
        let clients = self.clients.get_or_init(Clients::default);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = |left| Told(rules.headers.then_some((rule.rate, left)));
        match clients.take(rule, address(client), now_ms) {
            Verdict::Served(left) => Ok(told(left)),
            Verdict::Refused(after_ms) => Err(Limited {
                after: Duration::from_millis(after_ms),
                told: told(0),
            }),
        }
    }

    /// The limits as they are now; `None` if they can't be read: then the call can't be served
    /// either.
    fn ready(&self, keys: &Unsealed, node: &Node) -> Option<Arc<Rules>> {
        // Before the state is looked at: a change in between is seen by the next request.
        let epoch = self.epoch.load(Ordering::Acquire);
        let changed = self.changed.load(Ordering::Acquire);
        if let Some(ready) = keys.rates.0.load_full()
            && ready.epoch == epoch
            && ready.revision >= changed
        {
            return Some(ready);
        }
        let state = StateView(node.view().ok()?);
        let view = View::new(&state, &keys.barrier);
        match view.glance::<RateLimits>(&()) {
            Ok(row) => {
                let record = row.map(|row| row.value).unwrap_or_default();
                let ready = Arc::new(Rules {
                    epoch,
                    revision: view.revision(),
                    rules: RateRules::new(&record),
                });
                keys.rates.0.store(Some(Arc::clone(&ready)));
                Some(ready)
            }
            Err(error) => {
                tracing::warn!(%error, "the rate limits can't be read");
                None
            }
        }
    }
}

/// Whose requests are counted together: an IPv4 address, or the /64 of an IPv6 address, which is
/// what one host has at its choice.
fn address(client: Option<SocketAddr>) -> [u8; 16] {
    let Some(client) = client else {
        return [0; 16];
    };
    match client.ip().to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let mut network = v6.octets();
            network[8..].fill(0);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_the_half_of_an_ipv6_address() {
        let of = |text: &str| address(Some(text.parse().unwrap()));
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_eq!(of("10.0.0.1:1"), of("[::ffff:10.0.0.1]:9"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
    }
}
