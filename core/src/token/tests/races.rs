//! Two requests planned on the same state: whenever one must not ignore the other, the
//! resolver has to see it in what was read and written.

use super::*;
use crate::{
    state::{Op, Reads, Txn},
    types::limits::CLEANUP_ROWS_MAX,
};

/// What the resolver checks: whether any of these writes touches anything that was read.
pub(crate) fn conflict(reads: &Reads, txn: Txn) -> bool {
    let inside = |key: &[u8]| {
        reads.keys.iter().any(|read| read == key)
            || reads
                .ranges
                .iter()
                .any(|(start, end)| **start <= *key && key < end)
    };
    txn.into_ops().iter().any(|op| match op {
        Op::Put { key, .. } | Op::Delete(key) => inside(key),
        // Nobody plans on events.
        Op::PutAtRevision { .. } => false,
        Op::DeleteRange(..) => true,
    })
}

/// Plans an operation without committing it.
pub(crate) fn plan<T, E: std::fmt::Debug>(
    world: &mut World,
    operation: impl FnOnce(Context<'_>, &mut dyn Random) -> Result<Plan<T>, E>,
) -> (Reads, Txn) {
    let view = View::new(&world.store, &world.barrier);
    let (ttl, now) = (&world.ttl, world.now);
    let context = Context {
        view: &view,
        revocations: &world.revocations,
        acls: &world.acls,
        ttl,
        now,
        remote: None,
    };
    let txn = operation(context, &mut world.random).unwrap().txn;
    (view.into_reads(), txn)
}

fn plan_create(world: &mut World, caller: &TokenId) -> (Reads, Txn) {
    plan(world, |context, random| {
        let caller = identify(context, caller)?;
        create(
            &authorize(context, &caller, Create::default())?,
            CreateRequest::default(),
            random,
        )
    })
}

fn plan_revoke(world: &mut World, caller: &TokenId, target: &TokenId) -> (Reads, Txn) {
    plan(world, |context, random| {
        let caller = identify(context, caller)?;
        revoke(
            &authorize(context, &caller, Revoke(Target::Id(target.clone())))?,
            random,
        )
    })
}

#[test]
fn a_child_and_the_revocation_of_an_ancestor_collide() {
    let (mut world, root) = World::with_root(1);
    let top = world.create(&root, CreateRequest::default()).unwrap().id;
    let middle = world.create(&top, CreateRequest::default()).unwrap().id;
    let leaf = world.create(&middle, CreateRequest::default()).unwrap().id;
    // A tombstone far above, or the plain deletion of the parent: in both orders one of
    // the two is sent back.
    for revoked in [&top, &middle, &leaf] {
        let (create_reads, create) = plan_create(&mut world, &leaf);
        let (revoke_reads, revoke) = plan_revoke(&mut world, &root, revoked);
        assert!(conflict(&create_reads, revoke));
        // The other way round a tombstone is right as it is: it ends the new child, too.
        if revoked == &leaf {
            assert!(conflict(&revoke_reads, create));
        }
    }
}

#[test]
fn a_child_and_revoke_orphan_collide() {
    let (mut world, root) = World::with_root(2);
    let parent = world.create(&root, CreateRequest::default()).unwrap().id;
    world.child(&parent, "a");
    let (create_reads, _) = plan_create(&mut world, &parent);
    let (_, cut) = plan(&mut world, |context, random| {
        let caller = identify(context, &root)?;
        let action = RevokeOrphan(Target::Id(parent.clone()));
        revoke_orphan(&authorize(context, &caller, action)?, random)
    });
    assert!(conflict(&create_reads, cut));
}

#[test]
fn two_uses_collide_and_two_children_do_not() {
    let (mut world, root) = World::with_root(3);
    let request = CreateRequest {
        num_uses: std::num::NonZeroU32::new(5),
        ..CreateRequest::default()
    };
    let limited = world.create(&root, request).unwrap().id;
    let spend = |world: &mut World| {
        plan(world, |context, random| {
            let caller = identify(context, &limited)?;
            spend_use(context, &caller, random)
        })
    };
    let (reads, _) = spend(&mut world);
    let (_, txn) = spend(&mut world);
    assert!(conflict(&reads, txn));

    let (reads, _) = plan_create(&mut world, &root);
    let (_, txn) = plan_create(&mut world, &root);
    assert!(!conflict(&reads, txn));
}

#[test]
fn one_chosen_id_is_given_once() {
    let (mut world, root) = World::with_root(4);
    let chosen = |world: &mut World| {
        plan(world, |context, random| {
            let caller = identify(context, &root)?;
            let id = Some(TokenId::custom("chosen-id").unwrap());
            create(
                &authorize(context, &caller, Create::default())?,
                CreateRequest {
                    id,
                    ..CreateRequest::default()
                },
                random,
            )
        })
    };
    let (reads, _) = chosen(&mut world);
    let (_, txn) = chosen(&mut world);
    assert!(conflict(&reads, txn));
}

#[test]
fn a_renewal_and_the_end_of_the_same_token_collide() {
    let (mut world, root) = World::with_root(5);
    let id = world.child(&root, "a");
    let (renew_reads, renewal) = plan(&mut world, |context, random| {
        let caller = identify(context, &id)?;
        renew(
            &authorize(context, &caller, Renew(Target::Caller, of("1h")))?,
            random,
        )
    });
    let row = world.rows::<TimeIndex>()[0].key.clone();
    world.now = row.at;
    let (expire_reads, end) = plan(&mut world, |context, random| {
        expire(context, std::slice::from_ref(&row), random)
    });
    assert!(conflict(&renew_reads, end));
    assert!(conflict(&expire_reads, renewal));
}

/// A clean-up stands below a token. Meanwhile that token is cleared away from another side and
/// made anew under its chosen id: the rest of the clean-up must leave the new one alone.
#[test]
fn a_token_made_anew_outlives_the_clean_up_of_the_old_one() {
    let (mut world, root) = World::with_root(6);
    let ask = |id, ttl| CreateRequest {
        id,
        ttl,
        policies: policies(&["root"]),
        ..CreateRequest::default()
    };
    let top = world.create(&root, ask(None, of("1000h"))).unwrap().id;
    let chosen = || Some(TokenId::custom("chosen-id").unwrap());
    let old = world.create(&top, ask(chosen(), of("1h"))).unwrap().id;
    for _ in 0..CLEANUP_ROWS_MAX {
        world.child(&old, "a");
    }
    world.revoke(&root, Target::Id(top.clone())).unwrap();
    let hash = world.barrier.token_hash(&top);
    let step = |world: &mut World, cursor| {
        world
            .commit(|context, _| clean_up(context, &hash, cursor))
            .unwrap()
    };
    let Progress::More(mut cursor) = step(&mut world, Cursor::default()) else {
        panic!("one step is not enough for so many children");
    };
    world.wait("2h");
    while world.expire(64) {}
    let again = world.create(&root, ask(chosen(), of("1h")));
    assert!(again.is_err(), "the remains of the old one keep its id");
    world.clean_up(&world.barrier.token_hash(&old));
    world.create(&root, ask(chosen(), of("1h"))).unwrap();
    while let Progress::More(next) = step(&mut world, cursor) {
        cursor = next;
    }
    assert!(world.alive(&old));
    // Nothing else is left: root and the new one.
    assert_eq!(world.counts(), [2, 2, 1, 1]);
}

fn for_an_hour() -> CreateRequest {
    CreateRequest {
        ttl: of("1h"),
        ..CreateRequest::default()
    }
}

#[test]
fn a_caller_of_an_older_view_is_looked_at_again() {
    let (mut world, root) = World::with_root(5);
    let token = world.create(&root, for_an_hour()).unwrap().id;
    let seen = world.read(|context| identify(context, &token)).unwrap();
    let asks = |world: &World| {
        world.read(|context| authorize(context, &seen, Lookup(Target::Caller)).map(drop))
    };
    assert_eq!(reason(asks(&world)), "OK");
    // In another view a plan of it notes all that its life rests on, as if it were new there.
    let (reads, _) = plan(&mut world, |context, random| {
        renew(
            &authorize(context, &seen, Renew(Target::Caller, of("1h")))?,
            random,
        )
    });
    let (_, revoked) = plan_revoke(&mut world, &root, &token);
    assert!(conflict(&reads, revoked));
    world.revoke(&root, Target::Id(token)).unwrap();
    assert_eq!(reason(asks(&world)), "INVALID_TOKEN");
}

#[test]
fn a_caller_is_looked_at_again_when_time_went_on() {
    let (mut world, root) = World::with_root(6);
    let token = world.create(&root, for_an_hour()).unwrap().id;
    let view = View::new(&world.store, &world.barrier);
    let at = |now| Context {
        view: &view,
        revocations: &world.revocations,
        acls: &world.acls,
        ttl: &world.ttl,
        now,
        remote: None,
    };
    let seen = identify(at(world.now), &token).unwrap();
    let later = world.now.saturating_add("1h".parse().unwrap());
    let asked = |now| authorize(at(now), &seen, Lookup(Target::Caller)).map(drop);
    assert_eq!(reason(asked(world.now)), "OK");
    assert_eq!(reason(asked(later)), "INVALID_TOKEN");
}
