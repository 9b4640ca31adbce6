//! How events are kept within their bounds.

use super::*;
use crate::{
    state::{About, Event, EventKind, EventMarks, Events, RestoreMarks, Txn, View},
    token::tests::World,
    types::{
        Path, UnixMillis,
        limits::{EVENT_AGE_MS_MAX, EVENT_STRETCH_MS},
    },
};

fn tell(world: &mut World, bytes: usize) {
    let mut txn = Txn::default();
    let path = Path::parse("a").unwrap();
    for _ in 0..=bytes / 10 {
        txn.tell(Event {
            kind: EventKind::Revoked,
            about: About::Prefix(path.clone()),
            at: world.now,
            token: None,
            owner: None,
            expires: None,
        });
    }
    world.apply(txn);
}

/// One step of the clean-up.
fn step(world: &mut World, tidy: &mut Tidy) -> Option<Tidied> {
    let planned = {
        let view = View::new(&world.store, &world.barrier);
        tidy.step(&view, world.now, &mut world.random).unwrap()
    };
    let (txn, done) = planned?;
    world.apply(txn);
    tidy.settle(done);
    Some(done)
}

fn now(world: &World) -> (u64, usize, usize) {
    let view = View::new(&world.store, &world.barrier);
    let floor = floor(&view).unwrap();
    (
        floor,
        world.rows::<Events>().len(),
        world.rows::<EventMarks>().len(),
    )
}

#[test]
fn old_events_go_in_stretches_and_the_floor_says_so() {
    let (mut world, mut tidy) = (World::new(1), Tidy::default());
    tell(&mut world, 10);
    tell(&mut world, 10);
    assert_eq!(step(&mut world, &mut tidy), None);
    world.now = UnixMillis::new(world.now.get() + EVENT_STRETCH_MS);
    assert!(matches!(
        step(&mut world, &mut tidy),
        Some(Tidied::Closed(2, _))
    ));
    tell(&mut world, 10);
    assert_eq!(step(&mut world, &mut tidy), None);
    assert_eq!(now(&world), (0, 3, 1));
    world.now = UnixMillis::new(world.now.get() + EVENT_AGE_MS_MAX);
    // As old as that, not older.
    assert!(matches!(
        step(&mut world, &mut tidy),
        Some(Tidied::Closed(4, _))
    ));
    assert_eq!(step(&mut world, &mut tidy), None);
    world.now = UnixMillis::new(world.now.get() + 1);
    assert_eq!(step(&mut world, &mut tidy), Some(Tidied::Deleted(2)));
    assert_eq!(now(&world), (2, 1, 1));
    assert_eq!(step(&mut world, &mut tidy), None);
    let view = View::new(&world.store, &world.barrier);
    assert_eq!(page(&view, 2, 9).unwrap().len(), 1);
    assert_eq!(page(&view, 4, 9).unwrap().len(), 0);
}

/// Whoever becomes active knows what is there from the marks, and counts what was written since.
#[test]
fn bytes_are_bounded_across_a_change_of_the_active_node() {
    const BYTES_MAX: u64 = 20_000;
    let fresh = || Tidy::within(BYTES_MAX, 1_000);
    let (mut world, mut tidy) = (World::new(2), fresh());
    let mut deleted = false;
    for round in 0..60 {
        tell(&mut world, 900);
        if round % 3 == 0 {
            tidy = fresh();
        }
        while let Some(done) = step(&mut world, &mut tidy) {
            deleted |= matches!(done, Tidied::Deleted(_));
        }
        let bytes: usize = world
            .store
            .records()
            .iter()
            .filter(|(key, _)| key.starts_with(&[2, 60]))
            .map(|(_, stored)| stored.value.len())
            .sum();
        assert!(u64::try_from(bytes).unwrap() <= BYTES_MAX, "round {round}");
    }
    assert!(deleted);
    let (floor, rows, _) = now(&world);
    assert!(floor > 0 && rows > 0);
}

/// What was told before a restore, here or where its snapshot was saved, is behind the floor,
/// however much was told while it was under way.
#[test]
fn a_restore_is_a_floor_at_its_own_revision() {
    let (mut world, mut tidy) = (World::new(3), Tidy::default());
    tell(&mut world, 10);
    let mut txn = Txn::default();
    txn.insert_plain::<RestoreMarks>(&(), &()).unwrap();
    tell(&mut world, 10);
    world.apply(txn);
    assert_eq!(now(&world).0, 3);
    tell(&mut world, 10);
    // Old events go behind it, and the floor stays where it is until they do.
    for _ in 0..3 {
        world.now = UnixMillis::new(world.now.get() + EVENT_AGE_MS_MAX + EVENT_STRETCH_MS);
        while step(&mut world, &mut tidy).is_some() {}
    }
    assert_eq!(now(&world).0, 4);
}
