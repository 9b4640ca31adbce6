//! A random walk compared with the simplest model there is: a tree of nodes that know
//! their parent. After every step each token must live exactly if its node does, and in
//! the end nothing must be stored of the dead.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{kinds::cidrs, *};
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
    /// Of a role.
    of_role: bool,
    /// It has `default` alone, and not root.
    plain: bool,
    /// It may be used from home alone.
    bound: bool,
    path: &'static str,
}

/// What the role says now.
struct Role {
    orphan: bool,
    batch: bool,
    /// In minutes.
    period: Option<u64>,
}

/// The paths at which the tokens of the walk are made.
const PATHS: [&str; 2] = ["auth/token/create", "auth/token/create-orphan"];
/// That of the role, below the first of them.
const ROLE_PATH: &str = "auth/token/create/ci";
/// Addresses at home, where bound tokens may be used, and away from it.
const ADDRESSES: [&str; 2] = ["10.1.1.1", "11.1.1.1"];

struct Model {
    world: World,
    root: TokenId,
    nodes: Vec<Node>,
    role: Option<Role>,
    away: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// Under a node (of the newest, if `deep`), for so many minutes.
    Create {
        node: usize,
        deep: bool,
        orphan: bool,
        /// Only to be used from home.
        bound: bool,
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
    /// A token of the role, under a node.
    CreateOfRole {
        node: usize,
        minutes: u64,
    },
    WriteRole {
        orphan: bool,
        batch: bool,
        period: Option<u64>,
    },
    DeleteRole,
    /// All callers go there.
    Move {
        away: bool,
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
        12 => (
            any::<usize>(),
            (prop::bool::weighted(0.7), prop::bool::weighted(0.05), prop::bool::weighted(0.2)),
            prop::option::weighted(0.5, minutes()),
        )
            .prop_map(|(node, (deep, orphan, bound), minutes)| {
                Step::Create { node, deep, orphan, bound, minutes }
            }),
        2 => (0u8..3, minutes()).prop_map(|(name, minutes)| Step::CreateChosen { name, minutes }),
        4 => (any::<usize>(), prop::bool::weighted(0.3), minutes())
            .prop_map(|(node, orphan, minutes)| Step::CreateBatch { node, orphan, minutes }),
        4 => (any::<usize>(), minutes())
            .prop_map(|(node, minutes)| Step::CreateOfRole { node, minutes }),
        2 => (any::<bool>(), prop::bool::weighted(0.3), prop::option::of(minutes()))
            .prop_map(|(orphan, batch, period)| Step::WriteRole { orphan, batch, period }),
        1 => Just(Step::DeleteRole),
        1 => any::<bool>().prop_map(|away| Step::Move { away }),
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
        let (mut world, root) = World::with_root(seed);
        world.remote = ADDRESSES[0].parse().ok();
        Self {
            world,
            root,
            nodes: Vec::new(),
            role: None,
            away: false,
        }
    }

    fn lives(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        !node.revoked
            && node.ends.is_none_or(|end| self.world.now < end)
            && node.parent.is_none_or(|parent| self.lives(parent))
    }

    /// Whether it can be used, from where all callers are.
    fn usable(&self, node: usize) -> bool {
        self.lives(node) && !(self.nodes[node].bound && self.away)
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
                bound,
                minutes,
            } => self.create(node, deep, orphan, bound, minutes),
            Step::CreateOfRole { node, minutes } => self.create_of_role(node, minutes),
            Step::WriteRole {
                orphan,
                batch,
                period,
            } => self.write_role(orphan, batch, period.filter(|_| !batch)),
            Step::DeleteRole => {
                self.role = None;
                self.world.delete_role(&self.root);
            }
            Step::Move { away } => {
                self.away = away;
                self.world.remote = ADDRESSES[usize::from(away)].parse().ok();
            }
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
                for node in &mut self.nodes {
                    let below = node.path == ROLE_PATH && path == PATHS[0];
                    node.revoked |= node.path == path || below;
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
                    (true, Some(_)) if self.nodes[node].of_role && self.role.is_none() => {
                        "NO_SUCH_ROLE"
                    }
                    (true, Some(_)) => "OK",
                };
                if let Ok(renewed) = &renewed {
                    let period = self.role.as_ref().and_then(|role| role.period);
                    let by = period.filter(|_| self.nodes[node].of_role).unwrap_or(count);
                    let end = self.world.now.saturating_add(minutes(by));
                    assert_eq!(renewed.info.expiry.at(), Some(end));
                    self.nodes[node].ends = Some(end);
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

    fn write_role(&mut self, orphan: bool, batch: bool, period: Option<u64>) {
        use crate::state::RoleTokenType::{Batch, DefaultService};
        let change = RoleChange {
            orphan: Some(orphan),
            token_type: Some(if batch { Batch } else { DefaultService }),
            period: Some(period.map(minutes)),
            ..RoleChange::default()
        };
        self.world.write_role(&self.root, change).unwrap();
        self.role = Some(Role {
            orphan,
            batch,
            period,
        });
    }

    fn create_of_role(&mut self, number: usize, count: u64) {
        let parent = self.pick(number).filter(|_| !number.is_multiple_of(4));
        if parent.is_some_and(|node| self.nodes[node].replaced) {
            return;
        }
        let caller = parent.map_or(self.root.clone(), |node| self.nodes[node].id.clone());
        let request = CreateRequest {
            policies: policies(&["default"]),
            ttl: TtlRequest::from(minutes(count)),
            ..CreateRequest::default()
        };
        let made = self.world.with_ci(&caller, request);
        let expected = match (parent, &self.role) {
            (Some(node), _) if !self.usable(node) => "INVALID_TOKEN",
            // The role's path is not among what `default` allows.
            (Some(node), _) if self.nodes[node].plain => "PERMISSION_DENIED",
            (_, None) => "NO_SUCH_ROLE",
            _ => "OK",
        };
        let (Ok(made), Some(role)) = (&made, &self.role) else {
            match made.as_ref().map_err(TokenError::reason) {
                Err("TOKEN_TREE_TOO_DEEP") => {}
                Err(reason) => assert_eq!(reason, expected),
                Ok(_) => panic!("a token of no role"),
            }
            return;
        };
        assert_eq!(expected, "OK");
        let end = self
            .world
            .now
            .saturating_add(minutes(role.period.unwrap_or(count)));
        assert_eq!(made.info.expiry.at(), Some(end));
        let (orphan, batch) = (role.orphan, role.batch);
        let (id, expiry) = (made.id.clone(), made.info.expiry);
        let node = self.push(id, parent.filter(|_| !orphan), expiry);
        (node.of_role, node.plain, node.batch) = (true, true, batch);
        node.path = ROLE_PATH;
    }

    fn create(
        &mut self,
        number: usize,
        deep: bool,
        no_parent: bool,
        bound: bool,
        ttl: Option<u64>,
    ) {
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
            bound_cidrs: cidrs(if bound { &["10.0.0.0/8"] } else { &[] }),
            ..CreateRequest::default()
        };
        if parent.is_some_and(|node| self.nodes[node].replaced) {
            return;
        }
        let made = self.world.create(&caller, request);
        let Some(node) = parent else {
            let (expiry, id) = made.map(|made| (made.info.expiry, made.id)).unwrap();
            self.push(id, None, expiry).bound = bound;
            return;
        };
        let Node {
            batch,
            plain,
            ends,
            bound: inherited,
            ..
        } = self.nodes[node];
        let expected = match (self.usable(node), ttl) {
            (false, _) => "INVALID_TOKEN",
            (true, _) if plain && no_parent => "SUDO_REQUIRED",
            (true, _) if batch => "BATCH_PARENT",
            (true, None) if ends.is_some() && !plain => "EXPIRING_ROOT_PARENT",
            _ => "OK",
        };
        match made {
            Ok(made) => {
                assert_eq!(expected, "OK");
                let parent = Some(node).filter(|_| !no_parent);
                let child = self.push(made.id, parent, made.info.expiry);
                // With sudo a parent may lift what it is bound to itself.
                (child.plain, child.bound) = (plain, bound || (plain && inherited));
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
        if parent.is_some_and(|node| !self.usable(node)) {
            return assert_eq!(reason(made), "INVALID_TOKEN");
        }
        let plain = parent.is_some_and(|node| self.nodes[node].plain);
        if plain && orphan {
            return assert_eq!(reason(made), "PERMISSION_DENIED");
        }
        let bound = parent.is_some_and(|node| plain && self.nodes[node].bound);
        let made = made.unwrap();
        let node = self.push(made.id, parent.filter(|_| !orphan), made.info.expiry);
        (node.batch, node.plain, node.bound) = (true, true, bound);
        node.path = PATHS[usize::from(orphan)];
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

    fn push(&mut self, id: TokenId, parent: Option<usize>, expiry: Expiry) -> &mut Node {
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
            of_role: false,
            plain: false,
            bound: false,
            path: PATHS[0],
        });
        self.nodes.last_mut().unwrap()
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
                self.usable(n),
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
    /// are among them, tokens of a role that changes, tokens that are bound to networks, and
    /// revocations of all that was made at a path.
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
                    bound: false,
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
