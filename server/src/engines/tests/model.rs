//! kv version 2 compared with a model that keeps everything in plain maps.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tenure_core::state::{KvMetadatas, KvVersions, SecretNames};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Option<u8>),
    Patch(u8),
    Delete(u8),
    Versions(u8, u8, u8),
    MaxVersions(u8, u8),
    Forget(u8),
    Pass(u8),
}

/// A version: its data, if it was not destroyed, and whether it is deleted.
type Version = (Option<u64>, bool);

#[derive(Default)]
struct Secret {
    versions: BTreeMap<u64, Version>,
    current: u64,
    max: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..3u8;
    prop_oneof![
        4 => (name.clone(), prop::option::of(0..4u8)).prop_map(|(name, cas)| Step::Put(name, cas)),
        2 => name.clone().prop_map(Step::Patch),
        2 => name.clone().prop_map(Step::Delete),
        8 => (name.clone(), 0..3u8, 1..4u8).prop_map(|(name, what, version)| Step::Versions(name, what, version)),
        1 => (name.clone(), 0..4u8).prop_map(|(name, max)| Step::MaxVersions(name, max)),
        1 => name.prop_map(Step::Forget),
        1 => (1..100u8).prop_map(Step::Pass),
    ]
}

const NAMES: [&str; 3] = ["a", "a/b", "c/d"];

fn add(secret: &mut Secret, data: u64) {
    secret.current += 1;
    secret.versions.insert(secret.current, (Some(data), false));
    let max = if secret.max == 0 { 10 } else { secret.max };
    let current = secret.current;
    secret.versions.retain(|version, _| version + max > current);
}

fn apply(world: &mut World, model: &mut BTreeMap<usize, Secret>, step: &Step, count: u64) {
    match *step {
        Step::Put(name, cas) => {
            let name = usize::from(name);
            let mut body = json!({"data": {"n": count}});
            if let Some(cas) = cas {
                body["options"] = json!({"cas": cas});
            }
            let current = model.get(&name).map_or(0, |secret| secret.current);
            let fits = cas.is_none_or(|cas| u64::from(cas) == current);
            let written = world.write(&format!("kv/data/{}", NAMES[name]), body);
            assert_eq!(reason(written), if fits { "OK" } else { "CAS_MISMATCH" });
            if fits {
                add(model.entry(name).or_default(), count);
            }
        }
        Step::Patch(name) => {
            let name = usize::from(name);
            let path = format!("kv/data/{}", NAMES[name]);
            let patched = world.patch(&path, json!({"data": {"n": count}}));
            let secret = model.get_mut(&name);
            let secret = secret.filter(|secret| {
                let latest = secret.versions.get(&secret.current);
                latest.is_some_and(|(data, deleted)| data.is_some() && !deleted)
            });
            match secret {
                Some(secret) => {
                    patched.unwrap();
                    add(secret, count);
                }
                None => assert_eq!(reason(patched), "SECRET_NOT_FOUND"),
            }
        }
        Step::Delete(name) => {
            let name = usize::from(name);
            world.delete(&format!("kv/data/{}", NAMES[name])).unwrap();
            if let Some(secret) = model.get_mut(&name)
                && let Some(version) = secret.versions.get_mut(&secret.current)
            {
                version.1 |= version.0.is_some();
            }
        }
        Step::Versions(name, what, version) => {
            let name = usize::from(name);
            let part = ["delete", "undelete", "destroy"][usize::from(what)];
            let path = format!("kv/{part}/{}", NAMES[name]);
            world.write(&path, json!({"versions": [version]})).unwrap();
            let secret = model.get_mut(&name);
            let version = secret.and_then(|secret| secret.versions.get_mut(&version.into()));
            if let Some(version) = version.filter(|version| version.0.is_some()) {
                match part {
                    "delete" => version.1 = true,
                    "undelete" => version.1 = false,
                    _ => version.0 = None,
                }
            }
        }
        Step::MaxVersions(name, max) => {
            let name = usize::from(name);
            let path = format!("kv/metadata/{}", NAMES[name]);
            world.write(&path, json!({"max_versions": max})).unwrap();
            model.entry(name).or_default().max = max.into();
        }
        Step::Forget(name) => {
            let name = usize::from(name);
            world
                .delete(&format!("kv/metadata/{}", NAMES[name]))
                .unwrap();
            model.remove(&name);
        }
        Step::Pass(seconds) => world.pass(seconds.into()),
    }
}

fn compare(world: &mut World, model: &BTreeMap<usize, Secret>) {
    for (index, name) in NAMES.iter().enumerate() {
        let secret = model.get(&index);
        for version in 1..8u64 {
            let read = world.read_with(&format!("kv/data/{name}"), json!({"version": version}));
            let expected = secret.and_then(|secret| secret.versions.get(&version));
            match (read, expected) {
                (Ok(read), Some((Some(data), false))) => {
                    assert!(!read.deleted);
                    assert_eq!(shown(read)["data"]["n"], json!(data));
                }
                (Ok(read), Some((data, _))) => {
                    assert!(read.deleted);
                    let read = shown(read);
                    assert_eq!(read["data"], Value::Null);
                    assert_eq!(read["metadata"]["destroyed"], json!(data.is_none()));
                }
                (read, None) => assert_eq!(reason(read), "SECRET_NOT_FOUND"),
                (read, expected) => panic!("{} {expected:?}", reason(read)),
            }
        }
        let metadata = world.read(&format!("kv/metadata/{name}"));
        match secret {
            None => assert_eq!(reason(metadata), "SECRET_NOT_FOUND"),
            Some(secret) => assert_eq!(metadata.unwrap()["current_version"], json!(secret.current)),
        }
    }
    // On disk is what the model knows, and nothing else.
    let versions = model.values().flat_map(|secret| secret.versions.values());
    let kept = versions.filter(|version| version.0.is_some()).count();
    assert_eq!(world.rows::<KvVersions>().len(), kept);
    assert_eq!(world.rows::<KvMetadatas>().len(), model.len());
    assert_eq!(world.rows::<SecretNames>().is_empty(), model.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Planted bugs: `undelete` brings a destroyed version back; `cas` of a deleted secret is
    /// compared with 0; pruning forgets the data of a version on disk. All caught.
    #[test]
    fn kv_2_does_what_the_model_does(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::with_kv(seed, KvEngine::V2);
        let mut model = BTreeMap::new();
        for (count, step) in steps.iter().enumerate() {
            apply(&mut world, &mut model, step, count as u64);
            compare(&mut world, &model);
        }
    }
}
