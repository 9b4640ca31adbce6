//! A random walk compared with the simplest model there is: tokens that know their parent,
//! leases that know their token and their path as text. After every step each lease must
//! live exactly if the model's does, and in the end nothing must be stored of the dead.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    state::{About, EventKind, Events},
    testing::cases,
    token::{CreateRequest, Cursor, Progress, Target, clean_up},
    types::{Ttl, UnixMillis},
};

const PATHS: [&str; 6] = ["a", "a/b", "a/b/c", "a/bb", "b", "b/a"];

struct Token {
    id: TokenId,
    parent: Option<usize>,
    ends: Option<UnixMillis>,
    revoked: bool,
}

struct Lease {
    id: LeaseId,
    owner: usize,
    ends: UnixMillis,
    created: UnixMillis,
    revoked: bool,
}

struct Model {
    world: World,
    root: TokenId,
    tokens: Vec<Token>,
    leases: Vec<Lease>,
}

#[derive(Clone, Debug)]
enum Step {
    CreateToken {
        parent: usize,
        minutes: Option<u64>,
    },
    RevokeToken(usize),
    RevokeOrphan(usize),
    Grant {
        owner: usize,
        path: usize,
        minutes: u64,
    },
    /// By its owner, by root, or by somebody.
    Renew {
        lease: usize,
        by: usize,
        minutes: u64,
    },
    Revoke {
        lease: usize,
        by: usize,
    },
    RevokePrefix {
        path: usize,
        by: Option<usize>,
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
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = || 1u64..200;
    let index = any::<usize>;
    let path = || 0..PATHS.len();
    prop_oneof![
        4 => (index(), prop::option::weighted(0.5, minutes()))
            .prop_map(|(parent, minutes)| Step::CreateToken { parent, minutes }),
        1 => index().prop_map(Step::RevokeToken),
        1 => index().prop_map(Step::RevokeOrphan),
        10 => (index(), path(), minutes())
            .prop_map(|(owner, path, minutes)| Step::Grant { owner, path, minutes }),
        3 => (index(), index(), minutes())
            .prop_map(|(lease, by, minutes)| Step::Renew { lease, by, minutes }),
        2 => (index(), index()).prop_map(|(lease, by)| Step::Revoke { lease, by }),
        2 => (path(), prop::option::of(index()))
            .prop_map(|(path, by)| Step::RevokePrefix { path, by }),
        2 => (1u64..40).prop_map(|minutes| Step::Wait { minutes }),
        2 => (1usize..10).prop_map(|limit| Step::Expire { limit }),
        2 => (1usize..5).prop_map(|steps| Step::CleanUp { steps }),
    ]
}

fn minutes(count: u64) -> Ttl {
    Ttl::from_seconds(count * 60).unwrap()
}

impl Model {
    fn new(seed: u64) -> Self {
        let (world, root) = World::with_root(seed);
        let first = Token {
            id: root.clone(),
            parent: None,
            ends: None,
            revoked: false,
        };
        Self {
            world,
            root,
            tokens: vec![first],
            leases: Vec::new(),
        }
    }

    fn token_lives(&self, token: usize) -> bool {
        let token = &self.tokens[token];
        !token.revoked
            && token.ends.is_none_or(|end| self.world.now < end)
            && token.parent.is_none_or(|parent| self.token_lives(parent))
    }

    fn lives(&self, lease: usize) -> bool {
        let lease = &self.leases[lease];
        !lease.revoked && self.world.now < lease.ends && self.token_lives(lease.owner)
    }

    /// What `by` gets when it handles this lease.
    fn expected(&self, lease: usize, by: usize) -> &'static str {
        let handles = by == 0 || by == self.leases[lease].owner;
        match (self.token_lives(by), handles && self.lives(lease)) {
            (false, _) => "INVALID_TOKEN",
            (true, false) => "LEASE_NOT_FOUND",
            (true, true) => "OK",
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::CreateToken { parent, minutes } => self.create_token(parent, minutes),
            Step::RevokeToken(token) | Step::RevokeOrphan(token) => {
                let token = token % self.tokens.len();
                if token == 0 {
                    return;
                }
                let target = Target::Id(self.tokens[token].id.clone());
                if matches!(step, Step::RevokeToken(_)) {
                    self.world.revoke(&self.root, target).unwrap();
                } else if self.world.revoke_orphan(&self.root, target).is_ok() {
                    for child in self.tokens.iter_mut().filter(|t| !t.revoked) {
                        if child.parent == Some(token) {
                            child.parent = None;
                        }
                    }
                } else {
                    return assert!(!self.token_lives(token));
                }
                self.tokens[token].revoked = true;
            }
            Step::Grant {
                owner,
                path,
                minutes: count,
            } => {
                let owner = owner % self.tokens.len();
                let id = self.tokens[owner].id.clone();
                let asked = request(TtlRequest::from(minutes(count)));
                let granted = self.world.grant(&id, PATHS[path], asked);
                let expected = if self.token_lives(owner) {
                    "OK"
                } else {
                    "INVALID_TOKEN"
                };
                if let Ok(granted) = &granted {
                    self.leases.push(Lease {
                        id: granted.info.id.clone(),
                        owner,
                        ends: self.world.now.saturating_add(minutes(count)),
                        created: self.world.now,
                        revoked: false,
                    });
                }
                assert_eq!(reason(granted), expected);
            }
            Step::Renew {
                lease,
                by,
                minutes: count,
            } => self.renew(lease, by, count),
            Step::Revoke { lease, by } => {
                let Some((lease, by)) = self.pick(lease, by) else {
                    return;
                };
                let expected = self.expected(lease, by);
                let caller = self.tokens[by].id.clone();
                let id = self.leases[lease].id.clone();
                assert_eq!(reason(self.world.revoke_lease(&caller, &id)), expected);
                self.leases[lease].revoked |= expected == "OK";
            }
            Step::RevokePrefix { path, by } => {
                let by = by.map_or(0, |by| by % self.tokens.len());
                let caller = self.tokens[by].id.clone();
                if self.world.revoke_leases(&caller, PATHS[path]).is_err() {
                    return assert!(!self.token_lives(by));
                }
                let prefix = format!("{}/", PATHS[path]);
                for lease in &mut self.leases {
                    let under = lease.id.text().starts_with(&prefix);
                    lease.revoked |= under && (by == 0 || by == lease.owner);
                }
            }
            Step::Wait { minutes: count } => {
                self.world.now = self.world.now.saturating_add(minutes(count));
            }
            Step::Expire { limit } => {
                self.world.expire(limit);
            }
            Step::CleanUp { steps } => self.clean_up(steps),
        }
    }

    /// A lease, and who handles it: often its owner or root.
    fn pick(&self, lease: usize, by: usize) -> Option<(usize, usize)> {
        let lease = lease.checked_rem(self.leases.len())?;
        let by = match by % 4 {
            0 | 1 => self.leases[lease].owner,
            2 => 0,
            _ => by / 4 % self.tokens.len(),
        };
        Some((lease, by))
    }

    fn create_token(&mut self, parent: usize, ttl: Option<u64>) {
        let parent = parent % self.tokens.len();
        let request = CreateRequest {
            // Not root: they handle their own leases alone.
            policies: crate::token::tests::policies(&["default"]),
            ttl: ttl.map_or(TtlRequest::Default, |count| {
                TtlRequest::from(minutes(count))
            }),
            ..CreateRequest::default()
        };
        let caller = self.tokens[parent].id.clone();
        match self.world.create(&caller, request) {
            Ok(made) => self.tokens.push(Token {
                id: made.id,
                parent: Some(parent).filter(|&parent| parent > 0),
                ends: made.info.expiry.at(),
                revoked: false,
            }),
            Err(_) => assert!(!self.token_lives(parent)),
        }
    }

    fn renew(&mut self, lease: usize, by: usize, count: u64) {
        let Some((lease, by)) = self.pick(lease, by) else {
            return;
        };
        let expected = self.expected(lease, by);
        let (caller, id) = (self.tokens[by].id.clone(), self.leases[lease].id.clone());
        let by = TtlRequest::from(minutes(count));
        let renewed = self.world.renew_lease(&caller, &id, by);
        if renewed.is_ok() {
            let last = self.leases[lease]
                .created
                .saturating_add(self.world.ttl.max_ttl());
            self.leases[lease].ends = self.world.now.saturating_add(minutes(count)).min(last);
        }
        assert_eq!(reason(renewed), expected);
    }

    fn clean_up(&mut self, steps: usize) {
        let prefix = self.world.revocations.next_prefix(None).cloned();
        if let Some(prefix) = prefix {
            self.world.clean_up_prefix(&prefix, steps);
        }
        let marker = self.world.revocations.next_marker(None).copied();
        if let Some(marker) = marker {
            self.world.sweep(&marker);
        }
        let Some(top) = self.world.revocations.next_tombstone(None).copied() else {
            return;
        };
        let mut cursor = Cursor::default();
        for _ in 0..steps {
            let next = self
                .world
                .commit(|context, _| clean_up(context, &top, cursor));
            let Progress::More(next) = next.unwrap() else {
                return;
            };
            cursor = next;
        }
    }

    fn check(&self) {
        for (n, lease) in self.leases.iter().enumerate() {
            let expected = if self.lives(n) {
                "OK"
            } else {
                "LEASE_NOT_FOUND"
            };
            let found = self.world.lookup_lease(&self.root, &lease.id);
            assert_eq!(reason(found), expected, "lease {n}");
        }
    }

    /// What is listed and counted, for everyone and under every prefix.
    fn check_lists(&self) {
        for (by, token) in self.tokens.iter().enumerate() {
            if !self.token_lives(by) {
                continue;
            }
            for prefix in PATHS.iter().chain([&""]) {
                let under = |lease: &Lease| {
                    prefix.is_empty() || lease.id.text().starts_with(&format!("{prefix}/"))
                };
                let mut expected: Vec<_> = (0..self.leases.len())
                    .filter(|&n| self.lives(n) && under(&self.leases[n]))
                    .filter(|&n| by == 0 || self.leases[n].owner == by)
                    .map(|n| self.leases[n].id.text())
                    .collect();
                expected.sort();
                assert_eq!(self.world.leases_of(&token.id, prefix, 3), expected);
            }
        }
    }

    fn check_settled(&mut self) {
        self.world.settle();
        self.check();
        self.check_lists();
        let living = (0..self.leases.len()).filter(|&n| self.lives(n)).count();
        assert_eq!(self.world.lease_rows(), (living, living));
        let tokens: Vec<_> = (0..self.tokens.len())
            .filter(|&n| self.token_lives(n))
            .collect();
        let ending = tokens.iter().filter(|&&n| self.tokens[n].ends.is_some());
        let [stored, _, _, due] = self.world.counts();
        assert_eq!((stored, due), (tokens.len(), ending.count() + living));
        let revocations = &self.world.revocations;
        assert_eq!(revocations.tombstones().count(), 0);
        assert_eq!(revocations.prefixes().count(), 0);
        self.check_events();
    }

    /// Each grant is told once, and each end once, however it came and whoever cleared it away.
    ///
    /// It found a lease whose end was told twice: it was due in the same step as its token.
    fn check_events(&self) {
        let mut told: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for row in self.world.rows::<Events>() {
            for event in row.value {
                let About::Lease(id) = event.about else {
                    continue;
                };
                let [grants, ends] = told.entry(id.text()).or_default();
                match event.kind {
                    EventKind::Granted => *grants += 1,
                    EventKind::Renewed => {}
                    EventKind::Expired | EventKind::Revoked => *ends += 1,
                }
            }
        }
        for (n, lease) in self.leases.iter().enumerate() {
            let wanted = [1, usize::from(!self.lives(n))];
            assert_eq!(told.get(&lease.id.text()), Some(&wanted), "lease {n}");
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// I5, I7: a lease lives exactly as long as it was promised, and nothing is left of it.
    #[test]
    fn leases_live_exactly_as_the_model_says(
        seed: u64,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.run(step);
            model.check();
        }
        model.check_lists();
        model.check_settled();
        // When all time has passed, nothing is left.
        model.world.wait("200000h");
        model.check_settled();
        prop_assert_eq!(model.world.lease_rows(), (0, 0));
    }
}
