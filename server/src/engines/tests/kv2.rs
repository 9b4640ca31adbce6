//! kv version 2, row by row.

use tenure_core::state::{KvMetadatas, KvVersions, SecretNames};

use super::*;

fn world(seed: u64) -> World {
    World::with_kv(seed, KvEngine::V2)
}

fn put(world: &mut World, name: &str, data: Value) -> Value {
    let path = format!("kv/data/{name}");
    world.write(&path, json!({"data": data})).unwrap()
}

#[test]
fn each_write_is_a_version() {
    let mut world = world(1);
    let first = put(&mut world, "a", json!({"k": 1}));
    assert_eq!(first["version"], json!(1));
    assert_eq!(first["deletion_time"], json!(""));
    assert_eq!(first["destroyed"], json!(false));
    assert_eq!(first["custom_metadata"], Value::Null);
    assert_eq!(first["created_time"], json!("2023-11-14T22:13:20Z"));
    put(&mut world, "a", json!({}));
    let old = world
        .read_with("kv/data/a", json!({"version": "1"}))
        .unwrap();
    assert_eq!(shown(old)["data"], json!({"k": 1}));
    assert_eq!(world.read("kv/data/a").unwrap()["data"], json!({}));
    let none = world.read_with("kv/data/a", json!({"version": 3}));
    assert_eq!(reason(none), "SECRET_NOT_FOUND");
}

#[test]
fn digits_are_kept() {
    let mut world = world(2);
    let number = "123456789012345678901234567890.10";
    let text = format!(r#"{{"data":{{"n": {number}, "o":{{"x":1}}}}}}"#);
    world.ask("kv/data/a", Ask::Write(text.as_bytes())).unwrap();
    world
        .patch("kv/data/a", json!({"data": {"o": {"y": 2}}}))
        .unwrap();
    let read = world.ask("kv/data/a", Ask::Read(b"")).unwrap();
    let read = String::from_utf8(read.data.to_vec()).unwrap();
    assert!(read.contains(&format!(r#""n":{number}"#)), "{read}");
}

#[test]
fn cas_and_cas_required() {
    let mut world = world(3);
    let write = |world: &mut World, cas: u64| {
        world.write(
            "kv/data/a",
            json!({"data": {"k": cas}, "options": {"cas": cas}}),
        )
    };
    assert_eq!(reason(write(&mut world, 1)), "CAS_MISMATCH");
    write(&mut world, 0).unwrap();
    assert_eq!(reason(write(&mut world, 0)), "CAS_MISMATCH");
    write(&mut world, 1).unwrap();
    world
        .write("kv/config", json!({"cas_required": true}))
        .unwrap();
    let config = world.read("kv/config").unwrap();
    let expected = json!({"cas_required": true, "delete_version_after": "0s", "max_versions": 0});
    assert_eq!(config, expected);
    let without = world.write("kv/data/a", json!({"data": {}}));
    assert_eq!(reason(without), "CAS_REQUIRED");
    let without = world.patch("kv/data/a", json!({"data": {}}));
    assert_eq!(reason(without), "CAS_REQUIRED");
    write(&mut world, 2).unwrap();
    world
        .write("kv/config", json!({"cas_required": "false"}))
        .unwrap();
    world
        .write("kv/metadata/a", json!({"cas_required": true}))
        .unwrap();
    assert_eq!(
        reason(world.write("kv/data/a", json!({"data": {}}))),
        "CAS_REQUIRED"
    );
    put(&mut world, "b", json!({}));
    let wrong = world.write("kv/data/b", json!({"data": {}, "options": {"cas": "x"}}));
    assert_eq!(reason(wrong), "INVALID_ARGUMENT");
}

#[test]
fn what_is_deleted_is_not_shown_and_comes_back() {
    let mut world = world(4);
    put(&mut world, "a", json!({"k": 1}));
    world.delete("kv/data/a").unwrap();
    let reply = world.ask("kv/data/a", Ask::Read(b"")).unwrap();
    assert!(reply.deleted);
    let read = shown(reply);
    assert_eq!(
        (&read["data"], &read["metadata"]["version"]),
        (&Value::Null, &json!(1))
    );
    assert_ne!(read["metadata"]["deletion_time"], json!(""));
    assert_eq!(world.read("kv/subkeys/a").unwrap()["subkeys"], Value::Null);
    assert_eq!(
        reason(world.patch("kv/data/a", json!({"data": {}}))),
        "SECRET_NOT_FOUND"
    );
    world
        .write("kv/undelete/a", json!({"versions": [1]}))
        .unwrap();
    assert_eq!(world.read("kv/data/a").unwrap()["data"], json!({"k": 1}));
    world
        .write("kv/delete/a", json!({"versions": ["1", 7]}))
        .unwrap();
    assert_eq!(world.read("kv/data/a").unwrap()["data"], Value::Null);
    // The next write counts on.
    assert_eq!(put(&mut world, "a", json!({}))["version"], json!(2));
    for part in ["delete", "undelete", "destroy"] {
        world
            .write(&format!("kv/{part}/none"), json!({"versions": [1]}))
            .unwrap();
        let missing = world.write(&format!("kv/{part}/a"), json!({}));
        assert_eq!(reason(missing), "INVALID_ARGUMENT", "{part}");
    }
}

/// Planted bug: destroying leaves the version's data on disk. Caught.
#[test]
fn destroying_is_for_good() {
    let mut world = world(5);
    put(&mut world, "a", json!({"k": 1}));
    put(&mut world, "a", json!({"k": 2}));
    world
        .write("kv/destroy/a", json!({"versions": [2]}))
        .unwrap();
    assert_eq!(world.rows::<KvVersions>().len(), 1);
    world
        .write("kv/undelete/a", json!({"versions": [2]}))
        .unwrap();
    let reply = world.ask("kv/data/a", Ask::Read(b"")).unwrap();
    assert!(reply.deleted);
    assert_eq!(shown(reply)["metadata"]["destroyed"], json!(true));
    let first = world.read_with("kv/data/a", json!({"version": 1})).unwrap();
    assert_eq!(shown(first)["data"], json!({"k": 1}));
}

#[test]
fn deleting_the_metadata_deletes_everything() {
    let mut world = world(6);
    put(&mut world, "a/b", json!({"k": 1}));
    put(&mut world, "a/b", json!({"k": 2}));
    world.delete("kv/metadata/a/b").unwrap();
    world.delete("kv/metadata/a/b").unwrap();
    assert_eq!(reason(world.read("kv/data/a/b")), "SECRET_NOT_FOUND");
    assert_eq!(reason(world.read("kv/metadata/a/b")), "SECRET_NOT_FOUND");
    assert!(world.rows::<KvVersions>().is_empty() && world.rows::<KvMetadatas>().is_empty());
    assert!(world.rows::<SecretNames>().is_empty());
    assert_eq!(put(&mut world, "a/b", json!({}))["version"], json!(1));
}

#[test]
fn paths_of_kv_2() {
    let mut world = world(7);
    put(&mut world, "a/b", json!({}));
    put(&mut world, "c", json!({}));
    assert_eq!(world.list("kv/metadata/").unwrap(), ["a/", "c"]);
    assert_eq!(world.list("kv/metadata/a").unwrap(), ["b"]);
    assert_eq!(reason(world.list("kv/metadata/none")), "SECRET_NOT_FOUND");
    assert_eq!(reason(world.list("kv/data/")), "UNSUPPORTED_OPERATION");
    assert_eq!(reason(world.read("kv/a/b")), "NOT_A_VERSIONED_PATH");
    assert_eq!(
        reason(world.write("kv/c", json!({"k": 1}))),
        "NOT_A_VERSIONED_PATH"
    );
    assert_eq!(reason(world.list("kv/")), "NOT_A_VERSIONED_PATH");
    assert_eq!(reason(world.read("kv/config/x")), "NOT_A_VERSIONED_PATH");
    assert_eq!(
        reason(world.write("kv/data", json!({"data": {}}))),
        "UNSUPPORTED_OPERATION"
    );
    assert_eq!(
        reason(world.write("kv/data/c", json!({"k": 1}))),
        "INVALID_ARGUMENT"
    );
    assert!(world.exists("kv/data/c") && world.exists("kv/config") && !world.exists("kv/data/d"));
}

/// Planted bug: the oldest version is kept one write too long. Caught.
#[test]
fn as_many_versions_are_kept_as_configured() {
    let mut world = world(8);
    let kept = |world: &mut World, name: &str| {
        let metadata = world.read(&format!("kv/metadata/{name}")).unwrap();
        let versions = metadata["versions"].as_object().unwrap().len();
        (versions, metadata["oldest_version"].clone())
    };
    for number in 0..12 {
        put(&mut world, "ten", json!({"k": number}));
    }
    assert_eq!(kept(&mut world, "ten"), (10, json!(3)));
    world
        .write("kv/metadata/two", json!({"max_versions": 2}))
        .unwrap();
    for number in 1..=3 {
        put(&mut world, "two", json!({"k": number}));
    }
    assert_eq!(kept(&mut world, "two"), (2, json!(2)));
    let pruned = world.read_with("kv/data/two", json!({"version": 1}));
    assert_eq!(reason(pruned), "SECRET_NOT_FOUND");
    world
        .write("kv/config", json!({"max_versions": 1}))
        .unwrap();
    put(&mut world, "one", json!({}));
    put(&mut world, "one", json!({}));
    assert_eq!(kept(&mut world, "one"), (1, json!(2)));
    assert_eq!(world.rows::<KvVersions>().len(), 13);
    let most = json!({"max_versions": 1001});
    assert_eq!(reason(world.write("kv/config", most)), "INVALID_ARGUMENT");
}

#[test]
fn custom_metadata_is_kept_and_patched() {
    let mut world = world(9);
    let metadata = json!({"max_versions": 5, "custom_metadata": {"a": "1"}});
    world.write("kv/metadata/a", metadata).unwrap();
    let written = put(&mut world, "a", json!({"k": 1}));
    assert_eq!(written["custom_metadata"], json!({"a": "1"}));
    let patch = json!({"custom_metadata": {"b": "2"}});
    world.patch("kv/metadata/a", patch).unwrap();
    let shown = world.read("kv/metadata/a").unwrap();
    assert_eq!(shown["custom_metadata"], json!({"a": "1", "b": "2"}));
    assert_eq!(shown["max_versions"], json!(5));
    world
        .patch("kv/metadata/a", json!({"custom_metadata": {"a": null}}))
        .unwrap();
    assert_eq!(
        world.read("kv/metadata/a").unwrap()["custom_metadata"],
        json!({"b": "2"})
    );
    world
        .write("kv/metadata/a", json!({"custom_metadata": {}}))
        .unwrap();
    assert_eq!(
        world.read("kv/metadata/a").unwrap()["custom_metadata"],
        Value::Null
    );
    for wrong in [
        json!({"n": {"x": 1}}),
        json!({"n": 1}),
        json!("x"),
        json!({"k".repeat(129): "v"}),
    ] {
        let written = world.write("kv/metadata/b", json!({"custom_metadata": wrong}));
        assert_eq!(reason(written), "INVALID_ARGUMENT");
    }
    assert_eq!(
        reason(world.patch("kv/metadata/b", json!({}))),
        "SECRET_NOT_FOUND"
    );
}

#[test]
fn a_patch_merges() {
    let mut world = world(10);
    put(
        &mut world,
        "a",
        json!({"a": "1", "b": "2", "n": {"x": "1", "y": "2"}, "l": [1, {"z": null}]}),
    );
    let patch = json!({"b": null, "c": "3", "n": {"y": "9"}, "new": {"in": {"gone": null, "is": 1}}, "a": {"o": 1}});
    let patched = world.patch("kv/data/a", json!({"data": patch})).unwrap();
    assert_eq!(patched["version"], json!(2));
    let expected = json!({"a": {"o": 1}, "c": "3", "n": {"x": "1", "y": "9"},
        "new": {"in": {"is": 1}}, "l": [1, {"z": null}]});
    assert_eq!(world.read("kv/data/a").unwrap()["data"], expected);
    assert_eq!(
        reason(world.patch("kv/data/none", json!({"data": {}}))),
        "SECRET_NOT_FOUND"
    );
    let stale = world.patch("kv/data/a", json!({"data": {}, "options": {"cas": 1}}));
    assert_eq!(reason(stale), "CAS_MISMATCH");
}

/// Planted bug: a version is shown until a clean-up would come. Caught.
#[test]
fn versions_end_by_themselves() {
    let mut world = world(11);
    world
        .write("kv/config", json!({"delete_version_after": "10s"}))
        .unwrap();
    world
        .write("kv/metadata/a", json!({"delete_version_after": "2s"}))
        .unwrap();
    world
        .write("kv/metadata/b", json!({"delete_version_after": "1h"}))
        .unwrap();
    let time = |written: Value| written["deletion_time"].as_str().unwrap().to_owned();
    assert_eq!(
        time(put(&mut world, "a", json!({}))),
        "2023-11-14T22:13:22Z"
    );
    // The mount's is the longest.
    assert_eq!(
        time(put(&mut world, "b", json!({}))),
        "2023-11-14T22:13:30Z"
    );
    assert_eq!(
        world.read("kv/metadata/b").unwrap()["delete_version_after"],
        json!("1h0m0s")
    );
    world.pass(1);
    assert_eq!(world.read("kv/data/a").unwrap()["data"], json!({}));
    world.pass(1);
    assert_eq!(world.read("kv/data/a").unwrap()["data"], Value::Null);
    world
        .write("kv/undelete/a", json!({"versions": [1]}))
        .unwrap();
    world.pass(3600);
    assert_eq!(world.read("kv/data/a").unwrap()["data"], json!({}));
}

#[test]
fn subkeys_show_no_values() {
    let mut world = world(12);
    put(
        &mut world,
        "a",
        json!({"a": "1", "n": {"x": "1", "d": {"e": 1}}, "l": [1], "o": {}}),
    );
    let read = world.read("kv/subkeys/a").unwrap();
    let expected = json!({"a": null, "n": {"x": null, "d": {"e": null}}, "l": null, "o": null});
    assert_eq!(read["subkeys"], expected);
    assert_eq!(read["metadata"]["version"], json!(1));
    let flat = world
        .read_with("kv/subkeys/a", json!({"depth": 1}))
        .unwrap();
    assert_eq!(
        shown(flat)["subkeys"],
        json!({"a": null, "n": null, "l": null, "o": null})
    );
}
