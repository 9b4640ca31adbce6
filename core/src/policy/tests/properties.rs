//! The index against the reference, and that no spelling of a path gains anything.

use proptest::prelude::*;

use super::reference::{Model, granted, text_of};
use super::*;
use crate::policy::decide::is_canonical;
use crate::types::{Path, PolicyName};

/// Segments of the paths that are asked for: all of up to four, with and without a slash.
const SEGMENTS: [&str; 5] = ["a", "b", "ab", "+", "*"];

/// Triples of policies, path and operation that each run compares, unless
/// `TENURE_POLICY_TRIPLES` says otherwise.
const TRIPLES_DEFAULT: usize = 1_000_000;

fn paths() -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..4 {
        level = level
            .iter()
            .flat_map(|path| SEGMENTS.map(|segment| format!("{path}{segment}/")))
            .collect();
        paths.extend(level.iter().cloned());
        paths.extend(
            level
                .iter()
                .map(|path| path.trim_end_matches('/').to_owned()),
        );
    }
    paths
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => Just("+"), 3 => Just("a"), 2 => Just("b"), 2 => Just("ab"),
        1 => Just("a+"), 1 => Just("*"), 1 => Just("+a"),
    ];
    let segments = proptest::collection::vec(segment, 0..5);
    let end = prop_oneof![3 => Just(""), 2 => Just("*"), 2 => Just("/*"), 1 => Just("/")];
    let start = prop_oneof![8 => Just(""), 1 => Just("/")];
    (start, segments, end)
        .prop_map(|(start, segments, end)| start.to_owned() + &segments.join("/") + end)
        .prop_filter("+* is refused", |pattern| !pattern.contains("+*"))
}

/// A pattern that matches one certain path, so that many of a model meet on it.
fn mask() -> impl Strategy<Value = String> {
    let path = ["ab", "a", "b", "ab"];
    let plus = proptest::array::uniform4(proptest::bool::weighted(0.4));
    let end = prop_oneof![3 => Just(""), 1 => Just("*"), 1 => Just("/*")];
    (plus, prop_oneof![2 => Just(4), 1 => 1..4_usize], end).prop_map(move |(plus, len, end)| {
        let mask = |(segment, plus)| if plus { "+" } else { segment };
        let segments: Vec<_> = path.into_iter().zip(plus).map(mask).take(len).collect();
        let end = if end == "*" && segments.last() == Some(&"+") {
            ""
        } else {
            end
        };
        segments.join("/") + end
    })
}

fn models() -> impl Strategy<Value = Vec<Model>> {
    let capabilities = prop_oneof![
        9 => proptest::sample::subsequence(Capability::ALL.to_vec(), 0..=9)
            .prop_map(|all| all.into_iter().filter(|one| *one != Capability::Deny).collect()),
        1 => Just(vec![Capability::Deny, Capability::Read]),
    ];
    let rule = (prop_oneof![pattern(), mask()], capabilities);
    proptest::collection::vec(proptest::collection::vec(rule, 0..8), 1..4)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is its caller's choice"
)]
fn triples() -> usize {
    let asked = std::env::var("TENURE_POLICY_TRIPLES").ok();
    asked.map_or(TRIPLES_DEFAULT, |text| text.parse().unwrap())
}

#[test]
fn the_index_decides_as_the_reference_does() {
    let paths = paths();
    let per_case = paths.len() * Operation::ALL.len();
    let cases = u32::try_from(triples().div_ceil(per_case)).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases));
    let outcome = runner.run(&models(), |models| {
        let texts: Vec<_> = models.iter().map(text_of).collect();
        let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        for path in &paths {
            let (one, list) = (granted(&models, path, false), granted(&models, path, true));
            for operation in Operation::ALL {
                let granted = if operation.lists() { &list } else { &one };
                let has = |one| granted.as_ref().is_some_and(|all| all.contains(&one));
                let decision = acl.decide(path, operation, None);
                prop_assert_eq!(
                    decision.allowed(),
                    has(operation.needs()),
                    "{} {:?}",
                    path,
                    operation
                );
                prop_assert_eq!(
                    decision.sudo(),
                    has(Capability::Sudo),
                    "{} {:?}",
                    path,
                    operation
                );
            }
            // What is shown is what is decided.
            if !path.ends_with('/') {
                let mut shown: Vec<_> = one.iter().flatten().map(|one| one.as_str()).collect();
                shown.sort_unstable();
                shown.dedup();
                let expected = if shown.is_empty() {
                    vec!["deny"]
                } else {
                    shown
                };
                prop_assert_eq!(acl.capabilities(path), expected);
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Other ways to write a path that somebody might take for the same.
fn spellings(path: &str) -> Vec<String> {
    vec![
        format!("/{path}"),
        format!("//{path}"),
        format!("./{path}"),
        format!("../{path}"),
        format!("x/../{path}"),
        path.replace('/', "//"),
        path.replace('/', "/./"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path}\0"),
        format!("{path}\n"),
        format!("{path}\u{85}"),
    ]
}

proptest! {
    #[test]
    fn no_spelling_of_a_path_is_decided_on(models in models(), path in "[ab+*]{1,2}(/[ab+*]{1,2}){0,3}") {
        let texts: Vec<_> = models.iter().map(text_of).collect();
        let some = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let root = Acl::compile(&[&Policy::root()], None);
        let all = acl(&["path \"*\" { capabilities = [\"read\", \"list\", \"sudo\"] }"]);
        for spelling in spellings(&path).iter().filter(|spelling| **spelling != path) {
            for operation in Operation::ALL {
                for acl in [&some, &root, &all] {
                    let decision = acl.decide(spelling, operation, None);
                    prop_assert!(!decision.allowed() && !decision.sudo(), "{:?}", spelling);
                    prop_assert_eq!(decision.refusal(), Some(Refusal::Path));
                }
            }
        }
        // A slash at the end is a list's own; elsewhere it is another path.
        for operation in [Operation::List, Operation::Scan] {
            let with = some.decide(&[&path, "/"].concat(), operation, None).allowed();
            prop_assert_eq!(with, allows(&some, operation, &path));
        }
    }

    /// Planted bug: of a rule with `*` only the level right below is looked at, where a deny of just
    /// that level hides it. Caught.
    #[test]
    fn whoever_may_do_something_in_a_folder_reaches_it(models in models()) {
        let texts: Vec<_> = models.iter().map(text_of).collect();
        let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        for path in paths() {
            let allowed = Operation::ALL.iter().any(|one| allows(&acl, *one, &path));
            let mut folder = path.as_str();
            while let Some((above, _)) = folder.rsplit_once('/').filter(|_| allowed) {
                prop_assert!(acl.reaches(above), "{} {}", above, path);
                folder = above;
            }
        }
    }

    #[test]
    fn another_case_or_an_escape_is_another_path(path in "[a-d]{1,3}(/[a-d]{1,3}){0,3}") {
        let acl = acl(&[&format!("path {path:?} {{ capabilities = [\"read\"] }}")]);
        prop_assert!(allows(&acl, Operation::Read, &path));
        for other in [
            path.to_uppercase(),
            path.replace('a', "%61"),
            path.replace('/', "%2f"),
            path.replacen('b', "%2e", 1),
            path.replace('/', "\\"),
            format!("{path}%2f"),
            format!("{path} "),
            format!("{path}/"),
        ] {
            prop_assert!(other == path || !allows(&acl, Operation::Read, &other), "{}", other);
        }
    }

    #[test]
    fn canonical_is_what_a_path_is(text in "[a./+*%\\n\u{85}ü ]{0,10}") {
        let is_path = Path::parse(&text).is_ok();
        prop_assert_eq!(is_canonical(&text) && !text.ends_with('/'), is_path);
        if is_path {
            prop_assert!(is_canonical(&(text + "/")));
        }
    }

    #[test]
    fn no_text_makes_root(name in "[ \t]*[rR][oO][oO][tT][ \t]*", other in ".{0,12}") {
        for name in [&name, &other] {
            let texts = [
                format!("name = {name:?} path \"a\" {{ capabilities = [\"sudo\"] }}"),
                format!("path \"a\" {{ capabilities = [{name:?}] }}"),
                format!("path \"a\" {{ policy = {name:?} }}"),
                format!("{{\"name\": {name:?}}}"),
            ];
            for text in texts {
                let Ok(policy) = parse(&text) else { continue };
                prop_assert!(!policy.is_root());
                prop_assert!(!policy.name().is_some_and(PolicyName::is_root));
                let acl = Acl::compile(&[&policy], None);
                prop_assert!(acl.capabilities("b") == ["deny"]);
            }
        }
    }

    #[test]
    fn no_input_panics(text in "\\PC{0,60}", hcl in "(path|name|\"|\\{|\\}|\\[|\\]|=|,|#|/\\*|\\*/|\n| |a|1|\\\\|\\{\\{|\\}\\}|:|null){0,30}") {
        for text in [text.as_str(), hcl.as_str(), &format!("{{{hcl}")] {
            let _ = parse(text);
            let _ = parse_base64(text);
            let _ = fmt(text);
            let everything = acl(&["path \"+/*\" { capabilities = [\"read\"] }"]);
            let _ = everything.decide(text, Operation::List, None).allowed();
            let _ = everything.capabilities(text);
        }
    }
}
