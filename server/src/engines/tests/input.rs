//! What is no path, no data, or not the caller's to use.

use tenure_core::types::limits::{JSON_DEPTH_MAX, SECRET_DATA_BYTES_MAX};

use super::*;

#[test]
fn bad_paths_are_refused() {
    let mut world = World::with_kv(1, KvEngine::V1);
    let long = format!("kv/{}", "a".repeat(129));
    let deep = format!("kv{}", "/a".repeat(17));
    for path in [
        "",
        "/",
        "kv//a",
        "kv/../kv/a",
        "kv/.",
        "/kv/a",
        "kv/a\n",
        "kv/\0",
        &long,
        &deep,
    ] {
        let written = world.write(path, json!({"k": 1}));
        assert_eq!(reason(written), "INVALID_ARGUMENT", "{path:?}");
        assert_eq!(reason(world.read(path)), "INVALID_ARGUMENT", "{path:?}");
        assert_eq!(reason(world.delete(path)), "INVALID_ARGUMENT", "{path:?}");
    }
    assert_eq!(reason(world.list("kv//")), "INVALID_ARGUMENT");
    // Other spellings are other names.
    for path in ["KV/a", "kv2/a", "%6bv/a"] {
        assert_eq!(reason(world.read(path)), "MOUNT_NOT_FOUND", "{path}");
    }
    for path in ["sys/mounts", "auth/token/create", "sys"] {
        assert_eq!(reason(world.read(path)), "RESERVED_PATH", "{path}");
    }
}

#[test]
fn bad_data_is_refused() {
    let mut world = World::with_kv(2, KvEngine::V1);
    let deep = format!(
        r#"{{"k":{}{}}}"#,
        "[".repeat(JSON_DEPTH_MAX),
        "]".repeat(JSON_DEPTH_MAX)
    );
    let bomb = format!(r#"{{"k":{}"#, "[".repeat(500_000));
    let cases: [&[u8]; 10] = [
        b"null",
        b"[]",
        b"1",
        b"{",
        br#"{"k":1}}"#,
        br#"{"k":}"#,
        b"{\"k\":\"\xff\"}",
        br#"{"k":1} x"#,
        deep.as_bytes(),
        bomb.as_bytes(),
    ];
    for data in cases {
        let written = world.ask("kv/a", Ask::Write(data));
        assert_eq!(reason(written), "INVALID_ARGUMENT");
    }
    let huge = format!(r#"{{"k":"{}"}}"#, "x".repeat(SECRET_DATA_BYTES_MAX - 8));
    world.ask("kv/a", Ask::Write(huge.as_bytes())).unwrap();
    let huge = format!(r#"{{"k":"{}"}}"#, "x".repeat(SECRET_DATA_BYTES_MAX - 7));
    assert_eq!(
        reason(world.ask("kv/a", Ask::Write(huge.as_bytes()))),
        "TOO_LARGE"
    );
    // Brackets in texts are no depth.
    let text = format!(r#"{{"k":"\"{}"}}"#, "[".repeat(1_000));
    world.ask("kv/a", Ask::Write(text.as_bytes())).unwrap();
    assert_eq!(
        reason(world.ask("kv", Ask::List("zz", 1))),
        "INVALID_ARGUMENT"
    );
}

#[test]
fn a_patch_can_not_grow_a_secret_beyond_the_bound() {
    let mut world = World::with_kv(3, KvEngine::V2);
    let half = "x".repeat(SECRET_DATA_BYTES_MAX * 2 / 3);
    world
        .write("kv/data/a", json!({"data": {"a": half}}))
        .unwrap();
    let patched = world.patch("kv/data/a", json!({"data": {"b": half}}));
    assert_eq!(reason(patched), "TOO_LARGE");
}

#[test]
fn unknown_fields_are_named_by_number_alone() {
    let mut world = World::with_kv(4, KvEngine::V2);
    let text = br#"{"data":{},"secret-name":1}"#;
    let reply = world.ask("kv/data/a", Ask::Write(text)).unwrap();
    assert_eq!(reply.warnings.len(), 1);
    assert!(!reply.warnings[0].contains("secret-name"));
}

#[test]
fn what_no_policy_grants_is_denied_whether_it_is_there_or_not() {
    let mut world = World::with_kv(5, KvEngine::V1);
    let token = world.child();
    for path in ["kv/a", "sys/x", "none/x", "cubbyholes/a"] {
        for ask in [Ask::Read(b""), Ask::Write(b"{}"), Ask::Delete] {
            let asked = world.ask_as(&token, path, ask);
            assert_eq!(reason(asked), "PERMISSION_DENIED", "{path}");
        }
    }
}

/// What one reader of JSON takes and another refuses is never acted on: the rules of policies
/// would not see it.
#[test]
fn data_that_policies_can_not_read_is_refused() {
    let mut world = World::with_kv(6, KvEngine::V1);
    world.write_policy(
        "maker",
        r#"path "kv/*" { capabilities = ["create", "update"] denied_parameters = { "no" = [] } }"#,
    );
    let token = world.child();
    for text in [
        r#"{"no":1,"x":1e999}"#,
        r#"{"no":1,"x":"\ud800"}"#,
        r#"{"no":1,"x":[{"y":1e999}]}"#,
    ] {
        let asked = world.ask_as(&token, "kv/a", Ask::Write(text.as_bytes()));
        assert_eq!(reason(asked), "INVALID_ARGUMENT", "{text}");
        let asked = world.ask("kv/a", Ask::Write(text.as_bytes()));
        assert_eq!(reason(asked), "INVALID_ARGUMENT", "{text}");
    }
    let denied = world.ask_as(&token, "kv/a", Ask::Write(br#"{"no":1}"#));
    assert_eq!(reason(denied), "PERMISSION_DENIED");
    let many = format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat(20_000));
    let asked = world.ask("kv/a", Ask::Write(many.as_bytes()));
    assert_eq!(reason(asked), "INVALID_ARGUMENT");
    assert!(!world.exists("kv/a"));
}

/// Who may only create has to pass the rule's parameters too, and passes with them: what a write
/// is called is found out whatever the rule says of parameters.
#[test]
fn a_new_secret_with_the_required_parameters_is_created() {
    let mut world = World::with_kv(7, KvEngine::V1);
    world.write_policy(
        "maker",
        r#"path "kv/new/*" { capabilities = ["create"] required_parameters = ["owner"] }"#,
    );
    let token = world.child();
    let mut write = |path, text: &[u8]| reason(world.ask_as(&token, path, Ask::Write(text)));
    assert_eq!(write("kv/new/a", br#"{"x":1}"#), "PERMISSION_DENIED");
    assert_eq!(write("kv/new/a", br#"{"owner":"x"}"#), "OK");
    assert_eq!(write("kv/new/a", br#"{"owner":"y"}"#), "PERMISSION_DENIED");
    assert_eq!(write("kv/b", br#"{"owner":"x"}"#), "PERMISSION_DENIED");
}

/// A name that the JSON library gives a meaning of its own has none here: policies and bounds see
/// what is stored. Of equal names each value is judged, and whole numbers digit by digit.
#[test]
fn policies_see_what_is_stored() {
    let mut world = World::with_kv(8, KvEngine::V1);
    world.write_policy(
        "maker",
        r#"path "kv/*" {
            capabilities = ["create", "update"]
            allowed_parameters = { "role" = ["user", ["user"], 18446744073709551616] "*" = [] }
            denied_parameters = { "n" = [18446744073709551616] }
        }"#,
    );
    let token = world.child();
    for (text, expected) in [
        (r#"{"role":"user"}"#, "OK"),
        (r#"{"role":["us\u0065r"],"x":{"role":"admin"}}"#, "OK"),
        (r#"{"role":18446744073709551616}"#, "OK"),
        (r#"{"role":"admin"}"#, "PERMISSION_DENIED"),
        (r#"{"role":18446744073709551617}"#, "PERMISSION_DENIED"),
        (r#"{"n":18446744073709551616}"#, "PERMISSION_DENIED"),
        (r#"{"role":"admin","role":"user"}"#, "PERMISSION_DENIED"),
        (
            r#"{"role":{"$serde_json::private::RawValue":"\"user\""}}"#,
            "PERMISSION_DENIED",
        ),
        (
            r#"{"role":{"$serde_json::private::Number":"18446744073709551616"}}"#,
            "PERMISSION_DENIED",
        ),
        (
            r#"{"$serde_json::private::RawValue":"{\"role\":\"user\"}","role":"admin"}"#,
            "PERMISSION_DENIED",
        ),
    ] {
        let asked = world.ask_as(&token, "kv/a", Ask::Write(text.as_bytes()));
        assert_eq!(reason(asked), expected, "{text}");
    }
    let admitted = br#"{"$serde_json::private::RawValue":"no JSON"}"#;
    assert_eq!(reason(world.ask("kv/a", Ask::Write(admitted))), "OK");
}

/// Texts within texts are read by nobody: neither a bomb nor an endless nesting.
#[test]
fn texts_within_texts_are_not_read() {
    let mut world = World::with_kv(9, KvEngine::V2);
    let inner = format!("[{}0]", "0,".repeat(200_000));
    let mut nested = format!("{}{}", "[".repeat(60), "]".repeat(60));
    for _ in 0..8 {
        let text = Value::from(nested).to_string();
        nested = format!(r#"{{"$serde_json::private::RawValue":{text}}}"#);
    }
    for text in [
        Value::from(inner).to_string(),
        Value::from(nested).to_string(),
    ] {
        let trick = format!(r#"{{"$serde_json::private::RawValue":{text}}}"#);
        let stored = format!(r#"{{"data":{{"k":{trick}}}}}"#);
        let asked = world.ask("kv/data/a", Ask::Write(stored.as_bytes()));
        assert_eq!(reason(asked), "OK");
        for field in ["max_versions", "cas_required", "delete_version_after"] {
            let set = format!(r#"{{"{field}":{trick}}}"#);
            for path in ["kv/config", "kv/metadata/a"] {
                let asked = world.ask(path, Ask::Write(set.as_bytes()));
                assert_eq!(reason(asked), "INVALID_ARGUMENT", "{field}");
            }
        }
        for value in [&trick, &format!(r#"{{"k":{trick}}}"#)] {
            let set = format!(r#"{{"custom_metadata":{value}}}"#);
            for ask in [Ask::Write(set.as_bytes()), Ask::Patch(set.as_bytes())] {
                let asked = reason(world.ask("kv/metadata/a", ask));
                assert_eq!(asked, "INVALID_ARGUMENT");
            }
        }
        let named = format!(r#"{{"versions":{trick}}}"#);
        let asked = world.ask("kv/destroy/a", Ask::Write(named.as_bytes()));
        assert_eq!(reason(asked), "INVALID_ARGUMENT");
    }
}

/// However they are written, versions are as many as a secret may have.
#[test]
fn versions_are_bounded() {
    let mut world = World::with_kv(10, KvEngine::V2);
    world.write("kv/data/a", json!({"data": {}})).unwrap();
    let numbers = |n: usize| (1..=n).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for (text, expected) in [
        (format!(r#"{{"versions":"{}"}}"#, numbers(1_000)), "OK"),
        (
            format!(r#"{{"versions":[{}]}}"#, numbers(1_001)),
            "INVALID_ARGUMENT",
        ),
        (
            format!(r#"{{"versions":"{}"}}"#, numbers(1_001)),
            "INVALID_ARGUMENT",
        ),
        (
            format!(r#"{{"versions":"{}1"}}"#, "1,".repeat(200_000)),
            "OK",
        ),
    ] {
        let asked = world.ask("kv/undelete/a", Ask::Write(text.as_bytes()));
        assert_eq!(reason(asked), expected, "{:.40}", text);
    }
}

/// A name is bounded by itself, so that no upgrade, move or verb hides what is there.
#[test]
fn a_name_that_could_be_written_can_be_reached_for_good() {
    let mut world = World::with_kv(11, KvEngine::V1);
    let root = world.root.clone();
    let many = vec!["a"; 16].join("/");
    let long = [vec!["b".repeat(127); 4].join("/"), "b".to_owned()].concat();
    for name in [&many, &long] {
        world.write(&format!("kv/{name}"), json!({"k": 1})).unwrap();
        world
            .write(&format!("cubbyhole/{name}"), json!({"k": 1}))
            .unwrap();
        for mount in ["kv", "cubbyhole"] {
            let longer = world.write(&format!("{mount}/{name}/c"), json!({"k": 1}));
            assert_eq!(reason(longer), "INVALID_ARGUMENT");
        }
    }
    let to = [vec!["m".repeat(127); 4].join("/"), "m".to_owned()].concat();
    let (from, moved) = (Path::parse("kv").unwrap(), Path::parse(&to).unwrap());
    world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let tune = ManageMounts::Tune(from.clone(), Default::default());
            let change = mount::Change {
                kv: Some(KvEngine::V2),
                ..Default::default()
            };
            mount::tune(&authorize(context, &caller, tune)?, &from, change, random)
        })
        .unwrap();
    world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let action = ManageMounts::Remount(from.clone(), moved.clone());
            mount::remount(&authorize(context, &caller, action)?, &from, moved, random)
        })
        .unwrap();
    let one = json!({"versions": [1]});
    for name in [&many, &long] {
        assert_eq!(
            world.read(&format!("{to}/data/{name}")).unwrap()["data"]["k"],
            1
        );
        for verb in ["delete", "undelete", "destroy"] {
            world
                .write(&format!("{to}/{verb}/{name}"), one.clone())
                .unwrap();
        }
        world.delete(&format!("{to}/metadata/{name}")).unwrap();
        let longer = world.write(&format!("{to}/data/{name}/c"), json!({"data": {}}));
        assert_eq!(reason(longer), "INVALID_ARGUMENT");
    }
}

/// As RFC 7396 has it: `null` takes a field back to what it is when nothing was said.
#[test]
fn null_in_a_patch_of_metadata_takes_a_field_back() {
    let mut world = World::with_kv(12, KvEngine::V2);
    let set = json!({
        "max_versions": 5, "cas_required": true, "delete_version_after": "1h",
        "custom_metadata": {"a": "1"},
    });
    world.write("kv/metadata/a", set.clone()).unwrap();
    let fields = [
        "max_versions",
        "cas_required",
        "delete_version_after",
        "custom_metadata",
    ];
    let fresh = [json!(0), json!(false), json!("0s"), Value::Null];
    for (field, fresh) in fields.into_iter().zip(fresh) {
        // A write that says nothing changes nothing.
        world.write("kv/metadata/a", json!({field: null})).unwrap();
        assert_ne!(world.read("kv/metadata/a").unwrap()[field], fresh);
        world.patch("kv/metadata/a", json!({field: null})).unwrap();
        assert_eq!(
            world.read("kv/metadata/a").unwrap()[field],
            fresh,
            "{field}"
        );
    }
}
