//! One rule, one scene.

use std::{collections::BTreeMap, num::NonZeroU32};

use super::*;
use crate::state::Store;
use crate::types::{Accessor, Expiry, Meta, PolicyName};

fn texts(set: &PolicySet) -> Vec<&str> {
    set.iter().map(PolicyName::as_str).collect()
}

fn ask(names: &[&str]) -> CreateRequest {
    CreateRequest {
        policies: policies(names),
        ..CreateRequest::default()
    }
}

#[test]
fn root_looks_like_the_peers() {
    let (mut world, root) = World::with_root(1);
    let info = world.lookup(&root, Target::Caller).unwrap();
    assert_eq!(
        (info.path.as_str(), info.display_name.as_str()),
        ("auth/token/root", "root")
    );
    assert_eq!(
        (info.ttl, info.expiry, info.renewable),
        (None, Expiry::Never, false)
    );
    assert_eq!(
        (texts(&info.policies), info.orphan, info.num_uses),
        (vec!["root"], true, 0)
    );
    assert_eq!(
        reason(world.renew(&root, Target::Caller, TtlRequest::Default)),
        "NOT_RENEWABLE"
    );
    world.wait("2000000h");
    assert!(world.alive(&root));
}

#[test]
fn a_token_is_shown_as_it_was_made() {
    let (mut world, root) = World::with_root(2);
    let request = CreateRequest {
        meta: Meta::new([("team".into(), "a".into())]).unwrap(),
        display_name: "ci job".into(),
        ttl: of("1h"),
        explicit_max_ttl: of("2h"),
        ..ask(&["B", "a"])
    };
    world.write_policy("a", "");
    let made = world.create(&root, request).unwrap();
    assert!(made.id.expose().starts_with("hvs."));
    // A policy that doesn't exist is no mistake, but worth a word.
    assert_eq!(made.warnings, ["policy \"b\" does not exist"]);
    world.now = world.now.saturating_add_ms(1);
    let info = world.lookup(&made.id, Target::Caller).unwrap();
    assert_eq!(texts(&info.policies), ["a", "b", "default"]);
    assert_eq!(info.ttl, Some(ttl("59m59s")));
    assert_eq!(
        (info.creation_ttl, info.explicit_max_ttl),
        (Some(ttl("1h")), Some(ttl("2h")))
    );
    assert_eq!(
        (info.display_name.as_str(), info.path.as_str()),
        ("token-ci-job", "auth/token/create")
    );
    assert!(info.renewable && !info.orphan && info.last_renewal.is_none());
    assert_eq!(info.id, Some(made.id.clone()));
    assert_eq!(info.accessor.as_ref().unwrap().as_str().len(), 24);
    // By accessor the id isn't shown.
    let by_accessor = world
        .lookup(&root, Target::Accessor(info.accessor.clone().unwrap()))
        .unwrap();
    assert_eq!(
        (by_accessor.id, by_accessor.accessor),
        (None, info.accessor)
    );
}

#[test]
fn children_stay_within_their_parent() {
    let (mut world, root) = World::with_root(3);
    let parent = world.create(&root, ask(&["a", "b"])).unwrap().id;
    assert_eq!(
        texts(&world.create(&parent, ask(&["a"])).unwrap().info.policies),
        ["a", "default"]
    );
    assert_eq!(
        texts(&world.create(&parent, ask(&[])).unwrap().info.policies),
        ["a", "b", "default"]
    );
    for (names, why) in [
        (&["c"][..], "POLICIES_NOT_SUBSET"),
        (&["a", "c"], "POLICIES_NOT_SUBSET"),
        (&["root"], "ROOT_REQUIRED"),
        (&[" ROOT "], "ROOT_REQUIRED"),
    ] {
        assert_eq!(reason(world.create(&parent, ask(names))), why);
    }
    // With sudo on the path a child may get any policy but root.
    world.write_policy(
        "b",
        r#"path "auth/token/create" { capabilities = ["update", "sudo"] }"#,
    );
    assert_eq!(reason(world.create(&parent, ask(&["c"]))), "OK");
    assert_eq!(
        reason(world.create(&parent, ask(&["root"]))),
        "ROOT_REQUIRED"
    );
    world.write_policy("b", "");
    assert_eq!(
        reason(world.create(&parent, ask(&["c"]))),
        "POLICIES_NOT_SUBSET"
    );
    // A parent without `default` can't give it.
    let bare = CreateRequest {
        no_default_policy: true,
        ..ask(&["a"])
    };
    let bare = world.create(&root, bare).unwrap().id;
    // What its policies don't say it can't do; what they say at once, it can.
    assert_eq!(reason(world.create(&bare, ask(&[]))), "PERMISSION_DENIED");
    world.write_policy(
        "a",
        r#"path "auth/token/create" { capabilities = ["update"] }"#,
    );
    assert_eq!(
        texts(&world.create(&bare, ask(&[])).unwrap().info.policies),
        ["a"]
    );
    assert_eq!(
        reason(world.create(&bare, ask(&["default"]))),
        "POLICIES_NOT_SUBSET"
    );
    // Root's children inherit root.
    let heir = world.create(&root, ask(&[])).unwrap();
    assert_eq!(
        (texts(&heir.info.policies), heir.info.expiry),
        (vec!["root"], Expiry::Never)
    );
}

#[test]
fn some_wishes_are_roots_alone() {
    let (mut world, root) = World::with_root(4);
    let token = world.child(&root, "a");
    let id = TokenId::custom("my-token").unwrap();
    let wishes = [
        CreateRequest {
            no_parent: true,
            ..CreateRequest::default()
        },
        CreateRequest {
            id: Some(id.clone()),
            ..CreateRequest::default()
        },
        CreateRequest {
            period: of("1h"),
            ..CreateRequest::default()
        },
    ];
    for wish in wishes {
        assert_eq!(reason(world.create(&token, wish.clone())), "SUDO_REQUIRED");
        assert_eq!(reason(world.create(&root, wish)), "OK");
    }
    assert!(world.alive(&id));
    let again = CreateRequest {
        id: Some(id),
        ..CreateRequest::default()
    };
    assert_eq!(reason(world.create(&root, again)), "INVALID_ARGUMENT");
}

#[test]
fn others_manage_themselves_and_nobody_else() {
    let (mut world, root) = World::with_root(5);
    let (one, two) = (world.child(&root, "a"), world.child(&root, "a"));
    let accessor = |world: &World, id: &TokenId| world.lookup(id, Target::Caller).unwrap().accessor;
    let other = accessor(&world, &two);
    assert_eq!(reason(world.lookup(&one, Target::Caller)), "OK");
    assert_eq!(reason(world.renew(&one, Target::Caller, of("1h"))), "OK");
    // The same answer whether the other token exists or not.
    let unknown = Accessor::issue(&mut world.random);
    let targets = [
        Target::Id(two.clone()),
        Target::Id(TokenId::parse("hvs.unknown").unwrap()),
        Target::Accessor(other.unwrap()),
        Target::Accessor(unknown),
    ];
    for target in targets {
        assert_eq!(
            reason(world.lookup(&one, target.clone())),
            "PERMISSION_DENIED"
        );
        assert_eq!(
            reason(world.renew(&one, target.clone(), of("1h"))),
            "PERMISSION_DENIED"
        );
        assert_eq!(
            reason(world.revoke(&one, target.clone())),
            "PERMISSION_DENIED"
        );
        assert_eq!(
            reason(world.revoke_orphan(&one, target)),
            "PERMISSION_DENIED"
        );
    }
    assert_eq!(
        reason(world.revoke_orphan(&one, Target::Caller)),
        "PERMISSION_DENIED"
    );
    let listed = world.read(|context| {
        let caller = identify(context, &one)?;
        authorize(context, &caller, ListTokens).map(drop)
    });
    assert_eq!(reason(listed), "PERMISSION_DENIED");
    let run = world.read(|context| {
        let caller = identify(context, &one)?;
        authorize(context, &caller, Administer::Seal).map(drop)
    });
    assert_eq!(reason(run), "PERMISSION_DENIED");
    assert!(world.alive(&two));
    assert_eq!(reason(world.revoke(&one, Target::Caller)), "OK");
    assert!(!world.alive(&one));
}

#[test]
fn unknown_targets_are_told_to_root() {
    let (mut world, root) = World::with_root(6);
    let id = || Target::Id(TokenId::parse("hvs.unknown").unwrap());
    let accessor = Target::Accessor(Accessor::issue(&mut world.random));
    assert_eq!(reason(world.lookup(&root, id())), "TOKEN_NOT_FOUND");
    assert_eq!(
        reason(world.renew(&root, id(), of("1h"))),
        "TOKEN_NOT_FOUND"
    );
    assert_eq!(reason(world.revoke_orphan(&root, id())), "TOKEN_NOT_FOUND");
    assert_eq!(
        reason(world.lookup(&root, accessor.clone())),
        "TOKEN_NOT_FOUND"
    );
    // Revoking is idempotent.
    let none = Revoked {
        found: false,
        warnings: vec![],
    };
    assert_eq!(world.revoke(&root, id()).unwrap(), none);
    assert_eq!(world.revoke(&root, accessor).unwrap().warnings.len(), 1);
}

#[test]
fn expiry_is_refused_at_use() {
    let (mut world, root) = World::with_root(7);
    let request = CreateRequest {
        ttl: of("1h"),
        ..ask(&["a"])
    };
    let id = world.create(&root, request).unwrap().id;
    let child = world.child(&id, "a");
    world.now = world.now.saturating_add_ms(3_599_999);
    assert!(world.alive(&id) && world.alive(&child));
    world.now = world.now.saturating_add_ms(1);
    // Though no clean-up has run, and though the child has 768 hours left.
    assert!(!world.alive(&id) && !world.alive(&child));
    assert_eq!(
        reason(world.renew(&root, Target::Id(id), of("1h"))),
        "TOKEN_NOT_FOUND"
    );
    world.settle();
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

/// Nobody renews it, by any way, and it ends at its time.
///
/// Planted bug: `renewable` isn't looked at. Caught.
#[test]
fn a_token_that_is_not_renewable_runs_out() {
    let (mut world, root) = World::with_root(23);
    let request = CreateRequest {
        renewable: false,
        ttl: of("1h"),
        ..ask(&["a"])
    };
    let made = world.create(&root, request).unwrap();
    assert!(!made.info.renewable);
    let accessor = made.info.accessor.clone().unwrap();
    world.wait("30m");
    for (caller, target) in [
        (&made.id, Target::Caller),
        (&root, Target::Id(made.id.clone())),
        (&root, Target::Accessor(accessor)),
    ] {
        for by in [TtlRequest::Default, of("2h")] {
            let renewed = world.renew(caller, target.clone(), by);
            assert_eq!(reason(renewed), "NOT_RENEWABLE");
        }
    }
    let info = world.lookup(&made.id, Target::Caller).unwrap();
    assert!(!info.renewable && info.last_renewal.is_none());
    assert_eq!(info.ttl, Some(ttl("30m")));
    world.now = world.now.saturating_add_ms(30 * 60 * 1000 - 1);
    assert!(world.alive(&made.id));
    world.now = world.now.saturating_add_ms(1);
    assert!(!world.alive(&made.id));
    world.settle();
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

#[test]
fn a_renewed_token_outlives_its_old_row() {
    let (mut world, root) = World::with_root(8);
    let request = CreateRequest {
        ttl: of("1h"),
        ..ask(&["a"])
    };
    let id = world.create(&root, request).unwrap().id;
    let old = world.rows::<TimeIndex>()[0].key.clone();
    let before = world.lookup(&id, Target::Caller).unwrap();
    world.wait("30m");
    let renewed = world
        .renew(&id, Target::Caller, TtlRequest::Default)
        .unwrap();
    // Its end moves, and what it was given at first doesn't.
    assert!(renewed.info.expiry.at() > before.expiry.at());
    assert_eq!(
        (renewed.info.creation_time, renewed.info.creation_ttl),
        (before.creation_time, before.creation_ttl)
    );
    assert_eq!(
        (renewed.info.ttl, renewed.info.last_renewal),
        (Some(ttl("1h")), Some(world.now))
    );
    world.wait("40m");
    // An old leader acts on the row that it read before the renewal.
    let expired = world
        .commit(|context, random| expire(context, &[old], random))
        .unwrap();
    assert_eq!(
        expired,
        Expired {
            stale: 1,
            ..Expired::default()
        }
    );
    assert!(world.alive(&id));
    // And rows that aren't due are left alone.
    let row = world.rows::<TimeIndex>()[0].key.clone();
    let expired = world
        .commit(|context, random| expire(context, std::slice::from_ref(&row), random))
        .unwrap();
    assert_eq!(expired, Expired::default());
    world.wait("20m");
    assert!(!world.alive(&id));
    world.settle();
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

#[test]
fn an_expiring_root_makes_nothing_eternal() {
    let (mut world, root) = World::with_root(9);
    let mortal = world
        .create(
            &root,
            CreateRequest {
                ttl: of("1h"),
                ..ask(&["root"])
            },
        )
        .unwrap();
    assert!(mortal.info.renewable);
    assert_eq!(
        reason(world.create(&mortal.id, ask(&["root"]))),
        "EXPIRING_ROOT_PARENT"
    );
    let orphan = CreateRequest {
        no_parent: true,
        ..ask(&[])
    };
    assert_eq!(
        reason(world.create(&mortal.id, orphan)),
        "EXPIRING_ROOT_PARENT"
    );
    let request = CreateRequest {
        ttl: of("2h"),
        ..ask(&["root"])
    };
    assert_eq!(reason(world.create(&mortal.id, request)), "OK");
}

#[test]
fn uses_are_counted_to_the_last() {
    let (mut world, root) = World::with_root(10);
    let request = CreateRequest {
        num_uses: NonZeroU32::new(2),
        ..ask(&["a"])
    };
    let id = world.create(&root, request).unwrap().id;
    let seen = |world: &World, caller: &Caller| {
        world
            .read(|context| lookup(&authorize(context, caller, Lookup(Target::Caller))?))
            .unwrap()
            .num_uses
    };
    // Being looked at by another token costs nothing.
    assert_eq!(
        world
            .lookup(&root, Target::Id(id.clone()))
            .unwrap()
            .num_uses,
        2
    );
    let caller = world.spend(&id).unwrap();
    assert_eq!(seen(&world, &caller), 1);
    let child = world.read(|context| {
        create(
            &authorize(context, &caller, Create::default())?,
            ask(&[]),
            &mut TestRandom::new(1),
        )
    });
    assert_eq!(reason(child), "USE_LIMITED_PARENT");
    // The last use is served, and shows -1.
    let caller = world.spend(&id).unwrap();
    assert!(caller.is_spent());
    assert_eq!(seen(&world, &caller), -1);
    let info = world
        .read(|context| lookup(&authorize(context, &caller, Lookup(Target::Caller))?))
        .unwrap();
    assert_eq!(info.num_uses, -1);
    let renewed = world.commit(|context, random| {
        renew(
            &authorize(context, &caller, Renew(Target::Caller, of("1h")))?,
            random,
        )
    });
    assert_eq!(reason(renewed), "LAST_USE");
    let revoked = world.commit(|context, random| {
        revoke(
            &authorize(context, &caller, Revoke(Target::Caller))?,
            random,
        )
    });
    assert!(revoked.unwrap().found);
    assert!(!world.alive(&id));
    assert_eq!(reason(world.spend(&id)), "INVALID_TOKEN");
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

#[test]
fn a_tree_dies_and_orphans_and_siblings_live() {
    let (mut world, root) = World::with_root(11);
    let parent = world.create(&root, ask(&["root"])).unwrap().id;
    let sibling = world.child(&root, "a");
    let child = world.create(&parent, ask(&["root"])).unwrap().id;
    let grandchild = world.child(&child, "a");
    let orphan = world
        .create(
            &child,
            CreateRequest {
                no_parent: true,
                ..ask(&["a"])
            },
        )
        .unwrap();
    assert!(orphan.info.orphan);
    world.revoke(&root, Target::Id(parent.clone())).unwrap();
    for (id, lives) in [
        (&parent, false),
        (&child, false),
        (&grandchild, false),
        (&orphan.id, true),
        (&sibling, true),
    ] {
        assert_eq!(world.alive(id), lives);
    }
    assert_eq!(world.list_all(&root, 2).len(), 3);
    world.settle();
    assert_eq!(world.counts(), [3, 3, 1, 2]);
    assert_eq!(world.revocations, Revocations::default());
}

#[test]
fn revoke_orphan_frees_the_children() {
    let (mut world, root) = World::with_root(12);
    let top = world.create(&root, ask(&["root"])).unwrap().id;
    let middle = world.create(&top, ask(&["root"])).unwrap().id;
    let child = world.create(&middle, ask(&["root"])).unwrap().id;
    let grandchild = world.child(&child, "a");
    world
        .revoke_orphan(&root, Target::Id(middle.clone()))
        .unwrap();
    assert!(!world.alive(&middle) && world.alive(&child) && world.alive(&grandchild));
    assert!(world.lookup(&child, Target::Caller).unwrap().orphan);
    assert!(!world.lookup(&grandchild, Target::Caller).unwrap().orphan);
    // Free of what lay above the cut, too.
    world.revoke(&root, Target::Id(top)).unwrap();
    world.settle();
    assert!(world.alive(&child) && world.alive(&grandchild));
    // The tree below the cut is still a tree; then the marker has nothing left to say.
    let late = world.child(&child, "a");
    world.revoke(&root, Target::Id(child)).unwrap();
    assert!(!world.alive(&grandchild) && !world.alive(&late));
    world.settle();
    assert_eq!(world.counts(), [1, 1, 0, 0]);
    assert_eq!(world.revocations, Revocations::default());
}

#[test]
fn depth_has_a_bound() {
    let (mut world, root) = World::with_root(13);
    let mut deepest = root.clone();
    for _ in 0..crate::types::limits::TOKEN_ANCESTORS_MAX {
        deepest = world.create(&deepest, ask(&["root"])).unwrap().id;
    }
    assert_eq!(
        reason(world.create(&deepest, ask(&["root"]))),
        "TOKEN_TREE_TOO_DEEP"
    );
    let orphan = CreateRequest {
        no_parent: true,
        ..ask(&["root"])
    };
    assert_eq!(reason(world.create(&deepest, orphan)), "OK");
    // Revoking at the second level ends all of them at once.
    let second = world.lookup(&root, Target::Caller).unwrap();
    assert!(second.orphan);
    world.revoke(&root, Target::Id(root.clone())).unwrap();
    assert!(!world.alive(&deepest));
}

/// A tree of `tokens`, 50 deep, beside siblings and orphans inside it: revoked in one
/// transaction of a few rows, cleaned up to the last record.
fn large_tree(tokens: usize) {
    let (mut world, root) = World::with_root(16);
    let sibling = world.child(&root, "a");
    let mut path = vec![world.create(&root, ask(&["root"])).unwrap().id];
    let (mut all, mut orphans) = (path.clone(), Vec::new());
    while all.len() < tokens {
        // Down to 50, then back up by a random way and down again.
        if path.len() == 50 {
            let [up] = crate::random::array(&mut world.random);
            path.truncate(1 + usize::from(up) % 49);
        }
        let parent = path[path.len() - 1].clone();
        let no_parent = (all.len() + orphans.len()).is_multiple_of(97);
        let request = CreateRequest {
            no_parent,
            ..ask(&["root"])
        };
        let id = world.create(&parent, request).unwrap().id;
        if no_parent {
            orphans.push(id);
        } else {
            path.push(id.clone());
            all.push(id);
        }
    }
    let before = world.store.revision();
    world.revoke(&root, Target::Id(all[0].clone())).unwrap();
    assert_eq!(world.store.revision(), before + 1);
    assert!(all.iter().all(|id| !world.alive(id)));
    world.settle();
    assert!(world.alive(&sibling) && orphans.iter().all(|id| world.alive(id)));
    let left = 2 + orphans.len();
    assert_eq!(world.counts(), [left, left, 1, 1]);
}

#[test]
fn a_tree_of_a_thousand_is_revoked_in_one_commit() {
    large_tree(1_000);
}

#[test]
#[ignore = "the full figure: make core-full"]
fn a_tree_of_a_hundred_thousand_is_revoked_in_one_commit() {
    large_tree(100_000);
}

#[test]
fn clean_up_goes_on_after_every_step_however_small() {
    let (mut world, root) = World::with_root(14);
    let top = world.create(&root, ask(&["root"])).unwrap().id;
    for _ in 0..20 {
        let child = world.create(&top, ask(&["root"])).unwrap().id;
        for _ in 0..20 {
            world.child(&child, "a");
        }
    }
    assert_eq!(world.counts(), [422, 422, 421, 400]);
    world.revoke(&root, Target::Id(top)).unwrap();
    let hash = *world.revocations.tombstones().next().unwrap();
    // A failover after each step: the cursor is lost, the work is not.
    let mut steps = 0;
    while !world
        .revocations
        .tombstones()
        .collect::<Vec<_>>()
        .is_empty()
    {
        world
            .commit(|context, _| clean_up(context, &hash, Cursor::default()))
            .unwrap();
        // Never a record without its parent's.
        let hashes: Vec<_> = world.rows::<Tokens>().iter().map(|row| row.key).collect();
        for row in world.rows::<Tokens>() {
            assert!(
                row.value
                    .ancestors
                    .iter()
                    .all(|ancestor| hashes.contains(ancestor))
            );
        }
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

#[test]
fn many_small_trees_are_cleared_away_together() {
    let (mut world, root) = World::with_root(15);
    for _ in 0..100 {
        let top = world.child(&root, "a");
        world.child(&top, "a");
        world.revoke(&root, Target::Id(top)).unwrap();
    }
    assert_eq!(world.revocations.tombstones().len(), 100);
    let mut cursors = BTreeMap::new();
    let mut steps = 0;
    while world.revocations.tombstones().len() > 0 {
        world.clean_up_some(&mut cursors);
        steps += 1;
        assert!(steps < 10);
    }
    // The children, the tops, their tombstones.
    assert_eq!(steps, 3);
    assert_eq!(world.counts(), [1, 1, 0, 0]);
}

#[test]
fn listings_page_in_storage_order() {
    let (mut world, root) = World::with_root(15);
    for _ in 0..25 {
        world.child(&root, "a");
    }
    let all = world.list_all(&root, 100);
    assert_eq!(all.len(), 26);
    for limit in [1, 7, 26] {
        let paged = world.list_all(&root, limit);
        let accessors = |list: &[TokenInfo]| -> Vec<_> {
            list.iter()
                .map(|info| info.accessor.as_ref().unwrap().as_str().to_owned())
                .collect()
        };
        assert_eq!(accessors(&paged), accessors(&all));
    }
    assert!(all.iter().all(|info| info.id.is_none()));
}

/// What may only be given wrapped isn't given, and a rule on parameters sees those of each call.
#[test]
fn constraints_hold_for_every_action() {
    let (mut world, root) = World::with_root(22);
    let token = world.child(&root, "limited");
    let wrapped = r#"path "auth/token/create" {
        capabilities = ["update"]
        min_wrapping_ttl = "60s"
    }"#;
    world.write_policy("limited", wrapped);
    assert_eq!(
        reason(world.create(&token, ask(&["limited"]))),
        "PERMISSION_DENIED"
    );
    let renewals = r#"path "auth/token/renew" {
        capabilities = ["update"]
        denied_parameters = { "increment" = [] }
    }"#;
    world.write_policy("limited", renewals);
    let other = world.child(&root, "other");
    let target = || Target::Id(other.clone());
    assert_eq!(
        reason(world.renew(&token, target(), TtlRequest::Default)),
        "OK"
    );
    assert_eq!(
        reason(world.renew(&token, target(), of("1h"))),
        "PERMISSION_DENIED"
    );
}
