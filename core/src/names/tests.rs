//! The tree of names compared with a plain set of paths.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    random::Random,
    state::{SecretNames, Txn, View},
    testing::TestRandom,
    token::tests::World,
    types::MountId,
};

fn commit(
    world: &mut World,
    change: impl FnOnce(&View<'_>, &mut Txn, &mut dyn Random) -> Result<(), NameError>,
) {
    let mut txn = Txn::default();
    let mut random = TestRandom::new(world.random.next_u64());
    let view = View::new(&world.store, &world.barrier);
    change(&view, &mut txn, &mut random).unwrap();
    world.apply(txn);
}

fn add(world: &mut World, mount: MountId, path: &str) {
    let segments: Vec<_> = path.split('/').collect();
    commit(world, |view, txn, random| {
        Place::new(view.barrier(), mount, &segments).add(view, txn, random)
    });
}

fn remove(world: &mut World, mount: MountId, path: &str) {
    let segments: Vec<_> = path.split('/').collect();
    commit(world, |view, txn, random| {
        Place::new(view.barrier(), mount, &segments).remove(view, txn, random)
    });
}

/// All names of a folder, over pages of `limit`, sorted.
fn list(world: &World, mount: MountId, folder: &str, limit: usize) -> Vec<String> {
    let segments: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let view = View::new(&world.store, &world.barrier);
    let place = Place::new(&world.barrier, mount, &segments);
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = place.list(&view, after.as_ref(), limit).unwrap();
        names.extend(page.names);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    names.sort();
    names
}

/// What a listing of these paths must show.
fn expected(paths: &BTreeSet<String>, folder: &str) -> Vec<String> {
    let prefix = match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let below = paths.iter().filter_map(|path| path.strip_prefix(&prefix));
    let names: BTreeSet<_> = below
        .map(|rest| match rest.split_once('/') {
            Some((first, _)) => format!("{first}/"),
            None => rest.to_owned(),
        })
        .collect();
    names.into_iter().collect()
}

proptest! {
    #![proptest_config(crate::testing::cases(48))]

    /// Planted bugs: a folder stays when its last name goes; a folder goes while another name
    /// is in it. Both caught.
    #[test]
    fn the_tree_shows_what_a_set_of_paths_shows(
        seed in any::<u64>(),
        steps in prop::collection::vec(("[ab](/[ab]){0,3}", any::<bool>()), 1..40),
    ) {
        let mut world = World::new(seed);
        let mount = MountId::issue(&mut world.random);
        let mut paths = BTreeSet::new();
        for (path, adds) in steps {
            if adds {
                add(&mut world, mount, &path);
                paths.insert(path);
            } else if paths.remove(&path) {
                remove(&mut world, mount, &path);
            }
            for folder in ["", "a", "b", "a/b", "b/a/a"] {
                let shown = list(&world, mount, folder, 1 + paths.len() % 3);
                prop_assert_eq!(shown, expected(&paths, folder), "{}", folder);
            }
        }
        for path in paths {
            remove(&mut world, mount, &path);
        }
        // Nothing is left behind.
        prop_assert!(world.rows::<SecretNames>().is_empty());
    }
}

#[test]
fn equal_names_in_two_mounts_look_different() {
    let mut world = World::new(1);
    let one = MountId::issue(&mut world.random);
    let two = MountId::issue(&mut world.random);
    let key = |mount| Place::new(&world.barrier, mount, &["a", "b"]).key().1;
    assert_ne!(key(one), key(two));
    assert_ne!(key(one), Place::new(&world.barrier, one, &["b"]).key().1);
}
