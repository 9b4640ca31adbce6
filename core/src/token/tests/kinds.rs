//! Batch tokens, roles, networks, source paths and leases of tokens, one point each, named for the
//! rows of Vault's behaviour that they hold.

use std::num::NonZeroU32;

use super::*;
use crate::{
    lease::{
        GrantLease, GrantRequest, LeaseInfo, ListLeases, LookupLease, RenewLease, RevokeLease,
    },
    state::{BatchLeases, EventKind, Events, Leases, LeasesByToken, TokenRoleRecord},
    types::{Cidrs, LeaseId, RoleName, Secret},
};

/// What a token that makes others may here.
const MAKER: &str = r#"
    path "auth/token/create" { capabilities = ["update"] }
    path "auth/token/create/ci" { capabilities = ["update"] }
"#;

fn batch() -> CreateRequest {
    CreateRequest {
        policies: policies(&["default"]),
        token_type: Some(TokenType::Batch),
        ttl: of("1h"),
        ..CreateRequest::default()
    }
}

fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

pub(super) fn cidrs(texts: &[&str]) -> Cidrs {
    Cidrs::parse(texts.iter().copied()).unwrap()
}

impl World {
    pub(super) fn write_role(
        &mut self,
        caller: &TokenId,
        change: RoleChange,
    ) -> Result<(), TokenError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let exists = role_exists(context, &caller, &role("ci"))?;
            let action = ManageRoles::Write(role("ci"), exists, Parameters::default());
            write_role(
                &authorize(context, &caller, action)?,
                role("ci"),
                change,
                random,
            )
        })
    }

    pub(super) fn delete_role(&mut self, caller: &TokenId) {
        self.commit(|context, _| {
            let caller = identify(context, caller)?;
            delete_role(
                &authorize(context, &caller, ManageRoles::Delete(role("ci")))?,
                &role("ci"),
            )
        })
        .unwrap();
    }

    pub(super) fn with_ci(
        &mut self,
        caller: &TokenId,
        request: CreateRequest,
    ) -> Result<CreatedToken, TokenError> {
        self.create_at(caller, CreatePath::Role(role("ci")), request)
    }

    fn from(&mut self, address: &str) {
        self.remote = Some(address.parse().unwrap());
    }

    fn grant_to(&mut self, caller: &TokenId, by: &str) -> crate::lease::Granted {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = GrantLease(Path::parse("db/a").unwrap(), Parameters::default());
            let request = GrantRequest {
                payload: Secret::new(vec![1]),
                ttl: of(by),
                renewable: true,
            };
            crate::lease::grant(&authorize(context, &caller, action)?, request, random)
        })
        .unwrap()
    }

    fn renew_lease_of(&mut self, caller: &TokenId, id: &LeaseId) -> Result<LeaseInfo, LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = RenewLease(id.clone(), of("10h"));
            crate::lease::renew(&authorize(context, &caller, action)?, random)
        })
        .map(|renewed| renewed.info)
    }

    fn lease_of(&self, caller: &TokenId, id: &LeaseId) -> Result<LeaseInfo, LeaseError> {
        self.read(|context| {
            let caller = identify(context, caller)?;
            crate::lease::lookup(&authorize(context, &caller, LookupLease(id.clone()))?)
        })
    }

    fn leases_under(&self, caller: &TokenId, prefix: &str, limit: usize) -> Vec<LeaseInfo> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .read(|context| {
                    let caller = identify(context, caller)?;
                    let action = ListLeases(Some(Path::parse(prefix).unwrap()));
                    let permit = authorize(context, &caller, action)?;
                    crate::lease::list(&permit, after.as_ref(), limit)
                })
                .unwrap();
            assert!(page.leases.len() <= limit);
            all.extend(page.leases);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }
}

/// The row `batch`: what it hasn't.
#[test]
fn a_batch_token_is_only_what_it_is() {
    let (mut world, root) = World::with_root(1);
    let stored = world.store.records().len();
    let token = world.create(&root, batch()).unwrap();
    assert_eq!(world.store.records().len(), stored);
    assert!(token.id.expose().starts_with("hvb."));
    let info = world.lookup(&token.id, Target::Caller).unwrap();
    assert_eq!(
        (info.kind, info.accessor.is_none()),
        (TokenType::Batch, true)
    );
    assert_eq!((info.ttl, info.renewable), (Some(ttl("1h")), false));
    assert_eq!(info.path, "auth/token/create");
    let target = || Target::Id(token.id.clone());
    assert_eq!(reason(world.lookup(&root, target())), "OK");
    for (what, refused) in [
        ("renew", reason(world.renew(&root, target(), of("1h")))),
        (
            "renew-self",
            reason(world.renew(&token.id, Target::Caller, of("1h"))),
        ),
        ("revoke", reason(world.revoke(&root, target()))),
        (
            "revoke-self",
            reason(world.revoke(&token.id, Target::Caller)),
        ),
        (
            "revoke-orphan",
            reason(world.revoke_orphan(&root, target())),
        ),
    ] {
        assert_eq!(refused, "BATCH_TOKEN", "{what}");
    }
    assert_eq!(
        reason(world.create(&token.id, CreateRequest::default())),
        "BATCH_PARENT"
    );
    let refused = [
        CreateRequest {
            id: Some(TokenId::custom("mine").unwrap()),
            ..batch()
        },
        CreateRequest {
            num_uses: NonZeroU32::new(1),
            ..batch()
        },
        CreateRequest {
            period: of("1h"),
            ..batch()
        },
        CreateRequest {
            explicit_max_ttl: of("1h"),
            ..batch()
        },
        CreateRequest {
            policies: policies(&["root"]),
            ..batch()
        },
        CreateRequest {
            policies: policies(&[]),
            ..batch()
        },
    ];
    for request in refused {
        assert_eq!(reason(world.create(&root, request)), "INVALID_ARGUMENT");
    }
    let long = CreateRequest {
        ttl: of("9000h"),
        ..batch()
    };
    let made = world.create(&root, long).unwrap();
    assert_eq!((made.info.ttl, made.warnings.len()), (Some(ttl("768h")), 1));
}

/// What isn't a living batch token is all the same: cut, changed, of another cluster, expired.
///
/// Planted bug: a batch token that lives one millisecond longer than it says. Caught.
#[test]
fn only_a_whole_living_batch_token_is_one() {
    let (mut world, root) = World::with_root(2);
    let token = world.create(&root, batch()).unwrap().id;
    let (other, other_root) = {
        let (mut world, root) = World::with_root(3);
        let token = world.create(&root, batch()).unwrap().id;
        (token, root)
    };
    assert!(world.alive(&token) && !world.alive(&other) && !world.alive(&other_root));
    let text = token.expose().to_owned();
    for at in 4..text.len() {
        let mut forged = text.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = TokenId::parse(std::str::from_utf8(&forged).unwrap()).unwrap();
        assert!(!world.alive(&forged), "byte {at}");
        assert!(
            !world.alive(&TokenId::parse(&text[..at]).unwrap()),
            "cut at {at}"
        );
    }
    for bad in [
        "hvb.",
        "hvb.AA",
        "hvb.AQ",
        &format!("{text}=="),
        &format!("{text}A"),
        &format!("hvs.{}", &text[4..]),
    ] {
        assert!(!world.alive(&TokenId::parse(bad).unwrap()), "{bad}");
    }
    world.now = world.now.saturating_add_ms(3_600_000 - 1);
    assert!(world.alive(&token));
    world.now = world.now.saturating_add_ms(1);
    assert!(!world.alive(&token));
    assert_eq!(
        reason(world.lookup(&root, Target::Id(token))),
        "TOKEN_NOT_FOUND"
    );
}

#[test]
fn a_batch_token_fits_into_a_header() {
    let (mut world, root) = World::with_root(4);
    let named = |count: usize| CreateRequest {
        policies: PolicySet::parse(
            (0..count)
                .map(|n| format!("a-policy-with-a-long-name-{n:04}"))
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str),
        )
        .unwrap(),
        ..batch()
    };
    let longest = (1..120)
        .take_while(|&n| world.create(&root, named(n)).is_ok())
        .last()
        .unwrap();
    assert!(longest > 60, "{longest}");
    let made = world.create(&root, named(longest)).unwrap();
    assert!(made.id.expose().len() <= 4096 && world.alive(&made.id));
    assert_eq!(
        reason(world.create(&root, named(longest + 1))),
        "INVALID_ARGUMENT"
    );
}

/// The rows `batch` and `cascade`: it dies with its parent, with its parent's ancestors, and under
/// revoke-orphan; an orphan doesn't.
///
/// Planted bug: a batch token that is accepted after its parent's death. Caught.
#[test]
fn a_batch_token_dies_with_its_parent() {
    for (how, chosen) in [
        ("revoke", 0),
        ("revoke-orphan", 0),
        ("revoke", 1),
        ("expire", 0),
    ] {
        let (mut world, root) = World::with_root(5);
        let long = || CreateRequest {
            policies: policies(&["root"]),
            ttl: of("2h"),
            ..CreateRequest::default()
        };
        let grandparent = world.create(&root, long()).unwrap().id;
        let parent = world.create(&grandparent, long()).unwrap().id;
        let wish = || CreateRequest {
            ttl: of("5h"),
            ..batch()
        };
        let child = world.create(&parent, wish()).unwrap().id;
        let orphan = world
            .create_at(&parent, CreatePath::Orphan, wish())
            .unwrap();
        assert!(orphan.info.orphan && world.alive(&child));
        let target = Target::Id([&parent, &grandparent][chosen].clone());
        match how {
            "revoke" => drop(world.revoke(&root, target).unwrap()),
            "revoke-orphan" => drop(world.revoke_orphan(&root, target).unwrap()),
            _ => world.wait("2h"),
        }
        assert!(!world.alive(&child) && world.alive(&orphan.id), "{how}");
        world.settle();
        assert!(
            !world.alive(&child) && world.alive(&orphan.id),
            "{how}, settled"
        );
    }
}

/// The row `batch`: a lease that was taken with it ends with it, and with its parent.
#[test]
fn leases_of_a_batch_token_end_with_it() {
    let (mut world, root) = World::with_root(6);
    let parent = world.child(&root, "root");
    let token = world.create(&parent, batch()).unwrap().id;
    let granted = world.grant_to(&token, "5h");
    assert_eq!(
        (granted.info.ttl, granted.warnings.len()),
        (Some(ttl("1h")), 1)
    );
    let id = granted.info.id;
    world.wait("30m");
    let renewed = world.renew_lease_of(&token, &id).unwrap();
    assert_eq!(renewed.ttl, Some(ttl("30m")));
    // It is the batch token's, and nobody else's but for sudo.
    assert!(world.lease_of(&token, &id).unwrap().payload.is_some());
    assert_eq!(world.leases_under(&token, "db", 10).len(), 1);
    let weak = world
        .create(
            &parent,
            CreateRequest {
                policies: policies(&["default"]),
                ..CreateRequest::default()
            },
        )
        .unwrap()
        .id;
    assert!(world.lease_of(&weak, &id).is_err());
    assert!(world.lease_of(&root, &id).unwrap().payload.is_none());
    world.revoke(&root, Target::Id(parent)).unwrap();
    assert!(world.lease_of(&root, &id).is_err());
    world.settle();
    assert_eq!(world.rows::<LeasesByToken>().len(), 0);
    // And with its own end.
    let token = world.create(&root, batch()).unwrap().id;
    let id = world.grant_to(&token, "5h").info.id;
    world.wait("1h");
    assert!(world.lease_of(&root, &id).is_err());
    world.settle();
    assert_eq!(world.rows::<LeasesByToken>().len(), 0);
}

/// A lease of a batch token is cleared away behind the revocation of its token's path, and its end
/// is told once; what is made there later stays.
///
/// Planted bug: a pass behind the path that looks at stored tokens alone. Caught.
#[test]
fn leases_of_batch_tokens_go_with_their_path() {
    let (mut world, root) = World::with_root(20);
    let many = 2 * crate::types::limits::CLEANUP_ROWS_MAX + 3;
    let orphan = |world: &mut World| {
        let made = world.create_at(&root, CreatePath::Orphan, batch());
        made.unwrap().id
    };
    let old = orphan(&mut world);
    let elsewhere = world.create(&root, batch()).unwrap().id;
    for _ in 0..many {
        world.grant_to(&old, "30m");
    }
    let kept = world.grant_to(&elsewhere, "30m").info.id;
    world
        .revoke_path(&root, "auth/token/create-orphan")
        .unwrap();
    let young = orphan(&mut world);
    let later = world.grant_to(&young, "30m").info.id;
    // A step stops halfway, and another node goes on from the beginning.
    let path = world.revocations.paths().next().cloned().unwrap();
    world.clean_up_path(&path, 2);
    let left = world.rows::<Leases>().len();
    assert!(2 < left && left < many + 2, "{left}");
    world.settle();
    let left: Vec<_> = world
        .rows::<Leases>()
        .into_iter()
        .map(|row| row.value.id)
        .collect();
    assert!(left.len() == 2 && left.contains(&kept) && left.contains(&later));
    assert_eq!(world.rows::<BatchLeases>().len(), 2);
    assert_eq!(world.rows::<LeasesByToken>().len(), 3);
    let told = world.rows::<Events>().into_iter().flat_map(|row| row.value);
    let ends = told.filter(|event| event.kind == EventKind::Revoked);
    assert_eq!(ends.count(), many);
    // Each goes by itself, too.
    world.wait("1h");
    world.settle();
    assert_eq!(world.rows::<BatchLeases>().len(), 0);
}

/// The row `no_parent`: create-orphan is a right of its own.
///
/// Planted bug: create-orphan that asks for auth/token/create alone. Caught.
#[test]
fn create_orphan_needs_its_own_path_alone() {
    let (mut world, root) = World::with_root(7);
    world.write_policy(
        "orphans",
        r#"path "auth/token/create-orphan" { capabilities = ["update"] }"#,
    );
    let only_orphans = CreateRequest {
        policies: policies(&["orphans"]),
        no_default_policy: true,
        ..CreateRequest::default()
    };
    let maker = world.create(&root, only_orphans.clone()).unwrap().id;
    let child = world.child(&root, "default");
    let nothing = CreateRequest::default;
    let made = world
        .create_at(&maker, CreatePath::Orphan, nothing())
        .unwrap();
    assert!(made.info.orphan);
    assert_eq!(made.info.path, "auth/token/create-orphan");
    assert_eq!(reason(world.create(&maker, nothing())), "PERMISSION_DENIED");
    assert_eq!(
        reason(world.create_at(&child, CreatePath::Orphan, nothing())),
        "PERMISSION_DENIED"
    );
    let periodic = CreateRequest {
        period: of("1h"),
        ..nothing()
    };
    assert_eq!(
        reason(world.create_at(&maker, CreatePath::Orphan, periodic)),
        "SUDO_REQUIRED"
    );
    let stronger = CreateRequest {
        policies: policies(&["other"]),
        ..nothing()
    };
    assert_eq!(
        reason(world.create_at(&maker, CreatePath::Orphan, stronger)),
        "POLICIES_NOT_SUBSET"
    );
    world.revoke(&root, Target::Id(maker)).unwrap();
    assert!(world.alive(&made.id));
}

/// The rows `roles` and `role policies`.
#[test]
fn a_role_makes_tokens_like_itself() {
    let (mut world, root) = World::with_root(8);
    world.write_policy("maker", MAKER);
    let maker = world.child(&root, "maker");
    let nothing = CreateRequest::default;
    assert_eq!(reason(world.with_ci(&maker, nothing())), "NO_SUCH_ROLE");
    let names = |names: &[&str]| {
        Some(
            names
                .iter()
                .map(|name| PolicyName::parse(name).unwrap())
                .collect(),
        )
    };
    let change = RoleChange {
        allowed: names(&["strong", "root"]),
        orphan: Some(true),
        renewable: Some(true),
        path_suffix: Some(Some(role("sfx"))),
        period: Some(Some(ttl("10m"))),
        num_uses: Some(NonZeroU32::new(5)),
        bound_cidrs: Some(cidrs(&["10.0.0.0/8"])),
        ..RoleChange::default()
    };
    world.write_role(&root, change).unwrap();
    let strong = || CreateRequest {
        policies: policies(&["strong"]),
        ..nothing()
    };
    let made = world.with_ci(&maker, strong()).unwrap();
    assert_eq!(made.info.path, "auth/token/create/ci/sfx");
    assert_eq!(made.info.role, Some(role("ci")));
    assert_eq!((made.info.orphan, made.info.num_uses), (true, 5));
    assert_eq!((made.info.ttl, made.info.period), (Some(ttl("10m")), None));
    assert_eq!(made.info.policies, policies(&["default", "strong"]));
    assert_eq!(made.info.bound_cidrs, cidrs(&["10.0.0.0/8"]));
    // Only root gives root, whatever a role allows.
    let root_wish = CreateRequest {
        policies: policies(&["root"]),
        ..nothing()
    };
    assert_eq!(reason(world.with_ci(&maker, root_wish)), "ROOT_REQUIRED");
    assert_eq!(
        reason(world.with_ci(
            &maker,
            CreateRequest {
                policies: policies(&["maker"]),
                ..nothing()
            }
        )),
        "INVALID_ARGUMENT"
    );
    let fewer = CreateRequest {
        num_uses: NonZeroU32::new(2),
        ..strong()
    };
    assert_eq!(world.with_ci(&maker, fewer).unwrap().info.num_uses, 2);
    let more = CreateRequest {
        num_uses: NonZeroU32::new(9),
        ..strong()
    };
    assert_eq!(world.with_ci(&maker, more).unwrap().info.num_uses, 5);
    let elsewhere = CreateRequest {
        bound_cidrs: cidrs(&["11.0.0.0/8"]),
        ..strong()
    };
    assert_eq!(reason(world.with_ci(&maker, elsewhere)), "INVALID_ARGUMENT");
    // A list of what is disallowed alone lets all else through, whatever the parent has.
    let change = RoleChange {
        allowed: names(&[]),
        disallowed: names(&["secret"]),
        ..RoleChange::default()
    };
    world.write_role(&root, change).unwrap();
    let asking = |policy: &str| CreateRequest {
        policies: policies(&[policy]),
        ..CreateRequest::default()
    };
    assert_eq!(reason(world.with_ci(&maker, asking("strong"))), "OK");
    assert_eq!(
        reason(world.with_ci(&maker, asking("secret"))),
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        reason(world.with_ci(&maker, asking("root"))),
        "ROOT_REQUIRED"
    );
    // A role that was cut down to nothing leaves the usual rule.
    let change = RoleChange {
        allowed: names(&[]),
        disallowed: names(&[]),
        ..RoleChange::default()
    };
    world.write_role(&root, change).unwrap();
    assert_eq!(
        reason(world.with_ci(&maker, strong())),
        "POLICIES_NOT_SUBSET"
    );
    let role_now = world
        .read(|context| {
            let caller = identify(context, &root)?;
            read_role(
                &authorize(context, &caller, ManageRoles::Read(role("ci")))?,
                &role("ci"),
            )
        })
        .unwrap();
    assert_eq!(role_now.period, Some(ttl("10m")));
    assert_ne!(role_now, TokenRoleRecord::new(role("ci")));
}

/// Planted bug: a bound that counts what was deleted, too. Caught.
#[test]
fn there_are_so_many_roles_and_policies_and_no_more() {
    use crate::{
        state::{Policies, RowCounts, Table, TokenRoles},
        types::limits::{POLICIES_STORED_MAX, TOKEN_ROLES_MAX},
    };
    let (mut world, root) = World::with_root(21);
    let rows = |world: &mut World, table: u8, rows: u64| {
        let mut txn = crate::state::Txn::default();
        txn.insert_plain::<RowCounts>(&table, &rows).unwrap();
        world.apply(txn);
    };
    rows(&mut world, TokenRoles::ID, TOKEN_ROLES_MAX - 1);
    for _ in 0..2 {
        world.write_role(&root, RoleChange::default()).unwrap();
        // One that is there is changed, however many there are.
        world.write_role(&root, RoleChange::default()).unwrap();
        world.delete_role(&root);
        world.delete_role(&root);
    }
    rows(&mut world, TokenRoles::ID, TOKEN_ROLES_MAX);
    let refused = world.write_role(&root, RoleChange::default());
    assert_eq!(reason(refused), "TOO_MANY_ROLES");
    rows(&mut world, Policies::ID, POLICIES_STORED_MAX);
    let refused = world.commit(|context, random| {
        let caller = identify(context, &root)?;
        let text = r#"path "a" { capabilities = ["read"] }"#;
        let name = PolicyName::parse("one-more").unwrap();
        let action = crate::policy::WritePolicy(name, text.into());
        crate::policy::write(&authorize(context, &caller, action)?, random)
    });
    assert_eq!(refused.unwrap_err().reason(), "TOO_MANY_POLICIES");
}

/// Leases are counted by the role that made their token, batch tokens' too, and those of tokens by
/// their own.
///
/// Planted bug: a batch token's lease that has forgotten the role. Caught.
#[test]
fn leases_are_counted_by_role() {
    use crate::lease::{CountBy, count};
    let (mut world, root) = World::with_root(22);
    world.write_role(&root, RoleChange::default()).unwrap();
    let wish = || CreateRequest {
        policies: policies(&["default"]),
        ..CreateRequest::default()
    };
    let sealed = world.with_ci(&root, batch()).unwrap().id;
    let of_role = world.with_ci(&root, wish()).unwrap().id;
    let other = world.create(&root, wish()).unwrap().id;
    for (token, leases) in [(&sealed, 1), (&of_role, 2), (&other, 4)] {
        for _ in 0..leases {
            world.grant_to(token, "30m");
        }
    }
    let counted = |prefix: &str| {
        let found = world.read(|context| {
            let caller = identify(context, &root)?;
            let action = ListLeases(Some(Path::parse(prefix).unwrap()));
            count(
                &authorize(context, &caller, action)?,
                None,
                Some(CountBy::Role),
            )
        });
        let groups = found.unwrap().groups.into_iter();
        groups
            .map(|(role, group)| (role, group.count))
            .collect::<Vec<_>>()
    };
    let of = |none, ci| vec![(String::new(), none), ("ci".to_owned(), ci)];
    assert_eq!(counted("db"), of(4, 3));
    // Root and the other one, and the stored token of the role.
    assert_eq!(counted("auth"), of(2, 1));
}

/// The row `role is live`.
#[test]
fn a_role_is_read_again_at_each_renewal() {
    let (mut world, root) = World::with_root(9);
    let period = |text: &str| RoleChange {
        period: Some(Some(ttl(text))),
        ..RoleChange::default()
    };
    world.write_role(&root, period("1h")).unwrap();
    let wish = || CreateRequest {
        policies: policies(&["default"]),
        ..CreateRequest::default()
    };
    let token = world.with_ci(&root, wish()).unwrap().id;
    assert_eq!(
        world
            .renew(&token, Target::Caller, of("5h"))
            .unwrap()
            .info
            .ttl,
        Some(ttl("1h"))
    );
    world.write_role(&root, period("20m")).unwrap();
    assert_eq!(
        world
            .renew(&token, Target::Caller, of("5h"))
            .unwrap()
            .info
            .ttl,
        Some(ttl("20m"))
    );
    let max = RoleChange {
        explicit_max_ttl: Some(Some(ttl("10m"))),
        ..RoleChange::default()
    };
    world.write_role(&root, max).unwrap();
    let renewed = world.renew(&token, Target::Caller, of("5h")).unwrap();
    assert_eq!(
        (renewed.info.ttl, renewed.warnings.len()),
        (Some(ttl("10m")), 1)
    );
    assert_eq!(
        (renewed.info.explicit_max_ttl, renewed.info.period),
        (None, None)
    );
    world.delete_role(&root);
    assert_eq!(
        reason(world.renew(&token, Target::Caller, of("5m"))),
        "NO_SUCH_ROLE"
    );
    assert!(world.alive(&token));
}

#[test]
fn a_role_decides_the_kind_of_its_tokens() {
    use crate::state::RoleTokenType as Kind;
    let (mut world, root) = World::with_root(10);
    let (service, batch) = (Some(TokenType::Service), Some(TokenType::Batch));
    for (kind, asked, wanted, warnings) in [
        (Kind::Service, None, TokenType::Service, 0),
        (Kind::Service, batch, TokenType::Service, 1),
        (Kind::Batch, None, TokenType::Batch, 0),
        (Kind::Batch, service, TokenType::Batch, 1),
        (Kind::DefaultService, None, TokenType::Service, 0),
        (Kind::DefaultService, batch, TokenType::Batch, 0),
        (Kind::DefaultBatch, None, TokenType::Batch, 0),
        (Kind::DefaultBatch, service, TokenType::Service, 0),
    ] {
        let change = RoleChange {
            token_type: Some(kind),
            ..RoleChange::default()
        };
        world.write_role(&root, change).unwrap();
        let wish = CreateRequest {
            policies: policies(&["default"]),
            token_type: asked,
            ..CreateRequest::default()
        };
        let made = world.with_ci(&root, wish).unwrap();
        assert_eq!(
            (made.info.kind, made.warnings.len()),
            (wanted, warnings),
            "{kind:?} {asked:?}"
        );
    }
    let change = RoleChange {
        period: Some(Some(ttl("1h"))),
        ..RoleChange::default()
    };
    assert_eq!(reason(world.write_role(&root, change)), "INVALID_ARGUMENT");
}

/// The row `CIDR`: from elsewhere it isn't a token; its children are bound, too.
#[test]
fn a_bound_token_is_one_from_there_alone() {
    let (mut world, root) = World::with_root(11);
    let bound = CreateRequest {
        policies: policies(&["default"]),
        bound_cidrs: cidrs(&["10.0.0.0/8"]),
        ..CreateRequest::default()
    };
    let token = world.create(&root, bound.clone()).unwrap().id;
    let sealed = world
        .create(
            &root,
            CreateRequest {
                token_type: Some(TokenType::Batch),
                ..bound
            },
        )
        .unwrap()
        .id;
    for (address, wanted) in [
        ("10.1.1.1", true),
        ("::ffff:10.1.1.1", true),
        ("11.1.1.1", false),
        ("::1", false),
    ] {
        world.from(address);
        assert_eq!(
            (world.alive(&token), world.alive(&sealed)),
            (wanted, wanted),
            "{address}"
        );
    }
    world.from("10.1.1.1");
    let child = world.create(&token, CreateRequest::default()).unwrap();
    assert_eq!(child.info.bound_cidrs, cidrs(&["10.0.0.0/8"]));
    let narrower = CreateRequest {
        bound_cidrs: cidrs(&["10.9.0.0/16"]),
        ..CreateRequest::default()
    };
    assert_eq!(reason(world.create(&token, narrower)), "OK");
    let wider = CreateRequest {
        bound_cidrs: cidrs(&["0.0.0.0/0"]),
        ..CreateRequest::default()
    };
    assert_eq!(reason(world.create(&token, wider)), "INVALID_ARGUMENT");
    world.remote = None;
    assert!(!world.alive(&token) && !world.alive(&sealed) && world.alive(&root));
    // Whoever manages it needn't be there.
    assert_eq!(reason(world.lookup(&root, Target::Id(token))), "OK");
}

/// The row `by source path`: one commit, whole segments, later ones live, sudo.
#[test]
fn a_path_revokes_what_was_made_there() {
    let (mut world, root) = World::with_root(12);
    world.write_role(&root, RoleChange::default()).unwrap();
    let wish = || CreateRequest {
        policies: policies(&["default"]),
        ..CreateRequest::default()
    };
    let plain = world.create(&root, wish()).unwrap().id;
    let grandchild = world.create(&plain, wish()).unwrap().id;
    let of_role = world.with_ci(&root, wish()).unwrap().id;
    let orphan = world
        .create_at(&root, CreatePath::Orphan, wish())
        .unwrap()
        .id;
    let sealed = world
        .create_at(&root, CreatePath::Orphan, batch())
        .unwrap()
        .id;
    // The services' policy has update on sys/leases/*, and no sudo.
    let refused = world.revoke_path(&plain, "auth/token/create");
    assert_eq!(refused.unwrap_err().reason(), "SUDO_REQUIRED");
    world.revoke_path(&root, "auth/token/create/ci").unwrap();
    assert!(!world.alive(&of_role) && world.alive(&plain));
    world.revoke_path(&root, "auth/token/create").unwrap();
    // The longer path is covered by the shorter one.
    assert_eq!(world.revocations.paths().count(), 1);
    assert!(!world.alive(&plain) && !world.alive(&grandchild) && !world.alive(&of_role));
    assert!(world.alive(&orphan) && world.alive(&sealed));
    let later = world.create(&root, wish()).unwrap().id;
    world.settle();
    assert!(world.alive(&later) && !world.alive(&plain) && !world.alive(&grandchild));
    // Everything under auth, root too: the last resort.
    world.revoke_path(&root, "auth").unwrap();
    for token in [&root, &later, &orphan, &sealed] {
        assert!(!world.alive(token));
    }
    world.settle();
    assert_eq!(world.counts()[0], 0);
    assert!(!world.alive(&sealed));
    // An hour longer than any batch token lives.
    world.wait("768h");
    world.settle();
    assert_eq!(world.revocations.paths().count(), 1);
    world.wait("1h");
    world.settle();
    assert_eq!(world.revocations.paths().count(), 0);
}

/// Whoever rests on a token's being alive is sent back when its path is revoked meanwhile.
#[test]
fn a_call_and_the_revocation_of_its_path_collide() {
    let (mut world, root) = World::with_root(13);
    let token = world.child(&root, "default");
    let before = world.store.clone();
    let view = View::new(&before, &world.barrier);
    let context = Context {
        view: &view,
        revocations: &world.revocations,
        acls: &world.acls,
        ttl: &world.ttl,
        now: world.now,
        remote: None,
    };
    identify(context, &token).unwrap();
    let reads = view.into_reads();
    let (_, txn) = races::plan(&mut world, |context, random| {
        let caller = identify(context, &root)?;
        let action = RevokePrefix(Path::parse("auth/token").unwrap());
        revoke_prefix(&authorize(context, &caller, action)?, random)
    });
    let touched = txn.into_ops().into_iter().any(|op| match op {
        crate::state::Op::Put { key, .. } | crate::state::Op::Delete(key) => {
            reads.keys.contains(&key)
        }
        crate::state::Op::PutAtRevision { .. } | crate::state::Op::DeleteRange(..) => false,
    });
    assert!(touched);
}

/// The row `token leases`.
#[test]
fn a_token_has_a_lease_under_its_path() {
    let (mut world, root) = World::with_root(14);
    let one = world.child(&root, "default");
    let two = world.child(&root, "default");
    world
        .create_at(&root, CreatePath::Orphan, CreateRequest::default())
        .unwrap();
    for limit in 1..5 {
        assert_eq!(world.leases_under(&root, "auth", limit).len(), 4);
    }
    let found = world.leases_under(&root, "auth/token/create", 1);
    assert_eq!(found.len(), 2);
    assert!(world.leases_under(&one, "auth/token/create", 10).is_empty());
    let accessors: Vec<_> = world
        .list_all(&root, 10)
        .iter()
        .map(|info| info.accessor.clone().unwrap())
        .collect();
    for lease in &found {
        let id = lease.id.text();
        assert!(
            id.starts_with("auth/token/create/h") && id.len() == 18 + 33,
            "{id}"
        );
        assert!(
            accessors
                .iter()
                .all(|accessor| !id.contains(accessor.as_str()))
        );
        let shown = world.lease_of(&root, &lease.id).unwrap();
        assert_eq!((shown.ttl, shown.owner_accessor), (Some(ttl("768h")), None));
        let renewed = world.renew_lease_of(&root, &lease.id);
        assert_eq!(renewed.unwrap_err().reason(), "LEASE_OF_TOKEN");
    }
    // Its own lease shows a token its accessor; a foreign one is none.
    let seen: Vec<_> = found
        .iter()
        .map(|lease| world.lease_of(&one, &lease.id))
        .collect();
    assert_eq!(seen.iter().filter(|seen| seen.is_ok()).count(), 1);
    let own = seen.into_iter().flatten().next().unwrap();
    assert_eq!(
        own.owner_accessor,
        world.lookup(&one, Target::Caller).unwrap().accessor
    );
    world
        .commit(|context, random| {
            let caller = identify(context, &root)?;
            let action = RevokeLease(own.id.clone());
            crate::lease::revoke(&authorize(context, &caller, action)?, random)
        })
        .unwrap();
    assert!(!world.alive(&one) && world.alive(&two));
    assert!(world.lease_of(&root, &own.id).is_err());
}

/// The rows of section 3 about the mount's bounds.
#[test]
fn the_bounds_of_tokens_are_tuned() {
    let (mut world, root) = World::with_root(15);
    let wish = |ttl: TtlRequest| CreateRequest {
        policies: policies(&["default"]),
        ttl,
        ..CreateRequest::default()
    };
    let tuned = |world: &mut World, default: &str, max: &str| {
        let change = TuningChange {
            default_ttl: Some(of(default)),
            max_ttl: Some(of(max)),
        };
        world.commit(|context, random| {
            let caller = identify(context, &root)?;
            tune(
                &authorize(context, &caller, TuneTokens::Change(change))?,
                change,
                random,
            )
        })
    };
    tuned(&mut world, "30m", "2h").unwrap();
    let token = world.create(&root, wish(TtlRequest::Default)).unwrap();
    assert_eq!(
        (token.info.ttl, token.warnings.len()),
        (Some(ttl("30m")), 0)
    );
    let long = world.create(&root, wish(of("5h"))).unwrap();
    assert_eq!((long.info.ttl, long.warnings.len()), (Some(ttl("2h")), 1));
    world.wait("20m");
    let renewed = world
        .renew(&root, Target::Id(token.id.clone()), of("5h"))
        .unwrap();
    assert_eq!(renewed.info.ttl, Some(ttl("1h40m")));
    assert_eq!(reason(tuned(&mut world, "3h", "2h")), "INVALID_ARGUMENT");
    tuned(&mut world, "0", "0").unwrap();
    let token = world.create(&root, wish(TtlRequest::Default)).unwrap();
    assert_eq!(token.info.ttl, Some(ttl("768h")));
    let weak = token.id;
    let refused = world.read(|context| {
        let caller = identify(context, &weak)?;
        show_tuning(&authorize(context, &caller, TuneTokens::Show)?)
    });
    assert_eq!(reason(refused), "PERMISSION_DENIED");
}

/// A listing with filters gives what a naive look at all tokens gives, in bounded pages.
#[test]
fn filters_of_listings_are_exact() {
    let (mut world, root) = World::with_root(16);
    world.write_role(&root, RoleChange::default()).unwrap();
    for n in 0..24u64 {
        let wish = CreateRequest {
            policies: policies(&[["a", "b", "c"][(n % 3) as usize]]),
            display_name: format!("{}-{n}", ["web", "db"][(n % 2) as usize]),
            ttl: TtlRequest::from(Ttl::from_seconds(600 + n).unwrap()),
            ..CreateRequest::default()
        };
        let path = [
            CreatePath::Child,
            CreatePath::Orphan,
            CreatePath::Role(role("ci")),
            CreatePath::Child,
        ][(n % 4) as usize]
            .clone();
        world.create_at(&root, path, wish).unwrap();
    }
    let all = world.list_all(&root, 500);
    assert_eq!(all.len(), 25);
    let mid = world.now.saturating_add(ttl("612"));
    let filters = [
        Filter {
            role: Some(role("ci")),
            ..Filter::default()
        },
        Filter {
            policy: Some(PolicyName::parse("a").unwrap()),
            ..Filter::default()
        },
        Filter {
            name_prefix: "token-web".into(),
            ..Filter::default()
        },
        Filter {
            orphan: Some(true),
            ..Filter::default()
        },
        Filter {
            orphan: Some(false),
            name_prefix: "token-db".into(),
            ..Filter::default()
        },
        Filter {
            ends_before: Some(mid),
            ..Filter::default()
        },
        Filter {
            name_prefix: "nobody".into(),
            ..Filter::default()
        },
    ];
    for filter in filters {
        let wanted = all.iter().filter(|token| {
            (filter.role.is_none() || token.role == filter.role)
                && filter
                    .policy
                    .as_ref()
                    .is_none_or(|name| token.policies.contains(name))
                && token.display_name.as_str().starts_with(&filter.name_prefix)
                && filter.orphan.is_none_or(|orphan| token.orphan == orphan)
                && filter
                    .ends_before
                    .is_none_or(|at| token.expiry.at().is_some_and(|end| end < at))
        });
        let wanted: Vec<_> = wanted.map(|token| token.accessor.clone()).collect();
        for limit in [1, 3, 500] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = world
                    .read(|context| {
                        let caller = identify(context, &root)?;
                        let permit = authorize(context, &caller, ListTokens)?;
                        list(&permit, &filter, after.as_ref(), limit)
                    })
                    .unwrap();
                assert!(page.tokens.len() <= limit);
                found.extend(page.tokens.into_iter().map(|token| token.accessor));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{filter:?} {limit}");
        }
    }
}
