//! Batch tokens, roles, networks and source paths on a cluster of three: through every node, over
//! a restart, and with the same refusals everywhere.

use tenure_client::proto::{
    CreateTokenRequest, GrantLeaseRequest, ListAccessorsRequest, Texts, TokenType,
    TuneTokensRequest, WriteRequest, WriteTokenRoleRequest,
};
use tenure_client::{Client, Code, Error, Secret};
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions};

use crate::http_client::Http;
use crate::{ALL, ensure, make, run, seconds, start, text, three, wish};

fn batch(name: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        r#type: TokenType::Batch.into(),
        ..wish(name)
    }
}

/// Fails unless the call was refused with this code and reason.
fn refused<T>(what: &str, code: Code, reason: &str, answer: Result<T, Error>) -> Outcome<()> {
    match answer {
        Ok(_) => Err(format!("{what}: was carried out")),
        Err(error) if error.code() == code && error.reason() == Some(reason) => Ok(()),
        Err(error) => Err(format!("{what}: {error:?}")),
    }
}

async fn everywhere(cluster: &ServerCluster, token: &Secret, lives: bool) -> Outcome<()> {
    for node in &cluster.nodes {
        match lives {
            true => node.accepts(token).await?,
            false => node.refuses(token).await?,
        }
    }
    Ok(())
}

/// Made through any node, good on all of them, and dead on all with the answer that ends its
/// parent; a request that was made with it works through any node.
#[test]
fn batch_tokens_live_and_die_on_every_node() {
    run("tokens::batch_tokens_live_and_die", async |scenario| {
        let mut cluster = three(scenario).await?;
        for index in ALL {
            let root = cluster.root_at(index)?;
            let (parent, _) = make(&root, wish("parent")).await?;
            let maker = cluster.node(index)?.client_of(&parent);
            let (child, accessor) = make(&maker, batch("child")).await?;
            ensure(accessor.is_empty(), || "it has an accessor".into())?;
            let orphan = CreateTokenRequest {
                orphan: true,
                ..batch("orphan")
            };
            let (orphan, _) = make(&root, orphan).await?;
            everywhere(&cluster, &child, true).await?;
            everywhere(&cluster, &orphan, true).await?;
            // Writes of its own, through another node.
            let elsewhere = cluster.node((index + 1) % 3)?.client_of(&child);
            let grant = || GrantLeaseRequest {
                path: format!("batch/{index}"),
                ttl: seconds(36_000),
                request_id: "once".to_owned(),
                ..GrantLeaseRequest::default()
            };
            let lease = elsewhere.grant_lease(grant()).await.map_err(text)?;
            let again = elsewhere.grant_lease(grant()).await.map_err(text)?;
            ensure(again.lease_id == lease.lease_id, || "granted twice".into())?;
            let life = lease.lease_duration.map_or(0, |life| life.seconds);
            ensure(life <= 3600, || format!("a lease of {life} s"))?;
            let failed = Code::FailedPrecondition;
            for (what, answer) in [
                ("renewal", elsewhere.renew_self(None).await.map(drop)),
                ("revocation", elsewhere.revoke_self().await),
                ("revoke-orphan", root.revoke_orphan(&child).await),
            ] {
                refused(what, failed, "BATCH_TOKEN", answer)?;
            }
            let answer = elsewhere.create_token(wish("grandchild")).await;
            refused("a child", failed, "BATCH_PARENT", answer)?;
            let write = WriteRequest {
                path: "cubbyhole/a".to_owned(),
                data: b"{\"a\":1}".to_vec(),
                ..WriteRequest::default()
            };
            let written = elsewhere.write(write).await;
            refused("cubbyhole", failed, "BATCH_TOKEN", written)?;
            root.revoke_token(&parent).await.map_err(text)?;
            everywhere(&cluster, &child, false).await?;
            everywhere(&cluster, &orphan, true).await?;
            for node in ALL {
                let looked = cluster.root_at(node)?.lookup_lease(&lease.lease_id).await;
                refused("its lease", Code::NotFound, "LEASE_NOT_FOUND", looked)?;
            }
        }
        // Nothing is stored of it, and it outlives every process.
        let (kept, _) = make(&cluster.client()?, batch("kept")).await?;
        for index in ALL {
            cluster.restart(index).await?;
            cluster.unseal(index).await?;
        }
        cluster.wait_complete().await?;
        everywhere(&cluster, &kept, true).await
    });
}

/// What isn't a living batch token is refused with the one answer, whatever is wrong with it.
#[test]
fn a_forged_batch_token_is_no_token() {
    run("tokens::a_forged_batch_token", async |scenario| {
        let cluster = start(scenario, ServerOptions::new(1)?).await?;
        let root = cluster.root();
        let (token, _) = make(&cluster.client()?, batch("good")).await?;
        let good = token.expose().to_owned();
        let mut http = Http::to(&cluster, 0, root.expose()).await?;
        let flipped = |at: usize| {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap_or_default()
        };
        let mut bad = vec![
            "hvb.".to_owned(),
            "hvb.AAAA".to_owned(),
            format!("{good}A"),
            format!("{good}=="),
            good[..good.len() - 1].to_owned(),
            format!("hvs.{}", &good[4..]),
            format!("hvb.{}", "A".repeat(4_000)),
        ];
        bad.extend([4, 5, 20, 40, good.len() / 2, good.len() - 1].map(flipped));
        let mut texts = Vec::new();
        for token in bad {
            let answer = http
                .with(&token)
                .ask("GET", "auth/token/lookup-self", "")
                .await?;
            texts.push(answer.must_be(403)?.body);
        }
        http.with("hvs.unknown");
        let unknown = http.ask("GET", "auth/token/lookup-self", "").await?;
        texts.push(unknown.must_be(403)?.body);
        texts.dedup();
        ensure(texts.len() == 1, || format!("{texts:?}"))?;
        http.with(&good);
        let own = http.ask("GET", "auth/token/lookup-self", "").await?;
        let data = own.must_be(200)?.json();
        ensure(
            data["data"]["type"] == "batch" && data["data"]["accessor"] == "",
            || data.to_string(),
        )
    });
}

/// The row `CIDR`: judged by the address that the caller has at the node it talks to, also where a
/// standby passes the call on.
#[test]
fn a_bound_token_is_good_from_its_network_alone() {
    run("tokens::a_bound_token", async |scenario| {
        let cluster = three(scenario).await?;
        let (inside, outside) = ([127, 0, 0, 77], [127, 0, 0, 1]);
        for kind in [TokenType::Service, TokenType::Batch] {
            let bound = CreateTokenRequest {
                bound_cidrs: vec!["127.0.0.64/26".to_owned()],
                r#type: kind.into(),
                ..wish("bound")
            };
            let (token, _) = make(&cluster.client()?, bound).await?;
            for index in ALL {
                for (from, read, write) in [(inside, 200, 200), (outside, 403, 403)] {
                    let mut http = Http::from(&cluster, from, index, token.expose()).await?;
                    let looked = http.ask("GET", "auth/token/lookup-self", "").await?;
                    let looked = looked.must_be(read)?;
                    let granted = http.ask("PUT", "sys/leases/grant/net", "").await?;
                    granted.must_be(write)?;
                    if from == inside {
                        let bound = &looked.json()["data"]["bound_cidrs"][0];
                        ensure(bound == "127.0.0.64/26", || looked.body.clone())?;
                    }
                }
            }
        }
        Ok(())
    });
}

/// The row `by source path`: one answer, and no node accepts what was made there; what is made
/// later lives, also over a restart.
#[test]
fn a_source_path_is_revoked_in_one_commit() {
    run("tokens::a_source_path", async |scenario| {
        let mut cluster = three(scenario).await?;
        let client = cluster.client()?;
        let role = WriteTokenRoleRequest {
            name: "ci".to_owned(),
            ..WriteTokenRoleRequest::default()
        };
        client.write_token_role(role).await.map_err(text)?;
        let of_role = |name: &str, kind: TokenType| CreateTokenRequest {
            role: "ci".to_owned(),
            r#type: kind.into(),
            ..wish(name)
        };
        let (stored, _) = make(&client, of_role("stored", TokenType::Service)).await?;
        let (sealed, _) = make(&client, of_role("sealed", TokenType::Batch)).await?;
        let (other, _) = make(&client, wish("other")).await?;
        let weak = cluster.node(0)?.client_of(&other);
        let answer = weak.revoke_prefix("auth/token/create/ci").await;
        refused(
            "without sudo",
            Code::PermissionDenied,
            "SUDO_REQUIRED",
            answer,
        )?;
        let standby = cluster.standby().await?;
        let through = cluster.root_at(standby)?;
        through
            .revoke_prefix("auth/token/create/ci")
            .await
            .map_err(text)?;
        let (later, _) = make(&client, of_role("later", TokenType::Batch)).await?;
        for round in 0..2 {
            everywhere(&cluster, &stored, false).await?;
            everywhere(&cluster, &sealed, false).await?;
            everywhere(&cluster, &later, true).await?;
            everywhere(&cluster, &other, true).await?;
            if round == 0 {
                for index in ALL {
                    cluster.restart(index).await?;
                    cluster.unseal(index).await?;
                }
                cluster.wait_complete().await?;
            }
        }
        Ok(())
    });
}

/// Roles, lists, tuning and leases of tokens, each through another node than it was written by.
#[test]
fn roles_lists_and_tuning_are_the_same_on_every_node() {
    run("tokens::roles_lists_and_tuning", async |scenario| {
        let cluster = three(scenario).await?;
        let at = |index: usize| -> Outcome<Client> { cluster.root_at(index % 3) };
        let names = |names: &[&str]| {
            let values = names.iter().map(|name| (*name).to_owned()).collect();
            Some(Texts { values })
        };
        for index in ALL {
            let name = format!("role-{index}");
            let role = WriteTokenRoleRequest {
                name: name.clone(),
                allowed_policies: names(&["service"]),
                period: seconds(600),
                orphan: Some(true),
                ..WriteTokenRoleRequest::default()
            };
            at(index)?.write_token_role(role).await.map_err(text)?;
            let shown = at(index + 1)?.read_token_role(&name).await.map_err(text)?;
            ensure(
                shown.allowed_policies == ["service"] && shown.orphan,
                || format!("{shown:?}"),
            )?;
            let asked = CreateTokenRequest {
                role: name.clone(),
                ..wish("of-role")
            };
            let auth = at(index + 2)?.create_token(asked).await.map_err(text)?;
            let token = Secret::new(auth.client_token);
            let client = cluster.node(index)?.client_of(&token);
            let own = client.lookup_self().await.map_err(text)?;
            ensure(
                own.role == name && own.ttl.is_some_and(|ttl| ttl.seconds <= 600),
                || format!("{own:?}"),
            )?;
            let filter = ListAccessorsRequest {
                role: name.clone(),
                ..ListAccessorsRequest::default()
            };
            let found = at(index)?.list_tokens(filter).await.map_err(text)?.tokens;
            ensure(
                found.len() == 1 && found[0].accessor == auth.accessor,
                || format!("{found:?}"),
            )?;
            let prefix = format!("auth/token/create/{name}");
            let leases = at(index + 1)?.list_leases(&prefix, 0, "").await;
            let leases = leases.map_err(text)?.leases;
            ensure(leases.len() == 1, || format!("{leases:?}"))?;
            at(index)?.delete_token_role(&name).await.map_err(text)?;
            let renewed = client.renew_self(None).await;
            refused(
                "without its role",
                Code::FailedPrecondition,
                "NO_SUCH_ROLE",
                renewed,
            )?;
            let lease = &leases[0].lease_id;
            let renewed = at(index + 2)?.renew_lease(lease, None).await;
            refused(
                "its lease",
                Code::FailedPrecondition,
                "LEASE_OF_TOKEN",
                renewed,
            )?;
            at(index + 2)?.revoke_lease(lease).await.map_err(text)?;
            everywhere(&cluster, &token, false).await?;
        }
        let tuning = TuneTokensRequest {
            default_lease_ttl: seconds(60),
            max_lease_ttl: seconds(120),
        };
        at(1)?.tune_tokens(tuning).await.map_err(text)?;
        for index in ALL {
            let holds = at(index)?.token_tuning().await.map_err(text)?;
            let max = holds.max_lease_ttl.map(|max| max.seconds);
            ensure(max == Some(120), || format!("{holds:?}"))?;
            let auth = at(index)?.create_token(wish("short")).await.map_err(text)?;
            let life = auth.lease_duration.map(|life| life.seconds);
            ensure(life == Some(120) && auth.warnings.len() == 1, || {
                format!("{auth:?}")
            })?;
            let (weak, _) = make(&at(index)?, wish("weak")).await?;
            let weak = cluster.node(index)?.client_of(&weak);
            let denied = "PERMISSION_DENIED";
            refused(
                "tidy",
                Code::PermissionDenied,
                denied,
                weak.tidy_tokens().await,
            )?;
            at(index)?.tidy_tokens().await.map_err(text)?;
            at(index)?.tidy_leases().await.map_err(text)?;
        }
        Ok(())
    });
}
