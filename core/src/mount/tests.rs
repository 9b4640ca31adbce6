//! The rules of mounts: scenes with one point each.

use super::*;
use crate::{
    state::{Engine, KvEngine, Mounts, SecretRecord, Secrets, Txn, View},
    token::{TokenError, authorize, identify, tests::World},
    types::{Path, Secret, TokenId, Ttl},
};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn kv(at: &str) -> NewMount {
    NewMount {
        path: path(at),
        engine: Engine::Kv(KvEngine::V1),
        description: String::new(),
        default_ttl: None,
        max_ttl: None,
    }
}

fn ttl(seconds: u64) -> Option<Ttl> {
    Some(Ttl::from_seconds(seconds).unwrap())
}

fn reason<T>(result: Result<T, MountError>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.reason(),
    }
}

impl World {
    fn mount(&mut self, caller: &TokenId, new: NewMount) -> Result<MountInfo, MountError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = ManageMounts::Mount(new.path.clone(), Default::default());
            mount(&authorize(context, &caller, action)?, new, random)
        })
    }

    fn unmount(&mut self, caller: &TokenId, at: &str) -> Result<bool, MountError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            unmount(
                &authorize(context, &caller, ManageMounts::Unmount(path(at)))?,
                &path(at),
                random,
            )
        })
    }

    fn tune(&mut self, caller: &TokenId, at: &str, to: Change) -> Result<MountInfo, MountError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let permit = authorize(
                context,
                &caller,
                ManageMounts::Tune(path(at), Default::default()),
            )?;
            tune(&permit, &path(at), to, random)
        })
    }

    fn remount(&mut self, caller: &TokenId, from: &str, to: &str) -> Result<MountInfo, MountError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = ManageMounts::Remount(path(from), path(to));
            let permit = authorize(context, &caller, action)?;
            remount(&permit, &path(from), path(to), random)
        })
    }

    /// Where a path leads: the mount's path, and what is left of it.
    fn routed(&self, text: &str) -> Option<(String, String)> {
        let view = View::new(&self.store, &self.barrier);
        match route(&view, &path(text)) {
            Ok(Route::Mount(mount, below)) => {
                Some((mount.path.as_str().to_owned(), below.join("/")))
            }
            Ok(Route::Cubbyhole(below)) => Some((CUBBYHOLE.to_owned(), below.join("/"))),
            Ok(Route::Reserved) => Some(("reserved".to_owned(), String::new())),
            Err(MountError::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Planted bug: the mount's path is compared as text, not by whole segments. Caught.
#[test]
fn a_path_belongs_to_the_mount_above_it_by_whole_segments() {
    let (mut world, root) = World::with_root(1);
    for at in ["a", "b/c/d", "a b", "ab"] {
        world.mount(&root, kv(at)).unwrap();
    }
    let routed = |text| world.routed(text);
    let to = |mount: &str, rest: &str| Some((mount.to_owned(), rest.to_owned()));
    assert_eq!(routed("a"), to("a", ""));
    assert_eq!(routed("a/x/y"), to("a", "x/y"));
    assert_eq!(routed("ab/x"), to("ab", "x"));
    assert_eq!(routed("a b/x"), to("a b", "x"));
    assert_eq!(routed("b/c/d/e"), to("b/c/d", "e"));
    assert_eq!(routed("cubbyhole/x"), to("cubbyhole", "x"));
    for reserved in ["sys", "sys/mounts", "auth/token/create", "auth"] {
        assert_eq!(routed(reserved), to("reserved", ""), "{reserved}");
    }
    for none in ["b", "b/c", "b/c/dd", "abc", "A", "cubbyholes/x"] {
        assert_eq!(routed(none), None, "{none}");
    }
}

/// Planted bug: only the path itself counts as in use. Caught.
#[test]
fn no_mount_lies_under_or_above_another() {
    let (mut world, root) = World::with_root(2);
    world.mount(&root, kv("a/b")).unwrap();
    for at in ["a", "a/b", "a/b/c"] {
        assert_eq!(
            reason(world.mount(&root, kv(at))),
            "MOUNT_PATH_IN_USE",
            "{at}"
        );
    }
    world.mount(&root, kv("a/bb")).unwrap();
    world.mount(&root, kv("c")).unwrap();
    assert_eq!(
        reason(world.remount(&root, "c", "a/b/c")),
        "MOUNT_PATH_IN_USE"
    );
    // Under its own old path it is free to go.
    world.remount(&root, "c", "c/d").unwrap();
    world.remount(&root, "c/d", "c").unwrap();
}

#[test]
fn built_in_mounts_stay_as_they_are() {
    let (mut world, root) = World::with_root(3);
    for at in ["sys", "auth/token", "cubbyhole"] {
        assert_eq!(reason(world.unmount(&root, at)), "BUILT_IN_MOUNT", "{at}");
        let tuned = world.tune(&root, at, Change::default());
        assert_eq!(reason(tuned), "BUILT_IN_MOUNT", "{at}");
        assert_eq!(
            reason(world.remount(&root, at, "x")),
            "BUILT_IN_MOUNT",
            "{at}"
        );
    }
    for at in [
        "sys/x",
        "auth/x",
        "cubbyhole",
        "cubbyhole/x",
        "identity",
        "audit/x",
        "a*",
        "a/+",
        "tune",
        "a/tune",
    ] {
        assert_eq!(
            reason(world.mount(&root, kv(at))),
            "INVALID_ARGUMENT",
            "{at}"
        );
    }
    world.mount(&root, kv("a")).unwrap();
    for to in ["cubbyhole/a", "b/tune"] {
        assert_eq!(reason(world.remount(&root, "a", to)), "INVALID_ARGUMENT");
    }
    for kept in ["sys", "cubbyhole", "identity", "auth/token"] {
        assert_eq!(reason(world.unmount(&root, kept)), "BUILT_IN_MOUNT");
    }
    let all = world
        .read(|context| {
            let caller = identify(context, &root)?;
            list(&authorize(context, &caller, ManageMounts::List)?)
        })
        .unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|one| (one.path.as_str(), one.kind.name()))
        .collect();
    let expected = [
        ("a", "kv"),
        ("auth/token", "token"),
        ("cubbyhole", "cubbyhole"),
        ("sys", "system"),
    ];
    assert_eq!(shown, expected);
}

/// Planted bug: the default isn't compared with the system's maximum. Caught.
#[test]
fn the_default_life_is_within_the_longest() {
    let (mut world, root) = World::with_root(4);
    let long = NewMount {
        default_ttl: ttl(100),
        max_ttl: ttl(99),
        ..kv("a")
    };
    assert_eq!(reason(world.mount(&root, long)), "INVALID_ARGUMENT");
    let system = world.ttl.max_ttl().as_seconds();
    let longer = NewMount {
        default_ttl: ttl(system + 1),
        ..kv("a")
    };
    assert_eq!(
        reason(world.mount(&root, longer.clone())),
        "INVALID_ARGUMENT"
    );
    let both = NewMount {
        max_ttl: ttl(system + 2),
        ..longer
    };
    world.mount(&root, both).unwrap();
    let shorter = Change {
        max_ttl: Some(ttl(5)),
        ..Change::default()
    };
    assert_eq!(
        reason(world.tune(&root, "a", shorter.clone())),
        "INVALID_ARGUMENT"
    );
    let reset = Change {
        default_ttl: Some(None),
        ..shorter
    };
    let tuned = world.tune(&root, "a", reset).unwrap();
    assert_eq!(tuned.configured, (None, ttl(5)));
    assert_eq!(tuned.effective, (ttl(5).unwrap(), ttl(5).unwrap()));
    // What isn't named stays.
    let described = Change {
        description: Some("x".into()),
        ..Change::default()
    };
    assert_eq!(
        world.tune(&root, "a", described).unwrap().configured,
        (None, ttl(5))
    );
}

#[test]
fn kv_goes_from_version_1_to_2_and_never_back() {
    let (mut world, root) = World::with_root(5);
    world.mount(&root, kv("a")).unwrap();
    let to = |version| Change {
        kv: Some(version),
        ..Change::default()
    };
    let tuned = world.tune(&root, "a", to(KvEngine::V2)).unwrap();
    assert_eq!(tuned.kind.kv(), Some(KvEngine::V2));
    assert_eq!(
        reason(world.tune(&root, "a", to(KvEngine::V1))),
        "KV_DOWNGRADE"
    );
    assert_eq!(
        reason(world.tune(&root, "b", to(KvEngine::V2))),
        "MOUNT_NOT_FOUND"
    );
}

/// Planted bug: unmount leaves table `secret` alone. Caught.
#[test]
fn unmounting_deletes_what_the_mount_held_and_nothing_else() {
    let (mut world, root) = World::with_root(6);
    for at in ["a", "b"] {
        let info = world.mount(&root, kv(at)).unwrap();
        let key = crate::names::Place::new(&world.barrier, info.id, &["x"]).key();
        let record = SecretRecord {
            data: Secret::new(b"{}".to_vec()),
            written: world.now,
        };
        let mut txn = Txn::default();
        txn.insert::<Secrets>(&world.barrier, &key, &record, &mut world.random)
            .unwrap();
        world.apply(txn);
    }
    assert_eq!(world.rows::<Secrets>().len(), 2);
    let before = world.routed("a").is_some();
    assert!(before && world.unmount(&root, "a").unwrap());
    assert_eq!(world.rows::<Secrets>().len(), 1);
    assert!(!world.unmount(&root, "a").unwrap());
    assert_eq!(world.rows::<Mounts>()[0].value.len(), 1);
    // A new one at the same path has an id of its own.
    let again = world.mount(&root, kv("a")).unwrap();
    assert!(
        world
            .rows::<Secrets>()
            .iter()
            .all(|row| row.key.0 != again.id)
    );
}

#[test]
fn only_root_handles_mounts() {
    let (mut world, root) = World::with_root(7);
    let child = world.child(&root, "default");
    let refused = world.mount(&child, kv("a")).unwrap_err();
    assert!(matches!(
        refused,
        MountError::Token(TokenError::PermissionDenied(_))
    ));
}

/// What clients ask before each call, under policies that speak of secrets alone.
///
/// Planted bug: a right to a path that only begins like the mount's shows the mount. Caught.
#[test]
fn a_mount_is_shown_to_whoever_has_a_right_in_it() {
    let (mut world, root) = World::with_root(10);
    for at in ["kv", "kv2", "team/a"] {
        world.mount(&root, kv(at)).unwrap();
    }
    for (policy, shown) in [
        (r#"path "kv/x" { capabilities = ["read"] }"#, vec!["kv"]),
        (r#"path "kv2/*" { capabilities = ["list"] }"#, vec!["kv2"]),
        (
            r#"path "team/+/x" { capabilities = ["create"] }"#,
            vec!["team/a"],
        ),
        (
            r#"path "kv*" { capabilities = ["read"] }"#,
            vec!["kv", "kv2"],
        ),
        (r#"path "kv/*" { capabilities = ["deny"] }"#, vec![]),
        (
            r#"path "sys/internal/ui/mounts/kv" { capabilities = ["read"] }"#,
            vec!["kv"],
        ),
    ] {
        world.write_policy("p", policy);
        let token = world.child(&root, "p");
        let seen = world.read(|context| visible(context, &identify(context, &token)?));
        let mut seen: Vec<_> = seen.unwrap().into_iter().map(|one| one.path).collect();
        // Every token has rights in what is built in.
        seen.retain(|at| !BUILT_IN.contains(&at.as_str()));
        assert_eq!(seen, shown, "{policy}");
        for at in ["kv", "kv2", "team/a"] {
            let found = world.read(|context| {
                answering(
                    context,
                    &identify(context, &token)?,
                    &path(&format!("{at}/y")),
                )
            });
            let wanted = shown.contains(&at) && !policy.contains("internal");
            let said = reason(found);
            assert_eq!(said == "OK", wanted, "{policy} {at} {said}");
            assert!(wanted || said == "PERMISSION_DENIED", "{said}");
        }
        // Whether there is a mount is not told to who has no right there.
        let none = world
            .read(|context| answering(context, &identify(context, &token)?, &path("nowhere/y")));
        assert_eq!(reason(none), "PERMISSION_DENIED");
    }
    let none =
        world.read(|context| answering(context, &identify(context, &root)?, &path("nowhere/y")));
    assert_eq!(reason(none), "MOUNT_NOT_FOUND");
}

#[test]
fn a_mount_says_where_it_was_before() {
    let (mut world, root) = World::with_root(11);
    let made = world.mount(&root, kv("a")).unwrap();
    assert_eq!(made.moved_from, None);
    world.remount(&root, "a", "b").unwrap();
    let found = world.read(|context| {
        let caller = identify(context, &root)?;
        by_id(
            &authorize(context, &caller, ManageMounts::ReadMove(made.id))?,
            made.id,
        )
    });
    let found = found.unwrap();
    assert_eq!(
        (found.path.as_str(), found.moved_from.as_deref()),
        ("b", Some("a"))
    );
    // Who asks by some right in it has perhaps none where it was.
    let shown = world.read(|context| {
        let caller = identify(context, &root)?;
        let mut shown = visible(context, &caller)?;
        shown.push(answering(context, &caller, &path("b/x"))?);
        Ok::<_, MountError>(shown)
    });
    let shown = shown.unwrap();
    assert_eq!(shown.iter().filter(|one| one.path == "b").count(), 2);
    assert!(shown.iter().all(|one| one.moved_from.is_none()));
}

#[test]
fn the_table_is_bounded() {
    let (mut world, root) = World::with_root(8);
    for index in 0..crate::types::limits::MOUNTS_MAX {
        world.mount(&root, kv(&format!("m{index}"))).unwrap();
    }
    assert_eq!(reason(world.mount(&root, kv("more"))), "TOO_MANY_MOUNTS");
    let long = NewMount {
        description: "x".repeat(513),
        ..kv("n")
    };
    world.unmount(&root, "m0").unwrap();
    assert_eq!(reason(world.mount(&root, long)), "INVALID_ARGUMENT");
}

/// Planted bug: the mount table is only peeked at. Caught.
#[test]
fn a_call_on_a_path_rests_on_the_mount_table() {
    let world = World::new(9);
    let view = View::new(&world.store, &world.barrier);
    assert_eq!(reason(route(&view, &path("a/b"))), "MOUNT_NOT_FOUND");
    let table = crate::state::key_of::<Mounts>(&());
    assert!(view.into_reads().keys.contains(&table));
}
