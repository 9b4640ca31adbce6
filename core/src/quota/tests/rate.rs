use proptest::prelude::*;

use crate::{
    quota::{QuotaPath, RateRules, Rule, Verdict, Window},
    state::{RateLimitRecord, RateLimitsRecord},
    testing::cases,
    types::{Path, Ttl},
};

fn record(paths: &[&str], exempt: &[&str]) -> RateLimitsRecord {
    let limits = paths.iter().enumerate().map(|(n, path)| RateLimitRecord {
        name: Path::parse(&format!("limit-{n}")).unwrap(),
        path: QuotaPath::parse(path).unwrap(),
        rate: 1,
        interval: Ttl::from_seconds(1).unwrap(),
        block: None,
        id: n as u64,
    });
    RateLimitsRecord {
        limits: limits.collect(),
        exempt: exempt
            .iter()
            .map(|path| QuotaPath::parse(path).unwrap())
            .collect(),
        ..RateLimitsRecord::default()
    }
}

/// Planted bug: prefixes are compared as text. Caught: the exempt `a/b/free` covered `a/b/freer`.
#[test]
fn the_longest_path_of_whole_segments_decides() {
    let rules = RateRules::new(&record(
        &["a", "a/b/", "c/*", "auth/token/create"],
        &["a/b/free"],
    ));
    for (path, wanted) in [
        ("a", Some(0)),
        ("a/x", Some(0)),
        ("a/", Some(0)),
        ("ab", None),
        ("a/b", Some(1)),
        ("a/b/", Some(1)),
        ("a/b/c/d", Some(1)),
        ("a/bc", Some(0)),
        ("a/b/free", None),
        ("a/b/free/x", None),
        ("a/b/freer", Some(1)),
        ("c/d", Some(2)),
        ("auth/token/create", Some(3)),
        ("auth/token/create-orphan", None),
        ("", None),
        ("//", None),
    ] {
        assert_eq!(rules.rule(path).map(|rule| rule.id), wanted, "{path}");
    }
    let rules = RateRules::new(&record(&["", "a"], &[]));
    for (path, wanted) in [
        ("", 0),
        ("x", 0),
        ("x/y", 0),
        ("a", 1),
        ("a//b", 1),
        ("ab", 0),
    ] {
        assert_eq!(rules.rule(path).map(|rule| rule.id), Some(wanted), "{path}");
    }
}

#[test]
fn a_path_of_a_quota_is_whole_segments() {
    for (text, bare) in [
        ("", ""),
        ("*", ""),
        ("/", ""),
        ("a", "a"),
        ("a/", "a"),
        ("a/*", "a"),
        ("a/b", "a/b"),
    ] {
        let path = QuotaPath::parse(text).unwrap();
        assert_eq!((path.bare(), path.as_str()), (bare, text));
    }
    for text in [
        "a*", "*a", "a/*/b", "+", "a/+/b", "//", "a//b", "a/**", "../a", "/a",
    ] {
        assert!(QuotaPath::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_block_outlasts_the_interval() {
    let rule = Rule {
        id: 1,
        rate: 2,
        interval_ms: 1_000,
        block_ms: Some(5_000),
    };
    let mut window = Window::default();
    let taken = [0, 1, 2, 900, 1_500, 5_001, 5_002, 5_003].map(|now| window.take(&rule, now));
    use Verdict::{Refused, Served};
    let wanted = [
        Served(1),
        Served(0),
        Refused(5_000),
        Refused(4_102),
        Refused(3_502),
        Refused(1),
        Served(1),
        Served(0),
    ];
    assert_eq!(taken, wanted);
}

proptest! {
    #![proptest_config(cases(300))]

    /// A naive model keeps the time of every request that was served.
    #[test]
    fn windows_serve_as_the_model_says(
        rate in 1u32..5,
        interval_ms in 1u64..50,
        block_ms in prop::option::of(1u64..100),
        waits in prop::collection::vec(0u64..30, 1..200),
    ) {
        let rule = Rule { id: 0, rate, interval_ms, block_ms };
        let (mut window, mut now) = (Window::default(), 1_000);
        let (mut began, mut served, mut blocked) = (None::<u64>, 0u32, 0u64);
        for wait in waits {
            now += wait;
            let verdict = window.take(&rule, now);
            if now < blocked {
                prop_assert_eq!(verdict, Verdict::Refused(blocked - now));
                continue;
            }
            if began.is_none_or(|at| now >= at + interval_ms) {
                (began, served) = (Some(now), 0);
            }
            let ends = began.unwrap() + interval_ms;
            if served < rate {
                served += 1;
                prop_assert_eq!(verdict, Verdict::Served(rate - served));
            } else {
                blocked = block_ms.map_or(0, |block| now + block);
                prop_assert_eq!(verdict, Verdict::Refused(ends.max(blocked) - now));
            }
            // What may be forgotten serves as a new one does.
            if window.is_over(now) {
                prop_assert_eq!(window.take(&rule, now), Window::default().take(&rule, now));
            }
        }
    }
}
