//! One point each.

use super::*;
use crate::{
    token::{
        CreateRequest, Target, TtlConfig,
        tests::{of, ttl},
    },
    types::{Expiry, limits::LEASE_PAYLOAD_BYTES_MAX},
};

/// Root, and two tokens below it.
fn three() -> (World, TokenId, TokenId, TokenId) {
    let (mut world, root) = World::with_root(1);
    let ann = world.child(&root, "ann");
    let bob = world.child(&root, "bob");
    (world, root, ann, bob)
}

#[test]
fn a_lease_is_shown_to_its_owner_alone_and_without_payload_to_root() {
    let (mut world, root, ann, bob) = three();
    let id = world.granted(&ann, "db/prod");
    let info = world.lookup_lease(&ann, &id).unwrap();
    assert_eq!(info.id, id);
    assert!(id.text().starts_with("db/prod/"));
    assert_eq!(info.payload.unwrap().expose(), b"the payload");
    assert_eq!(info.ttl, Some(ttl("768h")));
    assert!(info.renewable && info.last_renewal.is_none());
    assert!(world.lookup_lease(&root, &id).unwrap().payload.is_none());
    let made_up = LeaseId::of(path("db/prod"), &"a".repeat(24)).unwrap();
    // A foreign one, an unknown one: the same answer to everything.
    for id in [&id, &made_up] {
        assert_eq!(reason(world.lookup_lease(&bob, id)), "LEASE_NOT_FOUND");
        assert_eq!(
            reason(world.renew_lease(&bob, id, of("1h"))),
            "LEASE_NOT_FOUND"
        );
        assert_eq!(reason(world.revoke_lease(&bob, id)), "LEASE_NOT_FOUND");
    }
    assert_eq!(reason(world.lookup_lease(&ann, &id)), "OK");
}

#[test]
fn lifetimes_are_capped_and_renewal_counts_from_now() {
    let (mut world, _, ann, _) = three();
    world.ttl = TtlConfig::new(ttl("1h"), ttl("10h")).unwrap();
    let granted = world.grant(&ann, "a", request(of("11h"))).unwrap();
    assert_eq!(
        (granted.info.ttl, granted.warnings.len()),
        (Some(ttl("10h")), 1)
    );
    let granted = world
        .grant(&ann, "a", request(TtlRequest::Default))
        .unwrap();
    assert_eq!(
        (granted.info.ttl, granted.warnings.len()),
        (Some(ttl("1h")), 0)
    );
    let id = granted.info.id;
    world.wait("30m");
    let renewed = world.renew_lease(&ann, &id, TtlRequest::Default).unwrap();
    assert_eq!(renewed.info.ttl, Some(ttl("1h")));
    assert_eq!(renewed.info.last_renewal, Some(world.now));
    let renewed = world.renew_lease(&ann, &id, of("20h")).unwrap();
    assert_eq!(
        (renewed.info.ttl, renewed.warnings.len()),
        (Some(ttl("9h30m")), 1)
    );
    // It may be shortened, and then ends by that.
    let renewed = world.renew_lease(&ann, &id, of("5s")).unwrap();
    assert_eq!(renewed.info.ttl, Some(ttl("5s")));
    world.wait("5s");
    assert_eq!(reason(world.lookup_lease(&ann, &id)), "LEASE_NOT_FOUND");
    assert_eq!(
        reason(world.renew_lease(&ann, &id, of("1h"))),
        "LEASE_NOT_FOUND"
    );
    let fixed = GrantRequest {
        renewable: false,
        ..request(TtlRequest::Default)
    };
    let id = world.grant(&ann, "a", fixed).unwrap().info.id;
    assert_eq!(
        reason(world.renew_lease(&ann, &id, of("1h"))),
        "LEASE_NOT_RENEWABLE"
    );
}

#[test]
fn a_lease_ends_with_its_token_however_that_ends() {
    type End = fn(&mut World, &TokenId, &TokenId);
    let ends: [(&str, End); 4] = [
        ("revoked", |world, root, owner| {
            world.revoke(root, Target::Id(owner.clone())).unwrap();
        }),
        ("its parent revoked", |world, root, owner| {
            let parent = world.lookup(root, Target::Id(owner.clone())).unwrap();
            assert!(!parent.orphan);
            world.revoke(root, Target::Caller).unwrap();
        }),
        ("revoked alone", |world, root, owner| {
            world
                .revoke_orphan(root, Target::Id(owner.clone()))
                .unwrap();
        }),
        ("expired", |world, _, _| world.wait("1h")),
    ];
    for (how, end) in ends {
        let (mut world, root) = World::with_root(2);
        let admin = world.create(&root, CreateRequest::default()).unwrap().id;
        let ttl = of("1h");
        let owner = CreateRequest {
            ttl,
            ..CreateRequest::default()
        };
        let owner = world.create(&admin, owner).unwrap().id;
        let id = world.granted(&owner, "a/b");
        let other = world.granted(&root, "a/b");
        end(&mut world, &admin, &owner);
        assert_eq!(
            reason(world.lookup_lease(&root, &id)),
            "LEASE_NOT_FOUND",
            "{how}"
        );
        assert_eq!(world.leases_of(&root, "a", 10), [other.text()], "{how}");
        world.settle();
        assert_eq!(world.lease_rows(), (1, 1), "{how}");
        assert_eq!(
            world.revocations,
            crate::token::Revocations::default(),
            "{how}"
        );
        assert_eq!(reason(world.lookup_lease(&root, &other)), "OK", "{how}");
    }
}

#[test]
fn many_leases_of_one_token_are_cleaned_up_in_steps() {
    let (mut world, root, ann, bob) = three();
    for _ in 0..600 {
        world.granted(&ann, "a");
    }
    let kept = world.granted(&bob, "a");
    world.revoke(&root, Target::Id(ann)).unwrap();
    assert_eq!(world.leases_of(&root, "", 100), [kept.text()]);
    world.settle();
    assert_eq!(world.lease_rows(), (1, 1));
    assert_eq!(world.revocations.tombstones().count(), 0);
}

#[test]
fn a_chosen_id_that_comes_again_does_not_inherit() {
    let (mut world, root) = World::with_root(3);
    let chosen = |world: &mut World| {
        let id = Some(TokenId::custom("chosen-id").unwrap());
        let request = CreateRequest {
            id,
            ..CreateRequest::default()
        };
        world.create(&root, request).unwrap().id
    };
    let first = chosen(&mut world);
    let old = world.granted(&first, "a");
    world.revoke_orphan(&root, Target::Id(first)).unwrap();
    // The old lease's rows are still there.
    let second = chosen(&mut world);
    assert_eq!(world.lease_rows(), (1, 1));
    assert_eq!(reason(world.lookup_lease(&second, &old)), "LEASE_NOT_FOUND");
    let new = world.granted(&second, "a");
    world.settle();
    assert_eq!(world.leases_of(&second, "", 10), [new.text()]);
    assert_eq!(world.lease_rows(), (1, 1));
}

#[test]
fn a_prefix_is_whole_segments_and_later_grants_live() {
    let (mut world, root, ann, bob) = three();
    let mut grant = |caller: &TokenId, under| world.granted(caller, under);
    let (deep, at) = (grant(&ann, "a/b/c"), grant(&bob, "a/b"));
    let (beside, above) = (grant(&ann, "a/bb"), grant(&ann, "a"));
    world.revoke_leases(&root, "a/b").unwrap();
    for id in [&deep, &at] {
        assert_eq!(reason(world.lookup_lease(&root, id)), "LEASE_NOT_FOUND");
    }
    for id in [&beside, &above] {
        assert_eq!(reason(world.lookup_lease(&root, id)), "OK");
    }
    let later = world.granted(&bob, "a/b");
    world.settle();
    assert_eq!(world.leases_of(&bob, "a", 1), [later.text()]);
    assert_eq!(world.lease_rows(), (3, 3));
    assert_eq!(world.revocations.prefixes().count(), 0);
    // Nothing under it: nothing is written.
    world.revoke_leases(&root, "nothing/here").unwrap();
    assert_eq!(world.revocations.prefixes().count(), 0);
}

#[test]
fn a_token_revokes_its_own_under_a_prefix_within_a_bound() {
    let (mut world, root, ann, bob) = three();
    for _ in 0..300 {
        world.granted(&ann, "many");
    }
    let few: Vec<_> = (0..3).map(|_| world.granted(&ann, "few/x")).collect();
    let foreign = world.granted(&bob, "few/x");
    assert_eq!(reason(world.revoke_leases(&ann, "many")), "TOO_MANY_LEASES");
    world.revoke_leases(&ann, "few").unwrap();
    for id in &few {
        assert_eq!(reason(world.lookup_lease(&ann, id)), "LEASE_NOT_FOUND");
    }
    assert_eq!(reason(world.lookup_lease(&bob, &foreign)), "OK");
    assert_eq!(world.leases_of(&ann, "", 7).len(), 300);
    world.revoke_leases(&root, "many").unwrap();
    assert_eq!(world.leases_of(&ann, "", 7).len(), 0);
    world.settle();
    assert_eq!(world.lease_rows(), (1, 1));
}

#[test]
fn bad_grants_are_refused() {
    let (mut world, root, ann, _) = three();
    let large = GrantRequest {
        payload: Secret::new(vec![0; LEASE_PAYLOAD_BYTES_MAX + 1]),
        ..request(TtlRequest::Default)
    };
    assert_eq!(reason(world.grant(&ann, "a", large)), "INVALID_ARGUMENT");
    let limited = CreateRequest {
        num_uses: std::num::NonZeroU32::new(1),
        ..CreateRequest::default()
    };
    let limited = world.create(&root, limited).unwrap().id;
    let last = world.spend(&limited).unwrap();
    let granted = world.commit(|context, random| {
        let permit = authorize(context, &last, GrantLease(path("a"), Default::default()))?;
        grant(&permit, request(TtlRequest::Default), random)
    });
    assert_eq!(reason(granted), "LAST_USE");
    world.revoke(&root, Target::Id(ann.clone())).unwrap();
    let dead = world.grant(&ann, "a", request(TtlRequest::Default));
    assert_eq!(reason(dead), "INVALID_TOKEN");
    assert_eq!(world.lease_rows(), (0, 0));
}

#[test]
fn a_page_token_of_another_prefix_is_refused() {
    let (mut world, root, ann, _) = three();
    world.granted(&ann, "a");
    let elsewhere = world.barrier.name_chain(["b", "c"].into_iter());
    for caller in [&root, &ann] {
        let listed = world.read(|context| {
            let caller = identify(context, caller)?;
            let permit = authorize(context, &caller, ListLeases(Some(path("a"))))?;
            list(&permit, Some(&elsewhere), 10)
        });
        assert_eq!(reason(listed), "INVALID_ARGUMENT");
    }
}

#[test]
fn an_old_row_of_the_time_index_never_ends_a_renewed_lease() {
    let (mut world, _, ann, _) = three();
    let id = world.grant(&ann, "a", request(of("10m"))).unwrap().info.id;
    let old = world.rows::<crate::state::TimeIndex>()[0].key.clone();
    world.wait("5m");
    world.renew_lease(&ann, &id, of("10m")).unwrap();
    world.wait("6m");
    let expired = world
        .commit(|context, random| crate::token::expire(context, &[old], random))
        .unwrap();
    assert_eq!((expired.leases, expired.stale), (0, 1));
    let info = world.lookup_lease(&ann, &id).unwrap();
    assert!(!Expiry::At(info.expire_time.unwrap()).is_past(world.now));
    world.wait("4m");
    while world.expire(10) {}
    assert_eq!(world.lease_rows(), (0, 0));
}

/// What policies grant is about the caller's own leases, with sudo about everybody's.
#[test]
fn sudo_is_about_everybodys_leases() {
    let (mut world, root) = World::with_root(31);
    let (owner, operator) = (world.child(&root, "app"), world.child(&root, "operator"));
    let id = world.granted(&owner, "a/b");
    let policy = |extra: &str| {
        format!(r#"path "sys/leases/*" {{ capabilities = ["update", "list"{extra}] }}"#)
    };
    // The same path in two policies of a token adds up.
    world.write_policy("operator", &policy(""));
    assert_eq!(
        reason(world.lookup_lease(&operator, &id)),
        "LEASE_NOT_FOUND"
    );
    assert!(world.leases_of(&operator, "", 10).is_empty());
    world.write_policy("operator", &policy(r#", "sudo""#));
    assert_eq!(reason(world.lookup_lease(&operator, &id)), "OK");
    assert_eq!(world.leases_of(&operator, "", 10), [id.text()]);
    world.revoke_leases(&operator, "a").unwrap();
    assert_eq!(reason(world.lookup_lease(&owner, &id)), "LEASE_NOT_FOUND");
}
