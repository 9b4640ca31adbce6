//! Writing, reading, deleting and listing, in a world with tokens.

use crate::{
    policy::{
        DeletePolicy, ListPolicies, ManageError, ReadPolicy, ShowCapabilities, WritePolicy,
        capabilities, delete, list, read, write,
    },
    state::{Policies, Reads, Txn, key_of},
    token::{
        Create, CreateRequest, Target, TokenError, authorize, create, identify,
        tests::{
            World, policies,
            races::{conflict, plan},
        },
    },
    types::{PolicyName, TokenId},
};

const TEXT: &str = r#"path "auth/token/create" { capabilities = ["update"] }"#;

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

fn reason<T>(result: Result<T, ManageError>) -> &'static str {
    result.map_or_else(|error| error.reason(), |_| "OK")
}

fn written(world: &mut World, by: &TokenId, policy: &str, text: &str) -> Result<(), ManageError> {
    world.commit(|context, random| {
        let caller = identify(context, by)?;
        let permit = authorize(context, &caller, WritePolicy(name(policy), text.into()))?;
        write(&permit, random)
    })
}

fn deleted(world: &mut World, by: &TokenId, policy: &str) -> Result<(), ManageError> {
    world.commit(|context, _| {
        let caller = identify(context, by)?;
        delete(&authorize(context, &caller, DeletePolicy(name(policy)))?)
    })
}

fn shown(world: &World, by: &TokenId, policy: &str) -> Result<String, ManageError> {
    world.read(|context| {
        let caller = identify(context, by)?;
        read(&authorize(context, &caller, ReadPolicy(name(policy)))?)
    })
}

fn names(world: &World, by: &TokenId, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = world
            .read(|context| -> Result<_, ManageError> {
                let caller = identify(context, by)?;
                list(
                    &authorize(context, &caller, ListPolicies)?,
                    after.as_ref(),
                    limit,
                )
            })
            .unwrap();
        found.extend(page.names.iter().map(ToString::to_string));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort();
    found
}

#[test]
fn a_policy_is_kept_as_it_was_written_and_listed_over_pages() {
    let (mut world, root) = World::with_root(1);
    let json = r#"{"path": {"a": {"capabilities": ["read"]}}}"#;
    // In base64, as some clients send it; and anew.
    let encoded = "cGF0aCAiYSIgeyBjYXBhYmlsaXRpZXMgPSBbInJlYWQiXSB9";
    for (text, kept) in [
        (TEXT, TEXT),
        (json, json),
        (encoded, r#"path "a" { capabilities = ["read"] }"#),
    ] {
        written(&mut world, &root, " One ", text).unwrap();
        assert_eq!(shown(&world, &root, "ONE").unwrap(), kept);
    }
    for n in 0..7 {
        written(&mut world, &root, &format!("p{n}"), TEXT).unwrap();
    }
    let all = names(&world, &root, 3);
    let wanted = [
        "default", "one", "p0", "p1", "p2", "p3", "p4", "p5", "p6", "root",
    ];
    assert_eq!(all, wanted);
    assert_eq!(names(&world, &root, 500), wanted);
    deleted(&mut world, &root, "p3").unwrap();
    deleted(&mut world, &root, "p3").unwrap();
    assert_eq!(reason(shown(&world, &root, "p3")), "POLICY_NOT_FOUND");
}

#[test]
fn what_is_built_in_stays_and_what_is_no_policy_is_refused() {
    let (mut world, root) = World::with_root(2);
    assert_eq!(
        reason(written(&mut world, &root, "root", TEXT)),
        "POLICY_BUILT_IN"
    );
    assert_eq!(
        reason(deleted(&mut world, &root, "root")),
        "POLICY_BUILT_IN"
    );
    assert_eq!(
        reason(deleted(&mut world, &root, "default")),
        "POLICY_BUILT_IN"
    );
    assert_eq!(shown(&world, &root, "root").unwrap(), "");
    for text in ["", " \n", "path", "path \"a\" { capabilities = [\"fly\"] }"] {
        let refused = written(&mut world, &root, "a", text);
        assert_eq!(reason(refused), "POLICY_MALFORMED", "{text:?}");
    }
    assert_eq!(reason(shown(&world, &root, "a")), "POLICY_NOT_FOUND");
}

#[test]
fn a_change_acts_at_once_and_a_plan_on_the_old_text_is_sent_back() {
    let (mut world, root) = World::with_root(3);
    world.write_policy("default", TEXT);
    let token = world
        .create(
            &root,
            CreateRequest {
                policies: policies(&["default"]),
                ..Default::default()
            },
        )
        .unwrap()
        .id;
    assert_eq!(reason(shown(&world, &token, "x")), "PERMISSION_DENIED");
    let allow = r#"path "sys/policies/acl/+" { capabilities = ["read", "list"] }"#;
    world.write_policy("default", allow);
    assert_eq!(reason(shown(&world, &token, "x")), "POLICY_NOT_FOUND");
    world.write_policy("default", TEXT);
    // Planned while it was allowed; the policy goes before it is sequenced. The second plan
    // finds what the first one compiled: it must rest on the policy as much.
    for _ in 0..2 {
        let (reads, _) = plan(&mut world, |context, random| -> Result<_, TokenError> {
            let caller = identify(context, &token)?;
            let permit = authorize(context, &caller, Create::default())?;
            create(&permit, CreateRequest::default(), random)
        });
        let (_, change) = plan_write(&mut world, &root, "default", allow);
        assert!(conflict(&reads, change));
    }
}

fn plan_write(world: &mut World, by: &TokenId, policy: &str, text: &str) -> (Reads, Txn) {
    plan(world, |context, random| -> Result<_, ManageError> {
        let caller = identify(context, by)?;
        let action = WritePolicy(name(policy), text.into());
        write(&authorize(context, &caller, action)?, random)
    })
}

/// One that doesn't exist yet is read, too: it may deny what others grant.
#[test]
fn a_policy_that_comes_into_being_sends_plans_back() {
    let (mut world, root) = World::with_root(6);
    let token = world.child(&root, "later");
    let (reads, _) = plan(&mut world, |context, random| -> Result<_, TokenError> {
        let caller = identify(context, &token)?;
        let permit = authorize(context, &caller, Create::default())?;
        create(&permit, CreateRequest::default(), random)
    });
    let deny = r#"path "auth/token/create" { capabilities = ["deny"] }"#;
    let (_, change) = plan_write(&mut world, &root, "later", deny);
    assert!(conflict(&reads, change));
}

#[test]
fn capabilities_are_those_of_the_token_that_is_asked_about() {
    let (mut world, root) = World::with_root(4);
    let token = world.child(&root, "default");
    let asked = |world: &World, target: Target, paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        world.read(|context| {
            let caller = identify(context, &root)?;
            capabilities(&authorize(
                context,
                &caller,
                ShowCapabilities(target, paths),
            )?)
        })
    };
    let paths = ["/auth/token/create", "auth/token/lookup", "a//b"];
    let of_token = asked(&world, Target::Id(token.clone()), &paths).unwrap();
    assert_eq!(of_token, [["update"], ["deny"], ["deny"]]);
    let of_root = asked(&world, Target::Caller, &paths).unwrap();
    assert_eq!(of_root, [["root"], ["root"], ["root"]]);
    assert_eq!(
        reason(asked(&world, Target::Caller, &[])),
        "INVALID_ARGUMENT"
    );
    world.revoke(&root, Target::Id(token.clone())).unwrap();
    let gone = asked(&world, Target::Id(token), &paths);
    assert_eq!(reason(gone), "TOKEN_NOT_FOUND");
}

#[test]
fn a_policy_and_a_path_of_one_name_look_different_on_disk() {
    let (mut world, root) = World::with_root(5);
    written(&mut world, &root, "db", TEXT).unwrap();
    let stored: Vec<_> = world.store.records().keys().cloned().collect();
    let path = world.barrier.name_chain(["db"].into_iter());
    let shows = |key: &[u8]| key.windows(16).any(|part| part == &path.as_bytes()[..16]);
    assert!(!stored.iter().any(|key| shows(key)));
    let key = crate::policy::key_of_policy(&world.barrier, &name("db"));
    assert!(stored.contains(&key_of::<Policies>(&key)));
}
