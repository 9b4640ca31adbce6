//! The cubbyhole, row by row.

use std::num::NonZeroU32;

use tenure_core::{
    state::Cubbyholes,
    token::{CreateRequest, Revoke, Target},
    types::PolicySet,
};

use super::*;

fn write(world: &mut World, token: &TokenId, path: &str, data: &str) -> Result<(), EngineError> {
    world
        .ask_as(token, path, Ask::Write(data.as_bytes()))
        .map(drop)
}

fn read(world: &mut World, token: &TokenId, path: &str) -> Result<Value, EngineError> {
    world.ask_as(token, path, Ask::Read(b"")).map(shown)
}

fn revoke(world: &mut World, token: &TokenId) {
    let root = world.root.clone();
    world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let action = Revoke(Target::Id(token.clone()));
            token::revoke(&authorize(context, &caller, action)?, random)
        })
        .unwrap();
}

#[test]
fn it_is_the_tokens_own() {
    let mut world = World::new(1);
    let (one, other, root) = (world.child(), world.child(), world.root.clone());
    write(&mut world, &one, "cubbyhole/a/b", r#"{"k":"v"}"#).unwrap();
    write(&mut world, &one, "cubbyhole/c", r#"{"k":"v"}"#).unwrap();
    assert_eq!(
        read(&mut world, &one, "cubbyhole/a/b").unwrap(),
        json!({"k": "v"})
    );
    for stranger in [&other, &root] {
        let seen = read(&mut world, stranger, "cubbyhole/a/b");
        assert_eq!(reason(seen), "SECRET_NOT_FOUND");
        let listed = world.ask_as(stranger, "cubbyhole/", Ask::List("", 10));
        assert_eq!(reason(listed), "SECRET_NOT_FOUND");
    }
    let page = world.ask_as(&one, "cubbyhole/", Ask::List("", 1)).unwrap();
    assert_eq!(page.keys, ["a/"]);
    let page = world
        .ask_as(&one, "cubbyhole", Ask::List(&page.next_page, 1))
        .unwrap();
    assert_eq!(
        (page.keys, page.next_page),
        (vec!["c".to_owned()], String::new())
    );
    // A write replaces.
    write(&mut world, &one, "cubbyhole/c", r#"{"z":1}"#).unwrap();
    assert_eq!(
        read(&mut world, &one, "cubbyhole/c").unwrap(),
        json!({"z": 1})
    );
    for path in ["cubbyhole/a/b", "cubbyhole/c", "cubbyhole/c"] {
        world.ask_as(&one, path, Ask::Delete).unwrap();
    }
    assert!(world.rows::<Cubbyholes>().is_empty());
    assert_eq!(
        reason(write(&mut world, &one, "cubbyhole/c", "{}")),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        reason(write(&mut world, &one, "cubbyhole", r#"{"k":1}"#)),
        "PERMISSION_DENIED"
    );
}

/// Planted bug: the record isn't deleted with the token's. Caught.
#[test]
fn it_dies_with_the_token() {
    let mut world = World::new(2);
    let token = world.child();
    write(&mut world, &token, "cubbyhole/a", r#"{"k":"v"}"#).unwrap();
    revoke(&mut world, &token);
    assert!(world.rows::<Cubbyholes>().is_empty());
    // Of a token that has children the clean-up behind the tombstone clears it away.
    let token = world.child();
    let parent = token.clone();
    world
        .commit(|context, random| {
            let caller = identify(context, &parent)?;
            let permit = authorize(context, &caller, token::Create::default())?;
            token::create(&permit, CreateRequest::default(), random)
        })
        .unwrap();
    write(&mut world, &token, "cubbyhole/a", r#"{"k":"v"}"#).unwrap();
    revoke(&mut world, &token);
    assert_eq!(
        reason(read(&mut world, &token, "cubbyhole/a")),
        "INVALID_TOKEN"
    );
    let mut cursor = token::Cursor::default();
    let hash = world.barrier.token_hash(&token);
    for _ in 0..10 {
        let progress = world.commit(|context, _| token::clean_up(context, &hash, cursor));
        match progress.unwrap() {
            token::Progress::More(next) => cursor = next,
            token::Progress::Done => break,
        }
    }
    assert!(world.rows::<Cubbyholes>().is_empty());
}

/// Planted bug: the age of the record isn't looked at. Caught.
#[test]
fn a_token_made_anew_does_not_see_the_old_ones() {
    let mut world = World::new(3);
    let token = world.child();
    write(&mut world, &token, "cubbyhole/a", r#"{"k":"v"}"#).unwrap();
    let old = world.rows::<Cubbyholes>().remove(0);
    // A token whose chosen id was another token's, which left a record behind: it is older.
    let row = Row::<Cubbyholes> {
        key: world.barrier.token_hash(&token),
        create_revision: 1,
        ..old
    };
    let mut txn = tenure_core::state::Txn::default();
    txn.update::<Cubbyholes>(&world.barrier, &row, &mut world.random)
        .unwrap();
    world.store.commit(txn.into_ops());
    assert_eq!(
        reason(read(&mut world, &token, "cubbyhole/a")),
        "SECRET_NOT_FOUND"
    );
    write(&mut world, &token, "cubbyhole/b", r#"{"k":1}"#).unwrap();
    assert_eq!(
        reason(read(&mut world, &token, "cubbyhole/a")),
        "SECRET_NOT_FOUND"
    );
    assert_eq!(
        read(&mut world, &token, "cubbyhole/b").unwrap(),
        json!({"k": 1})
    );
}

#[test]
fn nothing_is_written_behind_the_last_use() {
    let mut world = World::new(4);
    let root = world.root.clone();
    let token = world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let permit = authorize(context, &caller, token::Create::default())?;
            let request = CreateRequest {
                policies: PolicySet::parse(["default"]).unwrap(),
                num_uses: NonZeroU32::new(1),
                ..CreateRequest::default()
            };
            token::create(&permit, request, random)
        })
        .unwrap()
        .id;
    let written = world.commit(|context, random| {
        let caller = identify(context, &token)?;
        let spent = token::spend_use(context, &caller, random)?;
        plan(
            context,
            &spent.response,
            "cubbyhole/a",
            Ask::Write(br#"{"k":1}"#),
            random,
        )
    });
    assert_eq!(reason(written), "LAST_USE");
}

#[test]
fn it_is_bounded() {
    let mut world = World::new(5);
    let token = world.child();
    let half = format!(r#"{{"k":"{}"}}"#, "x".repeat(600_000));
    write(&mut world, &token, "cubbyhole/a", &half).unwrap();
    assert_eq!(
        reason(write(&mut world, &token, "cubbyhole/b", &half)),
        "CUBBYHOLE_FULL"
    );
    write(&mut world, &token, "cubbyhole/a", r#"{"k":1}"#).unwrap();
    for index in 1..256 {
        write(
            &mut world,
            &token,
            &format!("cubbyhole/{index}"),
            r#"{"k":1}"#,
        )
        .unwrap();
    }
    assert_eq!(
        reason(write(&mut world, &token, "cubbyhole/more", r#"{"k":1}"#)),
        "CUBBYHOLE_FULL"
    );
}
