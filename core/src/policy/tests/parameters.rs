//! Constraints on parameters.

use super::*;
use crate::policy::Operation::*;

fn rule(constraints: &str) -> String {
    format!(
        "path \"x\" {{ capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\", \"list\"] {constraints} }}"
    )
}

fn number(value: i128) -> Value<'static> {
    Value::Number(Number::whole(value))
}

fn admits(acl: &Acl, parameters: &[(&'static str, Value<'static>)]) -> bool {
    let parameters: Parameters<'_> = parameters.iter().cloned().collect();
    acl.decide("x", Update, Some(&parameters)).allowed()
}

fn texts(all: &[(&'static str, &'static str)]) -> Vec<(&'static str, Value<'static>)> {
    all.iter()
        .map(|(name, value)| (*name, Value::from(*value)))
        .collect()
}

/// `rules`, then what they admit, then what not.
fn check(
    rules: &[&str],
    yes: &[&[(&'static str, &'static str)]],
    no: &[&[(&'static str, &'static str)]],
) {
    let rules: Vec<_> = rules.iter().map(|one| rule(one)).collect();
    let acl = acl(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    for one in yes {
        assert!(admits(&acl, &texts(one)), "{rules:?} {one:?}");
    }
    for one in no {
        assert!(!admits(&acl, &texts(one)), "{rules:?} {one:?}");
    }
}

#[test]
fn allowed_names_and_values() {
    check(
        &["allowed_parameters = { \"k\" = [\"1\", \"2*\"] \"free\" = [] }"],
        &[
            &[],
            &[("k", "1")],
            &[("K", "1")],
            &[("k", "2abc"), ("free", "any")],
            &[("FREE", "")],
        ],
        &[
            &[("k", "3")],
            &[("other", "1")],
            &[("k", "1"), ("other", "1")],
            &[("k", "1"), ("K", "3")],
        ],
    );
    check(
        &["allowed_parameters = { \"k\" = [\"1\"] \"*\" = [] }"],
        &[&[("k", "1"), ("other", "z")], &[("other", "z")]],
        &[&[("k", "9")], &[("k", "9"), ("other", "z")]],
    );
    // Alone, "*" allows everything, whatever values it lists: as with the peers.
    check(
        &["allowed_parameters = { \"*\" = [\"a\"] }"],
        &[&[("k", "b")]],
        &[],
    );
    check(&["allowed_parameters = {}"], &[&[("k", "b")]], &[]);
}

#[test]
fn values_match_with_a_star_at_an_end() {
    for (pattern, yes, no) in [
        ("a*", &["a", "ab"][..], &["ba", "A", ""][..]),
        ("*a", &["a", "ba"], &["ab"]),
        ("*a*", &["a", "bab"], &["b"]),
        ("a*b", &["a*b"], &["axb"]),
        ("*", &["*"], &["a", ""]),
        ("**", &["", "a"], &[]),
        ("", &[""], &["a"]),
    ] {
        let acl = acl(&[&rule(&format!(
            "allowed_parameters = {{ k = [\"{pattern}\"] }}"
        ))]);
        for value in yes {
            assert!(admits(&acl, &texts(&[("k", value)])), "{pattern} {value}");
        }
        for value in no {
            assert!(!admits(&acl, &texts(&[("k", value)])), "{pattern} {value}");
        }
    }
}

#[test]
fn values_have_types() {
    let acl = acl(&[&rule(
        "allowed_parameters = { k = [1, 2.5, true, [\"a\", 3]] }",
    )]);
    let list = |all: &[Value<'static>]| Value::List(all.to_vec());
    for value in [
        number(1),
        Value::Number(Number::float(1.0).unwrap()),
        Value::Number(Number::float(2.5).unwrap()),
        Value::Bool(true),
        list(&["a".into(), number(3)]),
    ] {
        assert!(admits(&acl, &[("k", value)]));
    }
    for value in [
        "1".into(),
        "true".into(),
        number(2),
        Value::Bool(false),
        Value::Null,
        list(&["a".into()]),
        list(&["ab".into(), number(3)]),
        Value::Map([("a".into(), number(1))].into()),
    ] {
        assert!(!admits(&acl, &[("k", value)]));
    }
    let any = super::acl(&[&rule("allowed_parameters = { k = [] }")]);
    assert!(admits(
        &any,
        &[("k", Value::Map([("a".into(), Value::Null)].into()))]
    ));
    let null = super::acl(&[
        r#"{"path": {"x": {"capabilities": ["update"], "allowed_parameters": {"k": [null]}}}}"#,
    ]);
    assert!(admits(&null, &[("k", Value::Null)]) && !admits(&null, &texts(&[("k", "")])));
    assert!(Number::float(f64::NAN).is_none() && Number::parse("1e999").is_none());
    assert!(Number::parse("1e2") == Some(Number::whole(100)));
}

#[test]
fn denied_beats_allowed() {
    let denied = "allowed_parameters = { \"*\" = [] k = [] } denied_parameters = { k = [\"bad*\"] gone = [] }";
    check(
        &[denied],
        &[&[], &[("k", "good")], &[("other", "z")]],
        &[
            &[("k", "bad")],
            &[("K", "badly")],
            &[("gone", "")],
            &[("other", "z"), ("GONE", "1")],
        ],
    );
    check(
        &["denied_parameters = { \"*\" = [\"x\"] } allowed_parameters = { k = [] }"],
        &[&[]],
        &[&[("k", "1")]],
    );
}

#[test]
fn required_must_be_there_as_engines_read_it() {
    check(
        &["required_parameters = [\"a\", \"B\"]"],
        &[
            &[("a", "1"), ("b", "2")],
            &[("a", "1"), ("b", "2"), ("c", "3")],
        ],
        &[&[], &[("a", "1")], &[("A", "1"), ("b", "2")]],
    );
    // Required isn't allowed.
    check(
        &["required_parameters = [\"a\"] allowed_parameters = { b = [] }"],
        &[],
        &[&[], &[("a", "1")], &[("b", "1")]],
    );
    let acl = acl(&[&rule(
        "required_parameters = [\"a\"] denied_parameters = { \"*\" = [] }",
    )]);
    for operation in Operation::ALL {
        let decision = acl.decide("x", operation, None);
        assert_eq!(
            decision.allowed(),
            matches!(operation, Delete | List),
            "{operation:?}"
        );
        if operation.has_parameters() {
            assert_eq!(decision.refusal(), Some(Refusal::Parameters));
        }
    }
}

#[test]
fn constraints_of_several_policies_come_together() {
    // Values and names add up, in either order.
    let (a, b) = (
        "allowed_parameters = { k = [\"1\"] x = [\"1\"] }",
        "allowed_parameters = { k = [\"2\"] x = [] y = [] }",
    );
    for rules in [[a, b], [b, a]] {
        check(
            &rules,
            &[&[("k", "1")], &[("k", "2")], &[("x", "9")], &[("y", "9")]],
            &[&[("k", "3")], &[("z", "1")]],
        );
    }
    let (a, b) = (
        "denied_parameters = { k = [\"1\"] x = [\"1\"] }",
        "denied_parameters = { k = [\"2\"] x = [] }",
    );
    for rules in [[a, b], [b, a]] {
        check(
            &rules,
            &[&[("k", "3")]],
            &[&[("k", "1")], &[("k", "2")], &[("x", "9")]],
        );
    }
    // A rule without constraints doesn't lift those of another.
    for rules in [
        ["", "allowed_parameters = { k = [] }"],
        ["allowed_parameters = { k = [] }", ""],
    ] {
        check(&rules, &[&[("k", "1")]], &[&[("z", "1")]]);
    }
    check(
        &[
            "required_parameters = [\"a\"]",
            "required_parameters = [\"b\", \"a\"]",
        ],
        &[&[("a", ""), ("b", "")]],
        &[&[("a", "")], &[("b", "")]],
    );
    // A rule that denies the path takes them with it, and nothing comes after.
    let denied = acl(&[
        &rule(a),
        "path \"x\" { capabilities = [\"deny\"] }",
        &rule(""),
    ]);
    assert!(!admits(&denied, &[]));
}
