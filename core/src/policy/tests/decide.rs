//! Matching, precedence, merging and capabilities: each row of what the peers do.

use super::*;
use crate::policy::Operation::*;

fn reads(rules: &str, path: &str) -> bool {
    allows(&acl(&[rules]), Read, path)
}

/// A rule that grants reading, and one that denies it.
fn read(path: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [\"read\"] }}\n")
}
fn deny(path: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [\"deny\"] }}\n")
}

#[test]
fn nothing_is_allowed_by_default() {
    let acl = acl(&[]);
    for operation in Operation::ALL {
        let decision = acl.decide("a", operation, None);
        assert!(!decision.allowed() && !decision.sudo());
        assert_eq!(decision.refusal(), Some(Refusal::NoRule));
    }
    assert_eq!(acl.capabilities("a"), ["deny"]);
}

#[test]
fn root_may_do_everything_on_canonical_paths() {
    let other = parse(&deny("*")).unwrap();
    for policies in [vec![&Policy::root()], vec![&other, &Policy::root()]] {
        let acl = Acl::compile(&policies, None);
        for operation in Operation::ALL {
            let permit = acl
                .decide("sys/raw/x", operation, None)
                .into_permit()
                .unwrap();
            assert!(permit.sudo() && permit.operation() == operation);
            assert_eq!(permit.path(), "sys/raw/x");
            assert!(!allows(&acl, operation, "sys//raw"));
        }
        assert_eq!(acl.capabilities("anything"), ["root"]);
    }
}

#[test]
fn paths_match_exactly_by_prefix_and_by_segment() {
    for (pattern, yes, no) in [
        (
            "s/a",
            &["s/a"][..],
            &["s/b", "s/a/b", "s/ab", "s", "S/a", "s/a/"][..],
        ),
        ("/s/a", &["s/a"], &["s/b"]),
        (
            "s/foo*",
            &["s/foo", "s/foobar", "s/foo/x/y"],
            &["s/fo", "s/a"],
        ),
        ("s/*", &["s/x", "s/x/y", "s/"], &["s", "sx"]),
        ("*", &["a", "a/b"], &[]),
        (
            "s/+/a",
            &["s/dir/a", "s/+/a"],
            &["s/a", "s/dir/sub/a", "s/dir/b", "x/dir/a"],
        ),
        ("+", &["a"], &["a/b", "a/"]),
        ("+/+", &["a/b", "a/"], &["a", "a/b/c"]),
        ("s/+", &["s/x"], &["s", "s/x/y"]),
        (
            "s/+/sub/*",
            &["s/d/sub/a", "s/d/sub/a/b", "s/d/sub/"],
            &["s/d/a", "s/d/sub", "s/d/e/sub/a"],
        ),
        (
            "s/+/b*",
            &["s/d/b", "s/d/bc", "s/d/bc/x"],
            &["s/d/c", "s/d/e/b"],
        ),
        ("+/x", &["a/x"], &["x", "a/b/x"]),
        // Elsewhere they are ordinary characters.
        ("s/*/a", &["s/*/a"], &["s/x/a"]),
        ("s/a*b", &["s/a*b"], &["s/axb"]),
        ("s/a+", &["s/a+"], &["s/ab", "s/a"]),
        ("s/+a", &["s/+a"], &["s/ba"]),
        ("s/+a/+", &["s/+a/x"], &["s/ba/x"]),
        ("s/**", &["s/*", "s/*x"], &["s/x"]),
        ("ü/+/ä*", &["ü/x/äö"], &["ü/x/a"]),
        ("", &[], &["a"]),
    ] {
        for path in yes {
            assert!(reads(&read(pattern), path), "{pattern} {path}");
        }
        for path in no {
            assert!(!reads(&read(pattern), path), "{pattern} {path}");
        }
    }
}

/// Each pair: the first wins on the path, whichever of both grants and wherever it stands.
#[test]
fn the_most_specific_rule_decides_alone() {
    for (winner, loser, path) in [
        ("s/a", "s/*", "s/a"),
        ("s/a", "s/a*", "s/a"),
        ("s/a", "s/+", "s/a"),
        ("s/a/*", "s/*", "s/a/b"),
        ("s/ab*", "s/a*", "s/abc"),
        // The later first wildcard.
        ("s/dir/*", "s/+/a", "s/dir/a"),
        ("s/b/+/c", "s/+/b/c", "s/b/b/c"),
        ("s/a*", "s/+", "s/ab"),
        ("s/d/+", "s/+/*", "s/d/e"),
        ("s/+/*", "*", "s/d/e"),
        ("s/*", "+/a/b/c", "s/a/b/c"),
        // No * at the end.
        ("s/+", "s/*", "s/a"),
        ("s/+/b", "s/+/b*", "s/a/b"),
        ("s/+/+", "s/+/b*", "s/a/bc"),
        ("s/+/+/+", "s/*", "s/a/b/c"),
        // Fewer +.
        ("s/+/b/c", "s/+/+/c", "s/a/b/c"),
        ("s/*", "s/+/*", "s/a/b"),
        ("s/+/b*", "s/+/+/c*", "s/a/b/cd"),
        // Longer.
        ("s/+/ba*", "s/+/b*", "s/x/bar"),
        ("s/+/longer/+", "s/+/+/z", "s/x/longer/z"),
        ("s/+/+/longer", "s/+/b/+", "s/x/b/longer"),
        // Lexically larger.
        ("s/+/b/+/x", "s/+/+/c/x", "s/a/b/c/x"),
    ] {
        for order in [false, true] {
            let both = |a: String, b: String| if order { a + &b } else { b + &a };
            assert!(
                reads(&both(read(winner), deny(loser)), path),
                "{winner} {loser}"
            );
            assert!(
                !reads(&both(deny(winner), read(loser)), path),
                "{winner} {loser}"
            );
        }
    }
}

#[test]
fn a_more_specific_rule_may_grant_less() {
    let acl = acl(&[
        "path \"s/*\" { capabilities = [\"read\", \"update\", \"sudo\"] }",
        "path \"s/a\" { capabilities = [\"read\"] }",
        "path \"s/b\" { capabilities = [] }",
    ]);
    assert!(allows(&acl, Update, "s/x") && acl.decide("s/x", Update, None).sudo());
    assert!(allows(&acl, Read, "s/a") && !allows(&acl, Update, "s/a"));
    assert!(!acl.decide("s/a", Read, None).sudo());
    assert_eq!(
        acl.decide("s/b", Read, None).refusal(),
        Some(Refusal::Operation)
    );
    assert_eq!(acl.capabilities("s/b"), ["deny"]);
}

#[test]
fn policies_on_the_same_path_add_up_and_deny_wins() {
    let (r, u) = (read("s/a"), "path \"/s/a\" { capabilities = [\"update\"] }");
    let both = acl(&[&r, u]);
    assert!(allows(&both, Read, "s/a") && allows(&both, Update, "s/a"));
    assert!(!allows(&both, Delete, "s/a"));
    let no = deny("s/a");
    for texts in [[&*r, u, &*no], [&*no, &*r, u], [&*r, &*no, u]] {
        let acl = acl(&texts);
        let decision = acl.decide("s/a", Read, None);
        assert_eq!(decision.refusal(), Some(Refusal::Denied));
        assert_eq!(acl.capabilities("s/a"), ["deny"]);
    }
    // Wildcards too, and within one policy; on another path deny says nothing.
    assert!(!reads(&(read("s/+/a*") + &deny("s/+/a*")), "s/x/a"));
    assert!(!reads(&(deny("s/*") + &read("s/*")), "s/x"));
    assert!(reads(&(deny("s/*") + &read("s/a")), "s/a"));
}

#[test]
fn each_operation_needs_its_capability() {
    for operation in Operation::ALL {
        let name = operation.needs().as_str();
        let acl = acl(&[&format!("path \"s/\" {{ capabilities = [\"{name}\"] }}")]);
        for asked in Operation::ALL {
            assert_eq!(allows(&acl, asked, "s/"), asked == operation);
        }
        assert_eq!(acl.capabilities("s/"), [name]);
    }
    // Neither sudo nor deny is an operation's right.
    let acl = acl(&["path \"s\" { capabilities = [\"sudo\"] }"]);
    for operation in Operation::ALL {
        let decision = acl.decide("s", operation, None);
        assert!(!decision.allowed() && decision.sudo());
    }
}

#[test]
fn a_list_is_of_a_folder_with_or_without_its_slash() {
    let list =
        |path: &str| format!("path \"{path}\" {{ capabilities = [\"list\", \"scan\", \"read\"] }}");
    for (pattern, yes, no) in [
        (
            "s/dir",
            &["s/dir", "s/dir/"][..],
            &["s", "s/", "s/dir/x"][..],
        ),
        ("s/dir/", &["s/dir", "s/dir/"], &["s/"]),
        (
            "s/dir/*",
            &["s/dir", "s/dir/", "s/dir/x/"],
            &["s/", "s/dirx"],
        ),
        ("s/+", &["s/dir/", "s/dir", "s/", "s"], &["s/dir/x"]),
        ("s/+/", &["s/dir", "s/dir/"], &["s/", "s/a/b"]),
        ("s/di*", &["s/dir", "s/dir/"], &["s/"]),
    ] {
        let acl = acl(&[&list(pattern)]);
        for operation in [List, Scan] {
            assert!(
                yes.iter().all(|path| allows(&acl, operation, path)),
                "{pattern}"
            );
            assert!(
                !no.iter().any(|path| allows(&acl, operation, path)),
                "{pattern}"
            );
        }
    }
    // Only a list: reading "s/dir/" isn't reading "s/dir".
    assert!(!allows(&acl(&[&list("s/dir")]), Read, "s/dir/"));
    assert!(!allows(&acl(&[&list("s/dir/")]), Read, "s/dir"));
    // What is exact goes first, then the slash.
    let acl = acl(&[
        &list("s/*"),
        &deny("s/dir"),
        &list("t/dir"),
        &deny("t/dir/"),
    ]);
    assert!(!allows(&acl, List, "s/dir/") && !allows(&acl, List, "t/dir"));
    assert!(allows(&acl, List, "s/other"));
}

#[test]
fn capabilities_are_sorted() {
    let acl = acl(&[
        "path \"s/*\" { capabilities = [\"update\", \"sudo\", \"scan\", \"read\", \"patch\", \"list\", \"delete\", \"create\"] }",
        "path \"d/\" { capabilities = [\"list\"] }",
    ]);
    let all = [
        "create", "delete", "list", "patch", "read", "scan", "sudo", "update",
    ];
    assert_eq!(acl.capabilities("s/x"), all);
    assert_eq!(acl.capabilities("/s/x"), all);
    assert_eq!(acl.capabilities("d/"), ["list"]);
    for path in ["d", "x", "", "/", "s//x", "s/../x", "s/./x"] {
        assert_eq!(acl.capabilities(path), ["deny"], "{path}");
    }
}

#[test]
fn the_old_form_stands_for_capabilities() {
    for (word, expected) in [
        ("read", &["list", "read"][..]),
        ("write", &["create", "delete", "list", "read", "update"]),
        (
            "sudo",
            &["create", "delete", "list", "read", "sudo", "update"],
        ),
        ("deny", &["deny"]),
        ("", &["deny"]),
    ] {
        let acl = acl(&[&format!("path \"a\" {{ policy = \"{word}\" }}")]);
        assert_eq!(acl.capabilities("a"), expected);
    }
    let both = acl(&["path \"a\" { policy = \"read\" capabilities = [\"patch\"] }"]);
    assert_eq!(both.capabilities("a"), ["list", "patch", "read"]);
}

#[test]
fn wrapping_bounds_come_out_of_the_decision() {
    let rule = |bounds: &str| format!("path \"a\" {{ capabilities = [\"read\"] {bounds} }}");
    let ttl = |seconds| Some(crate::types::Ttl::from_seconds(seconds).unwrap());
    let bounds = |texts: &[&str]| {
        let acl = acl(texts);
        acl.decide("a", Read, None)
            .into_permit()
            .unwrap()
            .wrapping()
    };
    let one = bounds(&[&rule("min_wrapping_ttl = 60 max_wrapping_ttl = \"1h\"")]);
    assert_eq!((one.min, one.max), (ttl(60), ttl(3600)));
    assert!(one.admit(ttl(60)) && one.admit(ttl(3600)));
    assert!(!one.admit(None) && !one.admit(ttl(59)) && !one.admit(ttl(3601)));
    let none = bounds(&[&rule("min_wrapping_ttl = 0 max_wrapping_ttl = \"\"")]);
    assert!(none.admit(None) && none.admit(ttl(1)));
    // The shorter of each; together they may exclude everything.
    let merged = bounds(&[
        &rule("min_wrapping_ttl = 100"),
        &rule("min_wrapping_ttl = 50 max_wrapping_ttl = 70"),
        &rule("max_wrapping_ttl = 20"),
    ]);
    assert_eq!((merged.min, merged.max), (ttl(50), ttl(20)));
    assert!((0..200).all(|seconds| !merged.admit(ttl(seconds))));
}

#[test]
fn the_default_policy_lets_a_token_look_after_itself() {
    let policy = parse(DEFAULT_POLICY_TEXT).unwrap();
    assert_eq!(policy.rule_count(), 16);
    let identity = Identity {
        id: "e1".into(),
        name: "joe".into(),
        ..Identity::default()
    };
    let acl = Acl::compile(&[&policy], Some(&identity));
    for (operation, path) in [
        (Read, "auth/token/lookup-self"),
        (Update, "auth/token/renew-self"),
        (Update, "auth/token/revoke-self"),
        (Update, "sys/capabilities-self"),
        (Read, "identity/entity/id/e1"),
        (Read, "identity/entity/name/joe"),
        (Read, "sys/internal/ui/resultant-acl"),
        (Update, "sys/leases/renew"),
        (Update, "sys/leases/lookup"),
        (Create, "cubbyhole/a"),
        (List, "cubbyhole"),
        (Update, "sys/wrapping/wrap"),
        (Update, "sys/wrapping/lookup"),
        (Update, "sys/wrapping/unwrap"),
        (Update, "sys/tools/hash"),
        (Update, "sys/tools/hash/sha2-256"),
        (Read, "identity/oidc/provider/p/authorize"),
    ] {
        assert!(allows(&acl, operation, path), "{path}");
    }
    for path in [
        "sys/mounts",
        "sys/policies/acl/default",
        "secret/a",
        "identity/entity/id/e2",
    ] {
        assert_eq!(acl.capabilities(path), ["deny"], "{path}");
    }
    let sudo = |path| acl.decide(path, Read, None).sudo();
    assert!(!sudo("cubbyhole/a") && !sudo("auth/token/lookup-self"));
    assert_eq!(fmt(DEFAULT_POLICY_TEXT).unwrap(), DEFAULT_POLICY_TEXT);
}

#[test]
fn debug_shows_counts_only() {
    let text = "path \"canary\" { capabilities = [\"read\"] allowed_parameters = { canary = [\"canary\"] } }";
    let policy = parse(text).unwrap();
    let acl = Acl::compile(&[&policy], None);
    let parameters: Parameters<'_> = [("canary", Value::from("canary"))].into_iter().collect();
    let error = parse("path \"canary\" { canary = 1 }").unwrap_err();
    let shown = format!(
        "{policy:?} {acl:?} {parameters:?} {:?} {error:?}",
        acl.decide("canary", Read, Some(&parameters))
    );
    assert!(!shown.contains("canary"), "{shown}");
}

/// Which folders a rule leads into.
///
/// Planted bug: a rule that denies counts as one that grants. Caught.
#[test]
fn a_folder_is_reached_by_any_right_in_it() {
    for (rules, yes, no) in [
        (
            read("kv/a"),
            &["kv", "kv/"][..],
            &["k", "kv2", "kv/a/b"][..],
        ),
        (read("kv"), &["kv"], &["kv2", "k"]),
        (read("kv/*"), &["kv", "kv/a"], &["kv2", "k"]),
        (read("k*"), &["k", "kv", "kv/a"], &["j", "l"]),
        (read("*"), &["kv", "a/b/c"], &[]),
        (
            read("+/data/x"),
            &["kv", "kv/data", "a"],
            &["kv/metadata", "a/b"],
        ),
        (read("a/+/c*"), &["a", "a/b", "a/b/cd"], &["a/b/d", "b"]),
        (read("+"), &["kv"], &["kv/a"]),
        (deny("kv/*"), &[], &["kv", "kv/a"]),
        (read("*") + &deny("kv/*"), &["a", "kv2"], &["kv", "kv/a"]),
        (
            read("*") + &deny("kv/*") + &read("kv/a"),
            &["kv", "kv/a"],
            &["kv/b"],
        ),
        (read("+/a") + &deny("kv/a"), &["b"], &["kv"]),
    ] {
        let acl = acl(&[&rules]);
        for folder in yes {
            assert!(acl.reaches(folder), "{rules} {folder}");
        }
        for folder in no {
            assert!(!acl.reaches(folder), "{rules} {folder}");
        }
    }
    assert!(Acl::compile(&[&Policy::root()], None).reaches("kv"));
}

/// Planted bug: a bound that is never reached. Caught.
#[test]
fn so_many_rules_in_the_way_of_each_other_are_not_all_looked_into() {
    use crate::types::limits::ACL_RULES_LOOKED_INTO_MAX;
    let overruled = |count: usize| {
        let grants: String = (0..count).map(|n| read(&format!("kv/+/a{n}x*"))).collect();
        let below = ["kv/+/+", &"/+".repeat(8)].concat();
        acl(&[&(grants + &deny("kv/+/+") + &deny(&below))])
    };
    assert!(!overruled(ACL_RULES_LOOKED_INTO_MAX).reaches("kv"));
    // What isn't looked into is as it says of itself.
    assert!(overruled(ACL_RULES_LOOKED_INTO_MAX + 1).reaches("kv"));
}
