//! kv version 1, row by row.

use tenure_core::{
    mount::Change,
    state::{SecretNames, Secrets},
};

use super::*;

#[test]
fn a_value_is_replaced_whole_and_given_back_as_it_was_written() {
    let mut world = World::with_kv(1, KvEngine::V1);
    // Digits, order and equal names stay as they are.
    let text = br#"{"z": 123456789012345678901234567890, "a":[1,2.50,{"b":null}],"z":1e99}"#;
    world.ask("kv/a", Ask::Write(text)).unwrap();
    let reply = world.ask("kv/a", Ask::Read(b"")).unwrap();
    assert_eq!(reply.data.as_slice(), text);
    assert_eq!(reply.lease_duration, Some(world.ttl.default_ttl()));
    world.write("kv/a", json!({"k": 1})).unwrap();
    assert_eq!(world.read("kv/a").unwrap(), json!({"k": 1}));
}

#[test]
fn delete_is_idempotent_and_leaves_nothing() {
    let mut world = World::with_kv(2, KvEngine::V1);
    world.write("kv/a/b", json!({"k": 1})).unwrap();
    for _ in 0..2 {
        world.delete("kv/a/b").unwrap();
    }
    assert_eq!(reason(world.read("kv/a/b")), "SECRET_NOT_FOUND");
    assert!(world.rows::<SecretNames>().is_empty() && world.rows::<Secrets>().is_empty());
}

#[test]
fn a_list_is_one_level_and_folders_end_in_a_slash() {
    let mut world = World::with_kv(3, KvEngine::V1);
    for name in ["b", "a/x", "a", "c/d/e"] {
        world.write(&format!("kv/{name}"), json!({"k": 1})).unwrap();
    }
    assert_eq!(world.list("kv/").unwrap(), ["a", "a/", "b", "c/"]);
    assert_eq!(world.list("kv").unwrap(), ["a", "a/", "b", "c/"]);
    assert_eq!(world.list("kv/a").unwrap(), ["x"]);
    assert_eq!(world.list("kv/c/").unwrap(), ["d/"]);
    assert_eq!(reason(world.list("kv/none/")), "SECRET_NOT_FOUND");
}

#[test]
fn a_ttl_key_is_the_lease_duration() {
    let mut world = World::with_kv(4, KvEngine::V1);
    let cases = [
        (json!({"ttl": "1h"}), Some(3600)),
        (json!({"lease": 90}), Some(90)),
        (json!({"ttl": "never"}), None),
        (json!({"other": "1h"}), None),
    ];
    for (data, seconds) in cases {
        world.write("kv/a", data.clone()).unwrap();
        let shown = world.ask("kv/a", Ask::Read(b"")).unwrap().lease_duration;
        let expected = seconds.map_or(world.ttl.default_ttl().as_seconds(), |seconds| seconds);
        assert_eq!(shown.unwrap().as_seconds(), expected, "{data}");
    }
}

#[test]
fn what_kv_1_refuses() {
    let mut world = World::with_kv(5, KvEngine::V1);
    assert_eq!(reason(world.write("kv/a", json!({}))), "INVALID_ARGUMENT");
    assert_eq!(
        reason(world.write("kv", json!({"k": 1}))),
        "UNSUPPORTED_OPERATION"
    );
    assert_eq!(
        reason(world.write("kv/", json!({"k": 1}))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(reason(world.read("kv")), "UNSUPPORTED_OPERATION");
    world.write("kv/a", json!({"k": 1})).unwrap();
    assert_eq!(
        reason(world.patch("kv/a", json!({"k": 2}))),
        "UNSUPPORTED_OPERATION"
    );
}

#[test]
fn create_and_update_are_told_apart() {
    let mut world = World::with_kv(6, KvEngine::V1);
    assert!(!world.exists("kv/a"));
    world.write("kv/a", json!({"k": 1})).unwrap();
    assert!(world.exists("kv/a") && !world.exists("kv/b"));
}

/// Planted bug: what kv 1 wrote isn't taken over by the first change. Caught.
#[test]
fn an_upgrade_keeps_what_is_there_as_version_1() {
    let mut world = World::with_kv(7, KvEngine::V1);
    world.write("kv/a/b", json!({"k": 1})).unwrap();
    world.write("kv/c", json!({"k": 2})).unwrap();
    let root = world.root.clone();
    world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let action = ManageMounts::Tune(Path::parse("kv").unwrap(), Default::default());
            let permit = authorize(context, &caller, action)?;
            let change = Change {
                kv: Some(KvEngine::V2),
                ..Change::default()
            };
            mount::tune(&permit, &Path::parse("kv").unwrap(), change, random)
        })
        .unwrap();
    let read = world.read("kv/data/a/b").unwrap();
    assert_eq!(
        (&read["data"], &read["metadata"]["version"]),
        (&json!({"k": 1}), &json!(1))
    );
    assert_eq!(world.list("kv/metadata/").unwrap(), ["a/", "c"]);
    assert!(world.exists("kv/data/a/b"));
    world
        .write("kv/data/a/b", json!({"data": {"k": 3}}))
        .unwrap();
    let first = world
        .read_with("kv/data/a/b", json!({"version": 1}))
        .unwrap();
    assert_eq!(shown(first)["data"], json!({"k": 1}));
    assert_eq!(
        world.read("kv/data/a/b").unwrap()["metadata"]["version"],
        json!(2)
    );
    world
        .write("kv/destroy/c", json!({"versions": [1]}))
        .unwrap();
    assert_eq!(
        world.read("kv/data/c").unwrap()["metadata"]["destroyed"],
        json!(true)
    );
    // Nothing of version 1 is left of what was changed.
    assert!(world.rows::<Secrets>().is_empty());
    world.delete("kv/metadata/a/b").unwrap();
    world.delete("kv/metadata/c").unwrap();
    assert!(world.rows::<SecretNames>().is_empty());
}
