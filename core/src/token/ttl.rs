//! The arithmetic of lifetimes. Only a root token that was asked for without an end has
//! none; everything else ends, and no renewal passes its maximum.

use super::Precondition;
use crate::{
    state::TokenRecord,
    types::{Expiry, Ttl, TtlRequest, UnixMillis, limits::TTL_SYSTEM_SECONDS_DEFAULT},
};

/// The bounds of lifetimes in this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlConfig {
    default: Ttl,
    max: Ttl,
}

/// Bounds that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the default TTL must be above zero, and at most the maximum TTL")]
pub struct TtlConfigError;

impl TtlConfig {
    /// What a token gets without asking, and the most that any gets.
    pub fn new(default: Ttl, max: Ttl) -> Result<Self, TtlConfigError> {
        if default.is_zero() || default > max {
            Err(TtlConfigError)
        } else {
            Ok(Self { default, max })
        }
    }

    /// What a token gets without asking.
    pub fn default_ttl(&self) -> Ttl {
        self.default
    }

    /// The most that any token gets.
    pub fn max_ttl(&self) -> Ttl {
        self.max
    }
}

impl Default for TtlConfig {
    fn default() -> Self {
        let ttl = Ttl::from_seconds(TTL_SYSTEM_SECONDS_DEFAULT).unwrap_or_default();
        Self {
            default: ttl,
            max: ttl,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) ttl: TtlRequest,
    pub(crate) explicit_max: TtlRequest,
    pub(crate) period: TtlRequest,
    /// Whether the token has the root policy.
    pub(crate) root: bool,
}

/// What is given.
#[derive(Debug)]
pub(crate) struct Grant {
    /// `None`: without end.
    pub(crate) ttl: Option<Ttl>,
    pub(crate) expiry: Expiry,
    pub(crate) warnings: Vec<String>,
}

/// The life of a new token or lease.
pub(crate) fn grant(config: &TtlConfig, terms: Terms, now: UnixMillis) -> Grant {
    let mut warnings = Vec::new();
    let explicit_max = terms
        .explicit_max
        .asked()
        .map(|asked| cap("explicit max TTL", asked, config.max, &mut warnings));
    let period = terms.period.asked();
    if terms.root && terms.ttl.asked().is_none() && explicit_max.is_none() && period.is_none() {
        return Grant {
            ttl: None,
            expiry: Expiry::Never,
            warnings,
        };
    }
    let max = explicit_max.unwrap_or(config.max);
    let ttl = match (period, terms.ttl.asked()) {
        (Some(period), _) => cap("period", period, max, &mut warnings),
        (None, Some(asked)) => cap("TTL", asked, max, &mut warnings),
        (None, None) => cap("default TTL", config.default, max, &mut warnings),
    };
    Grant {
        ttl: Some(ttl),
        expiry: Expiry::At(now.saturating_add(ttl)),
        warnings,
    }
}

/// The new end of a token that is renewed now.
pub(super) fn renewal(
    config: &TtlConfig,
    record: &TokenRecord,
    increment: TtlRequest,
    now: UnixMillis,
) -> Result<(Expiry, Vec<String>), Precondition> {
    if record.expiry == Expiry::Never || !record.renewable {
        return Err(Precondition::NotRenewable);
    }
    let mut warnings = Vec::new();
    let explicit_max = record.explicit_max_ttl.map(|max| max.min(config.max));
    let (wanted, max) = match record.period {
        // A periodic token goes on as long as it is renewed, unless its maker set an end.
        Some(period) => (
            cap("period", period, config.max, &mut warnings),
            explicit_max,
        ),
        None => {
            let wanted = increment
                .asked()
                .or(record.creation_ttl)
                .unwrap_or(config.default);
            (wanted, Some(explicit_max.unwrap_or(config.max)))
        }
    };
    let Some(max) = max else {
        return Ok((Expiry::At(now.saturating_add(wanted)), warnings));
    };
    let end = extend(wanted, max, record.created, now, &mut warnings);
    let end = end.ok_or(Precondition::MaxTtlReached)?;
    Ok((Expiry::At(end), warnings))
}

/// An end `wanted` from now, and at most `max` from `created`; `None` if that is past.
pub(crate) fn extend(
    wanted: Ttl,
    max: Ttl,
    created: UnixMillis,
    now: UnixMillis,
    warnings: &mut Vec<String>,
) -> Option<UnixMillis> {
    let (end, last) = (now.saturating_add(wanted), created.saturating_add(max));
    if last <= now {
        return None;
    }
    if end > last {
        let left = last.remaining(now);
        warnings.push(format!(
            "TTL of {wanted} exceeds what is left of the maximum of {max}; it is capped to {left}"
        ));
    }
    Some(end.min(last))
}

/// The shorter of two that may be there.
pub(super) fn least(one: Option<Ttl>, other: Option<Ttl>) -> Option<Ttl> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pub(super) fn cap(what: &str, asked: Ttl, max: Ttl, warnings: &mut Vec<String>) -> Ttl {
    if asked > max {
        warnings.push(format!(
            "{what} of {asked} exceeds the effective maximum of {max}; it is capped"
        ));
    }
    asked.min(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        testing::TestRandom,
        types::{Accessor, Cidrs, DisplayName, Meta, PolicySet, limits::TTL_SECONDS_MAX},
    };

    const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

    fn ttl(text: &str) -> Ttl {
        text.parse().unwrap()
    }

    fn of(text: &str) -> TtlRequest {
        TtlRequest::from(ttl(text))
    }

    /// The record of a token that was given this on these terms.
    fn record(grant: &Grant, terms: Terms, config: &TtlConfig) -> TokenRecord {
        TokenRecord {
            accessor: Some(Accessor::issue(&mut TestRandom::new(1))),
            ancestors: vec![],
            policies: PolicySet::default(),
            path: String::new(),
            display_name: DisplayName::root(),
            meta: Meta::default(),
            uses_left: None,
            created: NOW,
            expiry: grant.expiry,
            creation_ttl: grant.ttl,
            explicit_max_ttl: terms.explicit_max.asked().map(|max| max.min(config.max)),
            period: terms.period.asked(),
            renewable: true,
            last_renewal: None,
            role: None,
            bound_cidrs: Cidrs::default(),
        }
    }

    fn give(terms: Terms) -> Grant {
        grant(&TtlConfig::default(), terms, NOW)
    }

    #[test]
    fn without_a_wish_the_default_counts() {
        let grant = give(Terms::default());
        assert_eq!((grant.ttl, grant.warnings.len()), (Some(ttl("768h")), 0));
        // Capped by the explicit maximum, and told so though nobody asked.
        let grant = give(Terms {
            explicit_max: of("1h"),
            ..Terms::default()
        });
        assert_eq!((grant.ttl, grant.warnings.len()), (Some(ttl("1h")), 1));
    }

    #[test]
    fn a_cap_names_both_numbers() {
        let grant = give(Terms {
            ttl: of("9000h"),
            ..Terms::default()
        });
        assert_eq!(grant.ttl, Some(ttl("768h")));
        assert_eq!(
            grant.warnings,
            ["TTL of 9000h exceeds the effective maximum of 768h; it is capped"]
        );
    }

    #[test]
    fn root_lives_on_unless_it_asks_not_to() {
        let root = Terms {
            root: true,
            ..Terms::default()
        };
        assert_eq!(give(root).expiry, Expiry::Never);
        assert_eq!(
            give(Terms {
                ttl: of("1h"),
                ..root
            })
            .ttl,
            Some(ttl("1h"))
        );
        assert_eq!(
            give(Terms {
                period: of("1h"),
                ..root
            })
            .ttl,
            Some(ttl("1h"))
        );
        // The explicit maximum doesn't escape the system's.
        let grant = give(Terms {
            explicit_max: of("9000h"),
            ..root
        });
        assert_eq!(grant.ttl, Some(ttl("768h")));
    }

    #[test]
    fn a_period_is_the_ttl() {
        let terms = Terms {
            period: of("1h"),
            ttl: of("5m"),
            ..Terms::default()
        };
        let grant = give(terms);
        assert_eq!(grant.ttl, Some(ttl("1h")));
        let record = record(&grant, terms, &TtlConfig::default());
        // Each renewal gives exactly the period, whatever is asked, far past the maximum.
        let later = NOW.saturating_add(ttl("10000h"));
        let (end, warnings) = renewal(&TtlConfig::default(), &record, of("9h"), later).unwrap();
        assert_eq!(
            (end, warnings.len()),
            (Expiry::At(later.saturating_add(ttl("1h"))), 0)
        );
        let record = TokenRecord {
            explicit_max_ttl: Some(ttl("90m")),
            ..record
        };
        let (end, warnings) = renewal(
            &TtlConfig::default(),
            &record,
            of("9h"),
            NOW.saturating_add(ttl("40m")),
        )
        .unwrap();
        assert_eq!(
            (end, warnings.len()),
            (Expiry::At(NOW.saturating_add(ttl("90m"))), 1)
        );
    }

    #[test]
    fn renewal_counts_from_now_and_may_shorten() {
        let terms = Terms {
            ttl: of("2h"),
            ..Terms::default()
        };
        let record = record(&give(terms), terms, &TtlConfig::default());
        let config = TtlConfig::default();
        let renew = |increment, now| renewal(&config, &record, increment, now).unwrap().0;
        let later = NOW.saturating_add(ttl("1h"));
        assert_eq!(
            renew(TtlRequest::Default, later),
            Expiry::At(later.saturating_add(ttl("2h")))
        );
        assert_eq!(
            renew(of("5m"), later),
            Expiry::At(later.saturating_add(ttl("5m")))
        );
        assert_eq!(
            renew(of("9000h"), later),
            Expiry::At(NOW.saturating_add(ttl("768h")))
        );
        let past = NOW.saturating_add(ttl("768h"));
        assert_eq!(
            renewal(&config, &record, of("1h"), past).err(),
            Some(Precondition::MaxTtlReached)
        );
        let fixed = TokenRecord {
            renewable: false,
            ..record.clone()
        };
        assert_eq!(
            renewal(&config, &fixed, of("1h"), NOW).err(),
            Some(Precondition::NotRenewable)
        );
        let root = TokenRecord {
            expiry: Expiry::Never,
            ..record.clone()
        };
        assert_eq!(
            renewal(&config, &root, of("1h"), NOW).err(),
            Some(Precondition::NotRenewable)
        );
    }

    #[test]
    fn senseless_bounds_are_refused() {
        assert!(TtlConfig::new(Ttl::ZERO, ttl("1h")).is_err());
        assert!(TtlConfig::new(ttl("2h"), ttl("1h")).is_err());
        assert!(TtlConfig::new(ttl("1h"), ttl("1h")).is_ok());
    }

    fn any_request() -> impl Strategy<Value = TtlRequest> {
        let seconds = prop_oneof![
            Just(0),
            1u64..100_000,
            Just(TTL_SECONDS_MAX),
            0..=TTL_SECONDS_MAX
        ];
        seconds.prop_map(|s| TtlRequest::from(Ttl::from_seconds(s).unwrap()))
    }

    proptest! {
        #![proptest_config(crate::testing::cases(100_000))]

        /// G7: nothing but root is immortal, and no renewal passes the maximum.
        #[test]
        fn nothing_but_root_is_immortal(
            (ttl, explicit_max, period) in (any_request(), any_request(), any_request()),
            root: bool,
            renewals in prop::collection::vec((any_request(), 0u64..4_000_000), 0..8),
            (default, more) in (1u64..3_000_000, 0u64..3_000_000),
        ) {
            let max = Ttl::from_seconds(default + more).unwrap();
            let config = TtlConfig::new(Ttl::from_seconds(default).unwrap(), max).unwrap();
            let terms = Terms { ttl, explicit_max, period, root };
            let grant = grant(&config, terms, NOW);
            let asked_nothing = [ttl, explicit_max, period].iter().all(|r| r.asked().is_none());
            prop_assert_eq!(grant.expiry == Expiry::Never, root && asked_nothing);
            prop_assert_eq!(grant.ttl.is_none(), grant.expiry == Expiry::Never);
            let Expiry::At(first_end) = grant.expiry else { return Ok(()) };
            prop_assert!(first_end > NOW && first_end <= NOW.saturating_add(max));

            let mut record = record(&grant, terms, &config);
            let longest = record.explicit_max_ttl.unwrap_or(max);
            let mut now = NOW;
            for (increment, wait) in renewals {
                now = now.saturating_add(Ttl::from_seconds(wait).unwrap());
                if record.expiry.is_past(now) {
                    break;
                }
                let (expiry, _) = match renewal(&config, &record, increment, now) {
                    Ok(renewed) => renewed,
                    Err(reason) => {
                        prop_assert_eq!(reason, Precondition::MaxTtlReached);
                        continue;
                    }
                };
                let Expiry::At(end) = expiry else { panic!("a renewal gave eternal life") };
                prop_assert!(end > now && end <= now.saturating_add(max));
                if record.period.is_none() || record.explicit_max_ttl.is_some() {
                    prop_assert!(end <= NOW.saturating_add(longest));
                }
                record.expiry = expiry;
            }
        }
    }
}
