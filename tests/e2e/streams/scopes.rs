//! What a watch shows: the caller's own, a prefix, a token, everybody's; the end of a lease once.

use std::collections::BTreeMap;

use tenure_client::proto::WatchRequest;
use tenure_client::proto::lease_event::Subject;

use super::{events, granted, opened, short, shorts, watch};
use crate::{ensure, make, run, text, three, wish};

/// Policies of one that may watch its own leases, and of one that may watch everybody's.
const OWN: &str = r#"path "sys/leases/watch/*" { capabilities = ["read"] }
path "sys/leases/*" { capabilities = ["update", "list"] }"#;

/// Leases that are looked up as soon as they are told of.
const GRANTS: usize = 20;

/// Grant, renewal, revocation, expiry, each once, in order, on every node, and only to those who
/// may know.
#[test]
fn each_is_shown_what_it_may_see() {
    run(
        "streams::scopes::each_is_shown_what_it_may_see",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.client()?;
            root.write_policy("watcher", OWN).await.map_err(text)?;
            let request = tenure_client::proto::CreateTokenRequest {
                policies: vec!["watcher".into()],
                ..wish("one")
            };
            let (one, accessor) = make(&root, request.clone()).await?;
            let (two, _) = make(&root, request).await?;
            for index in 0..3 {
                let base = format!("scopes/{index}");
                let node = cluster.node(index)?;
                let (one, two) = (node.client_of(&one), node.client_of(&two));
                let mut own = opened(watch(&one, &base, None)).await?;
                let mut all =
                    opened(watch(&cluster.root_at((index + 1) % 3)?, &base, None)).await?;
                let by_token = WatchRequest {
                    accessor: accessor.clone(),
                    ..WatchRequest::default()
                };
                let mut of_token =
                    opened(cluster.root_at((index + 2) % 3)?.watch(by_token.clone())).await?;
                let refused = two
                    .watch(by_token)
                    .next()
                    .await
                    .err()
                    .ok_or("a foreign watch")?;
                ensure(refused.reason() == Some("PERMISSION_DENIED"), || {
                    refused.to_string()
                })?;

                let mine = granted(&one, &format!("{base}/mine"), 3600).await?;
                let theirs = granted(&two, &format!("{base}/theirs"), 3600).await?;
                let beside = granted(&one, &format!("{base}-beside"), 3600).await?;
                one.renew_lease(&mine, None).await.map_err(text)?;
                let brief = granted(&one, &format!("{base}/brief"), 1).await?;
                one.revoke_lease(&mine).await.map_err(text)?;
                let own_events = events(&mut own, 5).await?;
                for event in &own_events[..3] {
                    ensure(event.owner_accessor == accessor, || format!("{event:?}"))?;
                }
                let wanted = [
                    format!("granted {mine}"),
                    format!("renewed {mine}"),
                    format!("granted {brief}"),
                    format!("revoked {mine}"),
                    format!("expired {brief}"),
                ];
                ensure(shorts(&own_events) == wanted, || {
                    format!("{:?}", shorts(&own_events))
                })?;
                let all_events = shorts(&events(&mut all, 6).await?);
                ensure(all_events[1] == format!("granted {theirs}"), || {
                    format!("{all_events:?}")
                })?;
                let token_events = shorts(&events(&mut of_token, 6).await?);
                ensure(token_events[1] == format!("granted {beside}"), || {
                    format!("{token_events:?}")
                })?;
            }
            Ok(())
        },
    );
}

/// An event is shown when what it tells can be read through any node, whichever shows it.
///
/// Planted bug: events in a commit of their own, before the change. Caught: no such lease.
#[test]
fn what_is_told_can_be_read() {
    run(
        "streams::scopes::what_is_told_can_be_read",
        async |scenario| {
            let cluster = three(scenario).await?;
            for index in 0..3 {
                let prefix = format!("told/{index}");
                let mut told = opened(watch(&cluster.root_at(index)?, &prefix, None)).await?;
                let (client, path) = (cluster.client()?, prefix.clone());
                let grants = tokio::spawn(async move {
                    for number in 0..GRANTS {
                        granted(&client, &format!("{path}/{number}"), 3600).await?;
                    }
                    Ok::<_, String>(())
                });
                let mut shown = 0;
                while shown < GRANTS {
                    let seen = events(&mut told, 1).await?;
                    shown += seen.len();
                    for event in &seen {
                        let Some(Subject::LeaseId(id)) = &event.subject else {
                            return Err(short(event));
                        };
                        for node in 0..3 {
                            let read = cluster.root_at(node)?.lookup_lease(id).await;
                            read.map_err(|error| {
                                format!("{} at node {node}: {error}", short(event))
                            })?;
                        }
                    }
                }
                grants.await.map_err(text)??;
            }
            Ok(())
        },
    );
}

/// A prefix and a tree of tokens, revoked by one commit each: one event for each of them at once,
/// and the end of every lease once, to its owner too.
#[test]
fn tombstones_are_told_once() {
    run(
        "streams::scopes::tombstones_are_told_once",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.client()?;
            root.write_policy("watcher", OWN).await.map_err(text)?;
            let request = tenure_client::proto::CreateTokenRequest {
                policies: vec!["watcher".into(), "service".into()],
                ..wish("parent")
            };
            let (parent, parent_accessor) = make(&root, request.clone()).await?;
            let (child, _) = make(&cluster.node(0)?.client_of(&parent), request.clone()).await?;
            let (owner, _) = make(&root, request).await?;
            let (child, owner) = (
                cluster.node(1)?.client_of(&child),
                cluster.node(2)?.client_of(&owner),
            );
            let mut all = opened(watch(&cluster.root_at(1)?, "", None)).await?;
            let mut own = opened(watch(&owner, "fleet", None)).await?;
            let (mut fleet, mut tree) = (Vec::new(), Vec::new());
            for number in 0..300 {
                fleet.push(granted(&owner, &format!("fleet/{number}"), 3600).await?);
            }
            for number in 0..40 {
                tree.push(granted(&child, &format!("tree/{number}"), 3600).await?);
            }
            root.revoke_prefix("fleet").await.map_err(text)?;
            root.revoke_token(&parent).await.map_err(text)?;
            // 340 grants, 2 tombstones, 340 ends; of the owner's watch 300 and 300.
            let seen = shorts(&events(&mut all, 682).await?);
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            seen.iter()
                .for_each(|event| *counts.entry(event).or_default() += 1);
            for id in fleet.iter().chain(&tree) {
                for wanted in [format!("granted {id}"), format!("revoked {id}")] {
                    ensure(counts.get(wanted.as_str()) == Some(&1), || {
                        format!("{wanted}: not once")
                    })?;
                }
            }
            let place = |wanted: &str| seen.iter().position(|event| event == wanted);
            let (prefix, token) = (
                place("revoked prefix fleet"),
                place(&format!("revoked token {parent_accessor}")),
            );
            let first_end = seen
                .iter()
                .position(|event| event.starts_with("revoked fleet"));
            ensure(
                prefix.is_some() && token.is_some() && prefix < first_end,
                || format!("{prefix:?} {token:?} {first_end:?}"),
            )?;
            let own = shorts(&events(&mut own, 600).await?);
            ensure(own.iter().all(|event| event.contains(" fleet/")), || {
                "a foreign event".into()
            })?;
            let ends = own
                .iter()
                .filter(|event| event.starts_with("revoked "))
                .count();
            ensure(ends == 300, || format!("{ends} ends"))
        },
    );
}
