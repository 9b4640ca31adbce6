//! Templates in paths: what fills them, and what an identity can't do.

use super::*;
use crate::policy::Operation::Read;

fn identity(name: &str) -> Identity {
    Identity {
        id: "e1".into(),
        name: name.into(),
        metadata: [("team/x".into(), "red".into())].into(),
        aliases: [(
            "auth_k8s_1".into(),
            Alias {
                id: "a1".into(),
                name: name.into(),
                metadata: [("ns".into(), "prod".into())].into(),
            },
        )]
        .into(),
    }
}

fn reads(template: &str, identity: Option<&Identity>, path: &str) -> bool {
    let policy = parse(&format!(
        "path \"{template}\" {{ capabilities = [\"read\"] }}"
    ))
    .unwrap();
    allows(&Acl::compile(&[&policy], identity), Read, path)
}

#[test]
fn directives_are_filled() {
    let joe = identity("joe");
    for (template, path) in [
        ("s/{{identity.entity.id}}/*", "s/e1/x"),
        ("s/{{ identity.entity.name }}", "s/joe"),
        ("{{identity.entity.name}}/+/x", "joe/y/x"),
        ("s/{{identity.entity.aliases.auth_k8s_1.name}}-x", "s/joe-x"),
        ("s/{{identity.entity.aliases.auth_k8s_1.id}}", "s/a1"),
        (
            "s/{{identity.entity.aliases.auth_k8s_1.metadata.ns}}",
            "s/prod",
        ),
        ("s/{{identity.entity.metadata.team/x}}", "s/red"),
        (
            "s/{{identity.entity.id}}{{identity.entity.name}}",
            "s/e1joe",
        ),
        ("/{{identity.entity.name}}*", "joey"),
    ] {
        assert!(reads(template, Some(&joe), path), "{template}");
        assert!(!reads(template, None, path), "{template}");
    }
}

#[test]
fn what_cannot_be_filled_is_skipped() {
    let joe = identity("joe");
    let bare = Identity::default();
    for template in [
        "s/{{identity.entity.metadata.none}}*",
        "s/{{identity.entity.aliases.none.name}}*",
        "s/{{identity.entity.aliases.auth_k8s_1.metadata.none}}*",
    ] {
        assert!(!reads(template, Some(&joe), "s/"), "{template}");
        assert!(!reads(template, Some(&joe), "s/x"), "{template}");
    }
    assert!(!reads("s/{{identity.entity.name}}*", Some(&bare), "s/x"));
    // The other rules of the policy stay.
    let text = "path \"s/{{identity.entity.id}}\" { capabilities = [\"read\"] } path \"a\" { capabilities = [\"read\"] }";
    assert!(allows(&acl(&[text]), Read, "a"));
}

#[test]
fn a_value_stands_for_itself() {
    // Wildcards are ordinary characters, wherever they come to stand.
    for (name, template, yes, no) in [
        ("+", "s/{{identity.entity.name}}/a", "s/+/a", "s/x/a"),
        ("+", "{{identity.entity.name}}", "+", "x"),
        ("*", "s/{{identity.entity.name}}", "s/*", "s/x"),
        ("x*", "s/{{identity.entity.name}}", "s/x*", "s/xy"),
        ("+", "s/{{identity.entity.name}}*", "s/+x", "s/x"),
        ("+", "s/+/{{identity.entity.name}}/b", "s/q/+/b", "s/q/x/b"),
        (
            "joe+tag",
            "s/{{identity.entity.name}}/*",
            "s/joe+tag/x",
            "s/joe/x",
        ),
        (
            "{{identity.entity.id}}",
            "s/{{identity.entity.name}}",
            "s/{{identity.entity.id}}",
            "s/e1",
        ),
    ] {
        let someone = identity(name);
        assert!(reads(template, Some(&someone), yes), "{template} {name}");
        assert!(!reads(template, Some(&someone), no), "{template} {name}");
    }
    // What doesn't fit into one segment fills nothing.
    for name in ["a/b", "/", "a/", "../a", "a\nb", "a\0"] {
        let someone = identity(name);
        for path in ["s/a/b", "s/a", "s/x", "s/a/b/x", "a"] {
            assert!(
                !reads("s/{{identity.entity.name}}*", Some(&someone), path),
                "{name:?}"
            );
        }
    }
    // Dots may fill a segment, but no canonical path has such a one.
    assert!(!reads(
        "s/{{identity.entity.name}}/a",
        Some(&identity("..")),
        "s/../a"
    ));
    // A filled "+" and a wildcard "+" are two paths: a deny on one isn't on the other.
    let text = "path \"s/{{identity.entity.name}}\" { capabilities = [\"deny\"] } path \"s/+\" { capabilities = [\"read\"] }";
    let policy = parse(text).unwrap();
    let acl = Acl::compile(&[&policy], Some(&identity("+")));
    assert!(allows(&acl, Read, "s/x") && !allows(&acl, Read, "s/+"));
}

#[test]
fn bad_templates_are_refused() {
    for (path, part) in [
        ("a/{{identity.entity.id", "pair up"),
        ("a/identity.entity.id}}", "pair up"),
        ("{{identity.entity.id}}}}", "pair up"),
        ("{{{{identity.entity.id}}}}", "pair up"),
        ("{{}}", "unknown template"),
        ("{{identity.entity.idd}}", "unknown template"),
        ("{{identity.groups.ids.x.name}}", "unknown template"),
        ("{{identity.entity.aliases.x}}", "unknown template"),
        ("{{identity.entity.metadata.}}", "unknown template"),
        ("{{time.now}}", "unknown template"),
    ] {
        let error = parse(&format!("\npath \"{path}\" {{}}")).unwrap_err();
        assert_eq!((error.line(), error.path()), (Some(2), Some(path)));
        assert!(error.to_string().contains(part), "{error}");
    }
}
