//! The decision on a request: which rate limit is the one for its path, and whether its client
//! has something left. Time is milliseconds of a clock that never runs backwards; whose they are
//! doesn't matter.

use std::collections::BTreeMap;

use super::QuotaPath;
use crate::state::RateLimitsRecord;

/// All rate limits, made ready.
#[derive(Debug, Default)]
pub struct RateRules {
    /// By bare path.
    rules: BTreeMap<String, Rule>,
    exempt: Vec<QuotaPath>,
    /// Whether answers tell the limit.
    pub headers: bool,
}

/// A rate limit, made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number: another one with each change.
    pub id: u64,
    /// Most requests in an interval.
    pub rate: u32,
    /// Length of an interval, milliseconds.
    pub interval_ms: u64,
    /// How long who exceeds it is refused, milliseconds; `None`: until the interval ends.
    pub block_ms: Option<u64>,
}

impl RateRules {
    /// Makes them ready.
    pub fn new(record: &RateLimitsRecord) -> Self {
        let rules = record.limits.iter().map(|limit| {
            let rule = Rule {
                id: limit.id,
                rate: limit.rate,
                interval_ms: limit.interval.as_millis(),
                block_ms: limit.block.map(|block| block.as_millis()),
            };
            (limit.path.bare().to_owned(), rule)
        });
        Self {
            rules: rules.collect(),
            exempt: record.exempt.clone(),
            headers: record.headers,
        }
    }

    /// The limit for a path: that with the longest path that covers it, alone. `None`: there is
    /// none, or the path is exempt.
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        if self.rules.is_empty() || self.exempt.iter().any(|exempt| exempt.covers(path)) {
            return None;
        }
        let mut covering = path.trim_end_matches('/');
        loop {
            if let Some(rule) = self.rules.get(covering) {
                return Some(rule);
            }
            covering = match covering.rsplit_once('/') {
                Some((above, _)) => above,
                None if covering.is_empty() => return None,
                None => "",
            };
        }
    }
}

/// What a client has used of a limit. A new one has used nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Requests since the interval began.
    used: u32,
    /// When the interval ends. A window is new until its first request.
    ends_ms: u64,
    /// Until when its client is refused.
    blocked_until_ms: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served, and so many are left.
    Served(u32),
    /// It is refused; the next one in so many milliseconds, at least one, may be served.
    Refused(u64),
}

impl Window {
    /// Takes one request.
    pub fn take(&mut self, rule: &Rule, now_ms: u64) -> Verdict {
        if now_ms < self.blocked_until_ms {
            return Verdict::Refused(self.blocked_until_ms - now_ms);
        }
        if now_ms >= self.ends_ms {
            self.used = 0;
            self.ends_ms = now_ms.saturating_add(rule.interval_ms);
        }
        if self.used < rule.rate {
            self.used += 1;
            return Verdict::Served(rule.rate - self.used);
        }
        if let Some(block_ms) = rule.block_ms {
            self.blocked_until_ms = now_ms.saturating_add(block_ms);
        }
        Verdict::Refused(
            self.ends_ms
                .max(self.blocked_until_ms)
                .saturating_sub(now_ms)
                .max(1),
        )
    }

    /// Whether it says no more than a new one: it may be forgotten.
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.ends_ms && now_ms >= self.blocked_until_ms
    }
}
