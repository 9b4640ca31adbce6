//! A random walk compared with the simplest model there is: a tree of nodes that know
//! their parent. After every step each token must live exactly if its node does, and in
//! the end nothing must be stored of the dead.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{state::TokenLeases, testing::cases, types::Expiry};

struct Node {
    id: TokenId,
    parent: Option<usize>,
    depth: usize,
    ends: Option<UnixMillis>,
    revoked: bool,
    /// Another token has this (chosen) id now.
    replaced: bool,
    batch: bool,
    path: &'static str,
}

/// The paths at which the tokens of the walk are made.
const PATHS: [&str; 2] = ["auth/token/create", "auth/token/create-orphan"];

struct Model {
    world: World,
    root: TokenId,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Under a node (of the newest, if `deep`), for so many minutes.
    Create {
        node: usize,
        deep: bool,
        orphan: bool,
        minutes: Option<u64>,
    },
    CreateChosen {
        name: u8,
        minutes: u64,
    },
    /// A batch token, with a parent or by create-orphan.
    CreateBatch {
        node: usize,
        orphan: bool,
        minutes: u64,
    },
    /// All that were made at one of the paths.
    RevokePath {
        orphans: bool,
    },
    CleanUpPath {
        steps: usize,
    },
    Revoke(usize),
    RevokeOrphan(usize),
    Renew {
        node: usize,
        minutes: u64,
    },
    Wait {
        minutes: u64,
    },
    Expire {
        limit: usize,
    },
    CleanUp {
        steps: usize,
    },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = || 1u64..200;
    prop_oneof![
        12 => (any::<usize>(), prop::bool::weighted(0.7), prop::bool::weighted(0.05), prop::option::weighted(0.5, minutes()))
            .prop_map(|(node, deep, orphan, minutes)| Step::Create { node, deep, orphan, minutes }),
        2 => (0u8..3, minutes()).prop_map(|(name, minutes)| Step::CreateChosen { name, minutes }),
        4 => (any::<usize>(), prop::bool::weighted(0.3), minutes())
            .prop_map(|(node, orphan, minutes)| Step::CreateBatch { node, orphan, minutes }),
        1 => prop::bool::weighted(0.7).prop_map(|orphans| Step::RevokePath { orphans }),
        1 => (1usize..5).prop_map(|steps| Step::CleanUpPath { steps }),
        1 => any::<usize>().prop_map(Step::Revoke),
        1 => any::<usize>().prop_map(Step::RevokeOrphan),
        2 => (any::<usize>(), minutes()).prop_map(|(node, minutes)| Step::Renew { node, minutes }),
        1 => (1u64..40).prop_map(|minutes| Step::Wait { minutes }),
        1 => (1usize..20).prop_map(|limit| Step::Expire { limit }),
        1 => (1usize..5).prop_map(|steps| Step::CleanUp { steps }),
        1 => Just(Step::Sweep),
    ]
}

fn minutes(count: u64) -> Ttl {
    Ttl::from_seconds(count * 60).unwrap()
}

impl Model {
    fn new(seed: u64) -> Self {
        let (world, root) = World::with_root(seed);
        Self {
            world,
            root,
            nodes: Vec::new(),
        }
    }

    fn lives(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        !node.revoked
            && node.ends.is_none_or(|end| self.world.now < end)
            && node.parent.is_none_or(|parent| self.lives(parent))
    }

    /// A node, or none while there are none.
    fn pick(&self, number: usize) -> Option<usize> {
        (!self.nodes.is_empty()).then(|| number % self.nodes.len())
    }

    fn target(&self, node: usize) -> Target {
        Target::Id(self.nodes[node].id.clone())
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Create {
                node,
                deep,
                orphan,
                minutes,
            } => self.create(node, deep, orphan, minutes),
            Step::CreateChosen { name, minutes } => self.create_chosen(name, minutes),
            Step::CreateBatch {
                node,
                orphan,
                minutes,
            } => self.create_batch(node, orphan, minutes),
            Step::RevokePath { orphans } => {
                let path = PATHS[usize::from(orphans)];
                self.world.revoke_path(&self.root, path).unwrap();
                // All that are there by now; those that come live.
                for node in self.nodes.iter_mut().filter(|node| node.path == path) {
                    node.revoked = true;
                }
            }
            Step::CleanUpPath { steps } => {
                let paths: Vec<_> = self.world.revocations.paths().cloned().collect();
                for path in paths {
                    self.world.clean_up_path(&path, steps);
                }
            }
            Step::Revoke(number) => {
                let Some(node) = self.pick(number).filter(|&n| !self.nodes[n].replaced) else {
                    return;
                };
                if self.nodes[node].batch {
                    let expected = if self.lives(node) {
                        "BATCH_TOKEN"
                    } else {
                        "OK"
                    };
                    let revoked = self.world.revoke(&self.root, self.target(node));
                    return assert_eq!(reason(revoked), expected);
                }
                let revoked = self.world.revoke(&self.root, self.target(node)).unwrap();
                assert_eq!(revoked.found, self.lives(node));
                self.nodes[node].revoked = true;
            }
            Step::RevokeOrphan(number) => {
                let Some(node) = self.pick(number).filter(|&n| !self.nodes[n].replaced) else {
                    return;
                };
                let done = self.world.revoke_orphan(&self.root, self.target(node));
                if !self.lives(node) {
                    return assert_eq!(reason(done), "TOKEN_NOT_FOUND");
                }
                if self.nodes[node].batch {
                    return assert_eq!(reason(done), "BATCH_TOKEN");
                }
                done.unwrap();
                self.nodes[node].revoked = true;
                // Only children that live are freed: the dead stay dead. Batch tokens aren't.
                for child in 0..self.nodes.len() {
                    let ours = self.nodes[child].parent == Some(node);
                    if ours && !self.nodes[child].revoked && !self.nodes[child].batch {
                        self.nodes[child].parent = None;
                    }
                }
            }
            Step::Renew {
                node,
                minutes: count,
            } => {
                let Some(node) = self.pick(node).filter(|&n| !self.nodes[n].replaced) else {
                    return;
                };
                let by = TtlRequest::from(minutes(count));
                let renewed = self.world.renew(&self.root, self.target(node), by);
                let expected = match (self.lives(node), self.nodes[node].ends) {
                    (false, _) => "TOKEN_NOT_FOUND",
                    (true, _) if self.nodes[node].batch => "BATCH_TOKEN",
                    (true, None) => "NOT_RENEWABLE",
                    (true, Some(_)) => "OK",
                };
                if let Ok(renewed) = &renewed {
                    self.nodes[node].ends = renewed.info.expiry.at();
                }
                assert_eq!(reason(renewed), expected);
            }
            Step::Wait { minutes: count } => {
                self.world.now = self.world.now.saturating_add(minutes(count))
            }
            Step::Expire { limit } => {
                self.world.expire(limit);
            }
            Step::CleanUp { steps } => {
                let mut cursors = BTreeMap::new();
                for _ in 0..steps {
                    self.world.clean_up_some(&mut cursors);
                }
            }
            Step::Sweep => {
                for hash in self
                    .world
                    .revocations
                    .markers()
                    .copied()
                    .collect::<Vec<_>>()
                {
                    self.world.sweep(&hash);
                }
            }
        }
    }

    fn create(&mut self, number: usize, deep: bool, no_parent: bool, ttl: Option<u64>) {
        let last = self.nodes.len().checked_sub(1);
        let parent = if deep { last } else { self.pick(number) };
        // Sometimes under the root itself.
        let parent = parent.filter(|_| !number.is_multiple_of(16));
        let caller = parent.map_or(self.root.clone(), |node| self.nodes[node].id.clone());
        let request = CreateRequest {
            no_parent,
            ttl: ttl.map_or(TtlRequest::Default, |count| {
                TtlRequest::from(minutes(count))
            }),
            ..CreateRequest::default()
        };
        if parent.is_some_and(|node| self.nodes[node].replaced) {
            return;
        }
        let made = self.world.create(&caller, request);
        let Some(node) = parent else {
            let (expiry, id) = made.map(|made| (made.info.expiry, made.id)).unwrap();
            return self.push(id, None, expiry);
        };
        let batch = self.nodes[node].batch;
        let expected = match (self.lives(node), ttl) {
            (false, _) => "INVALID_TOKEN",
            // It has `default` alone, and so no sudo.
            (true, _) if batch && no_parent => "SUDO_REQUIRED",
            (true, _) if batch => "BATCH_PARENT",
            (true, None) if self.nodes[node].ends.is_some() => "EXPIRING_ROOT_PARENT",
            _ => "OK",
        };
        match made {
            Ok(made) => {
                assert_eq!(expected, "OK");
                self.push(made.id, Some(node).filter(|_| !no_parent), made.info.expiry);
            }
            Err(error) if error.reason() == "TOKEN_TREE_TOO_DEEP" => {}
            Err(error) => assert_eq!(error.reason(), expected),
        }
    }

    fn create_batch(&mut self, number: usize, orphan: bool, count: u64) {
        let parent = self.pick(number).filter(|_| !number.is_multiple_of(8));
        if parent.is_some_and(|node| self.nodes[node].replaced || self.nodes[node].batch) {
            return;
        }
        let caller = parent.map_or(self.root.clone(), |node| self.nodes[node].id.clone());
        let request = CreateRequest {
            policies: policies(&["default"]),
            ttl: TtlRequest::from(minutes(count)),
            token_type: Some(TokenType::Batch),
            ..CreateRequest::default()
        };
        let path = match orphan {
            true => CreatePath::Orphan,
            false => CreatePath::Child,
        };
        let before = self.world.counts();
        let made = self.world.create_at(&caller, path, request);
        assert_eq!(self.world.counts(), before, "something was stored");
        if parent.is_some_and(|node| !self.lives(node)) {
            return assert_eq!(reason(made), "INVALID_TOKEN");
        }
        let made = made.unwrap();
        self.push(made.id, parent.filter(|_| !orphan), made.info.expiry);
        if let Some(node) = self.nodes.last_mut() {
            node.batch = true;
            node.path = PATHS[usize::from(orphan)];
        }
    }

    /// A token with one of a few chosen ids, under the root: the same id comes again after
    /// its token has died.
    fn create_chosen(&mut self, name: u8, count: u64) {
        let id = TokenId::custom(&format!("chosen-{name}")).unwrap();
        let ttl = TtlRequest::from(minutes(count));
        let request = CreateRequest {
            id: Some(id.clone()),
            ttl,
            ..CreateRequest::default()
        };
        match self.world.create(&self.root, request) {
            Ok(made) => {
                for node in self.nodes.iter_mut().filter(|node| node.id == id) {
                    node.replaced = true;
                }
                let dead = (0..self.nodes.len()).filter(|&n| self.nodes[n].replaced);
                assert!(
                    dead.into_iter().all(|node| !self.lives(node)),
                    "a living token lost its id"
                );
                self.push(id, None, made.info.expiry);
            }
            // It lives, or isn't cleaned up yet.
            Err(error) => assert_eq!(error.reason(), "INVALID_ARGUMENT"),
        }
    }

    fn push(&mut self, id: TokenId, parent: Option<usize>, expiry: Expiry) {
        let depth = parent.map_or(1, |parent| self.nodes[parent].depth + 1);
        let ends = expiry.at();
        self.nodes.push(Node {
            id,
            parent,
            depth,
            ends,
            revoked: false,
            replaced: false,
            batch: false,
            path: PATHS[0],
        });
    }

    fn check(&self) {
        for (n, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| !node.replaced)
        {
            assert_eq!(
                self.world.alive(&node.id),
                self.lives(n),
                "node {n} at depth {}",
                node.depth
            );
        }
    }

    /// After everything is cleaned up, what is stored is what lives.
    fn check_settled(&mut self) {
        self.world.settle();
        self.check();
        let stored = |&n: &usize| self.lives(n) && !self.nodes[n].batch;
        let living: Vec<_> = (0..self.nodes.len()).filter(stored).collect();
        let ending = living
            .iter()
            .filter(|&&n| self.nodes[n].ends.is_some())
            .count();
        let [tokens, accessors, children, due] = self.world.counts();
        assert_eq!(
            (tokens, accessors, due),
            (living.len() + 1, living.len() + 1, ending)
        );
        assert!(children <= living.len());
        assert_eq!(self.world.revocations.tombstones().count(), 0);
        assert_eq!(self.world.list_all(&self.root, 10).len(), tokens);
        assert_eq!(self.world.rows::<TokenLeases>().len(), tokens);
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// G8: a revocation is complete; orphans and siblings stay; nothing else is lost. Batch tokens
    /// are among them, and revocations of all that was made at a path.
    ///
    /// Planted bugs: a batch token that isn't judged by its parent; one that lives at the moment of
    /// its end; a path's tombstone that goes as soon as no stored token is left under it. Caught.
    #[test]
    fn tokens_live_exactly_as_the_model_says(
        seed: u64,
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.run(step);
            model.check();
        }
        model.check_settled();
        // When all time has passed, only what never ends is left.
        model.world.wait("200000h");
        model.check_settled();
        prop_assert_eq!(model.world.revocations.paths().count(), 0);
    }
}

/// The same at depth: a chain of 50, with cuts and revocations at every level.
#[test]
fn chains_of_fifty() {
    for level in [0, 1, 24, 48, 49] {
        for cut in [None, Some(0), Some(10), Some(30), Some(49)] {
            let mut model = Model::new(level as u64);
            for _ in 0..50 {
                model.run(&Step::Create {
                    node: 1,
                    deep: true,
                    orphan: false,
                    minutes: None,
                });
            }
            assert_eq!(model.nodes.last().map(|node| node.depth), Some(50));
            if let Some(cut) = cut {
                model.run(&Step::RevokeOrphan(cut));
                model.check();
            }
            model.run(&Step::Revoke(level));
            model.check();
            model.check_settled();
        }
    }
}
