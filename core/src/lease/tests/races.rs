//! Two requests planned on the same state: whenever one must not ignore the other, the
//! resolver has to see it in what was read and written.

use super::*;
use crate::{
    state::{Reads, TimeIndex, Txn},
    token::{
        self, CreateRequest, Revoke, Target,
        tests::races::{conflict, plan},
    },
};

fn plan_grant(world: &mut World, caller: &TokenId, under: &str) -> (Reads, Txn) {
    plan(world, |context, random| -> Result<_, LeaseError> {
        let caller = identify(context, caller)?;
        let permit = authorize(
            context,
            &caller,
            GrantLease(path(under), Default::default()),
        )?;
        grant(&permit, request(TtlRequest::Default), random)
    })
}

fn plan_prefix(world: &mut World, caller: &TokenId, prefix: &str) -> (Reads, Txn) {
    plan(world, |context, random| -> Result<_, LeaseError> {
        let caller = identify(context, caller)?;
        let action = RevokePrefix(path(prefix));
        revoke_prefix(&authorize(context, &caller, action)?, random)
    })
}

fn plan_renew(world: &mut World, caller: &TokenId, id: &LeaseId) -> (Reads, Txn) {
    plan(world, |context, random| -> Result<_, LeaseError> {
        let caller = identify(context, caller)?;
        let action = RenewLease(id.clone(), TtlRequest::Default);
        renew(&authorize(context, &caller, action)?, random)
    })
}

fn plan_revoke_token(world: &mut World, root: &TokenId, target: &TokenId) -> (Reads, Txn) {
    plan(world, |context, random| -> Result<_, TokenError> {
        let caller = identify(context, root)?;
        let action = Revoke(Target::Id(target.clone()));
        token::revoke(&authorize(context, &caller, action)?, random)
    })
}

#[test]
fn a_grant_and_the_revocation_of_its_token_or_an_ancestor_collide() {
    let (mut world, root) = World::with_root(1);
    let top = world.create(&root, CreateRequest::default()).unwrap().id;
    let owner = world.create(&top, CreateRequest::default()).unwrap().id;
    for revoked in [&top, &owner] {
        let (grant_reads, grant) = plan_grant(&mut world, &owner, "a");
        let (revoke_reads, revoke) = plan_revoke_token(&mut world, &root, revoked);
        assert!(conflict(&grant_reads, revoke));
        // A token without leases is deleted outright: a grant in between must be seen.
        if revoked == &owner {
            assert!(conflict(&revoke_reads, grant));
        }
    }
    // With a lease it gets a tombstone, which is noted as well.
    world.granted(&owner, "a");
    let (grant_reads, _) = plan_grant(&mut world, &owner, "a");
    let (_, revoke) = plan_revoke_token(&mut world, &root, &owner);
    assert!(conflict(&grant_reads, revoke));
}

#[test]
fn a_grant_or_renewal_and_the_revocation_of_a_prefix_collide() {
    let (mut world, root) = World::with_root(2);
    let owner = world.child(&root, "app");
    // Nothing lies under it yet: the revocation rests on that.
    let (_, grant) = plan_grant(&mut world, &owner, "a/b");
    let (prefix_reads, _) = plan_prefix(&mut world, &root, "a");
    assert!(conflict(&prefix_reads, grant));
    let id = world.granted(&owner, "a/b");
    for caller in [&root, &owner] {
        let (grant_reads, grant) = plan_grant(&mut world, &owner, "a/b/c");
        let (renew_reads, _) = plan_renew(&mut world, &owner, &id);
        let (prefix_reads, _) = plan_prefix(&mut world, caller, "a");
        // Root's tombstone kills the new lease as well; the owner deletes what it has seen.
        assert!(caller == &root || conflict(&prefix_reads, grant));
        let (_, revoke) = plan_prefix(&mut world, caller, "a");
        assert!(conflict(&renew_reads, revoke));
        let (_, revoke) = plan_prefix(&mut world, &root, "a");
        assert!(conflict(&grant_reads, revoke));
    }
    // Another place is left alone, and two grants side by side, too.
    let (other_reads, other) = plan_grant(&mut world, &owner, "b");
    let (grant_reads, _) = plan_grant(&mut world, &owner, "a/b");
    assert!(!conflict(&grant_reads, other));
    let (_, revoke) = plan_prefix(&mut world, &root, "a");
    assert!(!conflict(&other_reads, revoke));
}

#[test]
fn a_renewal_and_the_end_of_the_same_lease_collide() {
    let (mut world, root) = World::with_root(3);
    let id = world.granted(&root, "a");
    let (renew_reads, renewal) = plan_renew(&mut world, &root, &id);
    let row = world.rows::<TimeIndex>()[0].key.clone();
    world.now = row.at;
    let (expire_reads, end) = plan(&mut world, |context, random| {
        token::expire(context, &[row], random)
    });
    assert!(conflict(&renew_reads, end));
    assert!(conflict(&expire_reads, renewal));
}

#[test]
fn clean_up_never_takes_a_newer_tombstone_with_it() {
    let (mut world, root) = World::with_root(4);
    let id = world.granted(&root, "a");
    world.revoke_leases(&root, "a").unwrap();
    let prefix = world.barrier.name_chain(path("a").segments());
    // The pass is done but for the tombstone, when the prefix is used and revoked again.
    world.clean_up_prefix(&prefix, 2);
    assert_eq!(reason(world.lookup_lease(&root, &id)), "LEASE_NOT_FOUND");
    assert_eq!(
        (world.lease_rows(), world.revocations.prefixes().count()),
        ((0, 0), 1)
    );
    let second = world.granted(&root, "a");
    let (reads, _) = plan(&mut world, |context, _| {
        clean_up_prefix(context, &prefix, PrefixCursor::default())
    });
    let (_, revoke) = plan_prefix(&mut world, &root, "a");
    assert!(conflict(&reads, revoke));
    assert_eq!(reason(world.lookup_lease(&root, &second)), "OK");
}

#[test]
fn a_row_that_is_written_meanwhile_sends_a_trim_back() {
    let (mut world, root) = World::with_root(5);
    let end = world.now.saturating_add("10000h".parse().unwrap());
    let (reads, trim) = plan(&mut world, |context, _| {
        token::trim(context.view, &Default::default(), end)
    });
    assert!(!trim.is_empty());
    let (_, grant) = plan_grant(&mut world, &root, "a");
    assert!(conflict(&reads, grant));
    // What is there is never trimmed away.
    world.granted(&root, "a");
    let (_, trim) = plan(&mut world, |context, _| {
        token::trim(context.view, &Default::default(), end)
    });
    assert!(trim.is_empty());
}
