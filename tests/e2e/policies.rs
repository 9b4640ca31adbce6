//! Policies decide: by path and operation, on every node, for living tokens at once.

use tenure_client::proto::CreateTokenRequest;
use tenure_client::{CapabilitiesOf, Client, Code, Secret};
use tenure_tests::server_cluster::{Outcome, ServerCluster};

use crate::{ensure, make, run, text, three, wish};

const READER: &str = r#"
# Comments are fine.
path "sys/policies/acl/reader" { capabilities = ["read"] }
path "sys/capabilities*" { capabilities = ["update"] }
"#;

/// A token with this policy beside `default`.
async fn holder(cluster: &ServerCluster, policy: &str) -> Outcome<(Secret, String)> {
    let request = CreateTokenRequest {
        policies: vec![policy.to_owned()],
        ..wish("holder")
    };
    make(&cluster.client()?, request).await
}

async fn denied<T>(
    what: &str,
    call: impl Future<Output = Result<T, tenure_client::Error>>,
) -> Outcome<()> {
    match call.await {
        Err(error) if error.code() == Code::PermissionDenied => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what} is allowed")),
    }
}

/// Every change shows on all nodes from its answer on: a grant, its loss, another text.
///
/// Planted bug: what was compiled is kept whatever its revisions. Caught: a token still
/// read what its policy granted after that was deleted.
#[test]
fn a_change_acts_on_living_tokens_at_once_on_every_node() {
    run(
        "policies::a_change_acts_on_living_tokens_at_once",
        async |scenario| {
            let cluster = three(scenario).await?;
            let (token, _) = holder(&cluster, "reader").await?;
            for round in 0..6 {
                let writer = cluster.root_at(round % 3)?;
                writer.write_policy("reader", READER).await.map_err(text)?;
                for node in &cluster.nodes {
                    let read = node.client_of(&token).read_policy("reader").await;
                    let read = read.map_err(|error| format!("{}: {error}", node.name))?;
                    ensure(read == READER, || read)?;
                }
                match round % 2 {
                    0 => writer.delete_policy("reader").await.map_err(text)?,
                    _ => {
                        let other =
                            r#"{"path": {"sys/policies/acl/other": {"capabilities": ["read"]}}}"#;
                        writer.write_policy("reader", other).await.map_err(text)?;
                    }
                }
                for node in &cluster.nodes {
                    let what = format!("{}, round {round}", node.name);
                    denied(&what, node.client_of(&token).read_policy("reader")).await?;
                }
            }
            Ok(())
        },
    );
}

/// What `default` gives and what it doesn't.
#[test]
fn the_default_policy_is_about_the_token_itself() {
    run("policies::the_default_policy", async |scenario| {
        let cluster = three(scenario).await?;
        let (token, accessor) = holder(&cluster, "default").await?;
        let (other, _) = make(&cluster.client()?, wish("other")).await?;
        let client = cluster.node(1)?.client_of(&token);
        client.lookup_self().await.map_err(text)?;
        client.renew_self(None).await.map_err(text)?;
        denied("create", client.create_token(wish("child"))).await?;
        denied("lookup", client.lookup_token(&other)).await?;
        denied("lookup by accessor", client.lookup_accessor(&accessor)).await?;
        denied("revoke", client.revoke_token(&other)).await?;
        denied("write", client.write_policy("mine", READER)).await?;
        denied("list", client.list_policies()).await?;
        denied("members", client.cluster_status()).await?;
        denied("step down", client.step_down()).await?;
        let paths = ["auth/token/lookup-self", "auth/token/create", "sys/seal"];
        let shown = client.capabilities(CapabilitiesOf::Caller, &paths).await;
        let shown: Vec<_> = shown
            .map_err(text)?
            .into_iter()
            .map(|one| one.capabilities)
            .collect();
        ensure(shown == [vec!["read"], vec!["deny"], vec!["deny"]], || {
            format!("{shown:?}")
        })?;
        // Whatever was denied has changed nothing.
        cluster.node(2)?.accepts(&other).await?;
        client.revoke_self().await.map_err(text)?;
        cluster.node(0)?.refuses(&token).await
    });
}

/// Without sudo on `auth/token/create` a child stays within its parent; with it, it may get
/// any policy but root.
#[test]
fn sudo_lifts_what_a_child_may_get_but_never_to_root() {
    run("policies::sudo", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        let (token, _) = holder(&cluster, "maker").await?;
        let client = cluster.node(1)?.client_of(&token);
        let asks = |policy: &str| CreateTokenRequest {
            policies: vec![policy.to_owned()],
            ..wish("child")
        };
        let text_of = |capabilities: &str| {
            format!(r#"path "auth/token/create" {{ capabilities = [{capabilities}] }}"#)
        };
        root.write_policy("maker", &text_of(r#""update""#))
            .await
            .map_err(text)?;
        make(&client, asks("maker")).await?;
        denied("another policy", client.create_token(asks("other"))).await?;
        root.write_policy("maker", &text_of(r#""update", "sudo""#))
            .await
            .map_err(text)?;
        make(&client, asks("other")).await?;
        for spelling in ["root", "ROOT", " Root "] {
            denied(spelling, client.create_token(asks(spelling))).await?;
        }
        let orphan = CreateTokenRequest {
            no_parent: true,
            ..asks("other")
        };
        make(&client, orphan).await?;
        Ok(())
    });
}

/// Rules on parameters hold at the typed door too.
#[test]
fn parameters_of_a_typed_call_are_checked() {
    run("policies::parameters", async |scenario| {
        let cluster = three(scenario).await?;
        let rule = r#"path "auth/token/create" {
            capabilities = ["update"]
            allowed_parameters = { "policies" = [], "display_name" = ["ci-*"] }
            required_parameters = ["display_name"]
        }"#;
        let written = cluster.client()?.write_policy("ci", rule).await;
        written.map_err(text)?;
        let (token, _) = holder(&cluster, "ci").await?;
        let client = cluster.node(2)?.client_of(&token);
        let asks = |name: &str, ttl| CreateTokenRequest {
            policies: vec!["ci".to_owned()],
            display_name: name.to_owned(),
            ttl,
            ..CreateTokenRequest::default()
        };
        make(&client, asks("ci-job", None)).await?;
        denied("no name", client.create_token(asks("", None))).await?;
        denied("another name", client.create_token(asks("job", None))).await?;
        let ttl = prost_types::Duration {
            seconds: 60,
            nanos: 0,
        };
        denied("a ttl", client.create_token(asks("ci-job", Some(ttl)))).await
    });
}

/// Bad input changes nothing and says why.
#[test]
fn policies_that_are_none_are_refused() {
    run("policies::bad", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.root_at(1)?;
        root.write_policy("good", READER).await.map_err(text)?;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let large = "#".repeat(1 << 20);
        let bad = [
            ("", "POLICY_MALFORMED"),
            ("path", "POLICY_MALFORMED"),
            (r#"path "a" { capabilities = ["fly"] }"#, "POLICY_MALFORMED"),
            (r#"path "a" { colour = "red" }"#, "POLICY_MALFORMED"),
            (
                r#"path "a+*" { capabilities = ["read"] }"#,
                "POLICY_MALFORMED",
            ),
            (deep.as_str(), "POLICY_MALFORMED"),
            (large.as_str(), "POLICY_MALFORMED"),
        ];
        for (policy, wanted) in bad {
            refused(&root, "good", policy, wanted).await?;
        }
        let read = root.read_policy("good").await.map_err(text)?;
        ensure(read == READER, || "a refused text was kept".to_owned())?;
        for name in ["", "  ", "a\0b", "ｒｏｏｔ", &"x".repeat(1_000)] {
            refused(&root, name, READER, "INVALID_ARGUMENT").await?;
        }
        for name in ["root", " ROOT "] {
            refused(&root, name, READER, "POLICY_BUILT_IN").await?;
        }
        let deleted = root.delete_policy("default").await;
        ensure(
            deleted.is_err_and(|error| error.reason() == Some("POLICY_BUILT_IN")),
            || "default was deleted".to_owned(),
        )?;
        let none = root.read_policy("none").await;
        ensure(
            none.is_err_and(|error| error.code() == Code::NotFound),
            || "a policy that doesn't exist was read".to_owned(),
        )?;
        let names = root.list_policies().await.map_err(text)?;
        ensure(names == ["default", "good", "root", "service"], || {
            format!("{names:?}")
        })
    });
}

async fn refused(root: &Client, name: &str, policy: &str, wanted: &str) -> Outcome<()> {
    match root.write_policy(name, policy).await {
        Err(error) if error.reason() == Some(wanted) => Ok(()),
        Err(error) => Err(format!("{name:?}: {error} ({:?})", error.reason())),
        Ok(()) => Err(format!("{name:?} was written")),
    }
}
