//! The keys of a running cluster: rotated, made anew, and what a quorum makes with its shares.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tenure_client::proto::{RekeyTarget, StartRekeyRequest};
use tenure_client::{Client, Code, Error, Secret};
use tenure_tests::server_cluster::{Keys, Outcome, ServerCluster, ServerOptions, Traffic, until};

use crate::http_client::Http;
use crate::{ALL, ensure, make, others, run, start, text, three, wish};

/// What a cluster under load does within so long.
const LATE: Duration = Duration::from_secs(40);

fn refused<T>(what: &str, answer: Result<T, Error>, wanted: Code) -> Outcome<()> {
    let code = answer.err().map(|error| error.code());
    ensure(code == Some(wanted), || format!("{what}: {code:?}"))
}

fn plan(shares: u32, threshold: u32, require_verification: bool) -> StartRekeyRequest {
    StartRekeyRequest {
        shares,
        threshold,
        require_verification,
        ..StartRekeyRequest::default()
    }
}

/// Makes the shares anew, and gives them.
pub async fn rekey(client: &Client, keys: &Keys, shares: u32, threshold: u32) -> Outcome<Keys> {
    let root = RekeyTarget::Root;
    let begun = client.start_rekey(plan(shares, threshold, false)).await;
    let nonce = begun.map_err(text)?.nonce;
    for share in keys.quorum() {
        let answer = client.update_rekey(root, &nonce, share).await;
        let answer = answer.map_err(text)?;
        if answer.complete {
            ensure(!answer.in_doubt, || "in doubt".into())?;
            return Ok(Keys {
                shares: answer.shares,
                threshold: threshold as usize,
                root: keys.root.clone(),
            });
        }
    }
    Err("the quorum completed nothing".into())
}

async fn term(client: &Client) -> Outcome<u32> {
    Ok(client.key_status().await.map_err(text)?.term)
}

/// The barrier key is rotated while clients write; a standby is paused over two rotations and a
/// rekey, another one is killed over a rotation. Both serve all that was written since, the
/// killed one after the new shares opened it and the old ones didn't.
///
/// Planted bug: a standby that keeps its keys when apply tells of new ones (it answers STORAGE
/// for what it can't open). Caught.
#[test]
fn standbys_follow_rotations_and_rekeys() {
    run(
        "keys::standbys_follow_rotations_and_rekeys",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let traffic = Traffic::start(&cluster, &ALL, 4)?;
            traffic.wait_acked(50).await?;
            let active = cluster.wait_active().await?;
            let [paused, killed] = others(active);
            let client = cluster.client_of(&[active, killed])?;
            let (before, _) = make(&client, wish("before")).await?;
            client.rotate().await.map_err(text)?;
            traffic.wait_acked(50).await?;
            for index in ALL {
                cluster.node(index)?.accepts(&before).await?;
            }
            ensure(term(&client).await? == 2, || "not term 2".into())?;

            cluster.node_mut(paused)?.process()?.pause();
            client.rotate().await.map_err(text)?;
            client.rotate().await.map_err(text)?;
            let old = cluster.keys()?.clone();
            let new = rekey(&client, &old, 4, 2).await?;
            cluster.keys = Some(new.clone());
            let (since, _) = make(&client, wish("since")).await?;
            cluster.node_mut(paused)?.process()?.resume();
            cluster.node(paused)?.accepts(&since).await?;
            cluster.node(paused)?.accepts(&before).await?;
            scenario.say("the paused one followed");

            cluster.node_mut(killed)?.kill();
            let client = cluster.client_of(&[active, paused])?;
            client.rotate().await.map_err(text)?;
            let (last, _) = make(&client, wish("last")).await?;
            cluster.restart(killed).await?;
            old_shares_are_refused(&cluster, killed, &old).await?;
            cluster.node(killed)?.unseal(new.quorum()).await?;
            for index in ALL {
                for token in [&before, &since, &last] {
                    cluster.node(index)?.accepts(token).await?;
                }
                let status = cluster.node(index)?.status().await.map_err(text)?;
                ensure((status.shares, status.threshold) == (4, 2), || {
                    format!("{status:?}")
                })?;
            }
            ensure(term(&cluster.client()?).await? == 5, || "not term 5".into())?;
            let notes = traffic.finish().await?;
            notes.verify(&cluster, &ALL).await
        },
    );
}

/// Old shares, as many as were needed, open nothing.
async fn old_shares_are_refused(cluster: &ServerCluster, index: usize, old: &Keys) -> Outcome<()> {
    let client = cluster.node(index)?.client();
    let mut last = None;
    for share in old.quorum() {
        match client.unseal(share).await {
            Ok(status) => ensure(status.sealed, || "old shares opened a node".into())?,
            Err(error) => last = Some(error.code()),
        }
    }
    ensure(last == Some(Code::InvalidArgument), || format!("{last:?}"))?;
    client.reset_unseal().await.map_err(text)?;
    Ok(())
}

/// The shares are made anew, everything is killed at once: the new shares open all nodes, the old
/// ones none, and a new node joins by the new ones.
#[test]
fn new_shares_open_what_was_killed() {
    run("keys::new_shares_open_what_was_killed", async |scenario| {
        let mut cluster = three(scenario).await?;
        let client = cluster.client()?;
        let (token, _) = make(&client, wish("kept")).await?;
        let old = cluster.keys()?.clone();
        let new = rekey(&client, &old, 5, 3).await?;
        client.rotate().await.map_err(text)?;
        cluster.keys = Some(new.clone());
        for node in &mut cluster.nodes {
            node.kill();
        }
        for index in ALL {
            cluster.restart(index).await?;
        }
        for index in ALL {
            old_shares_are_refused(&cluster, index, &old).await?;
            let mixed = [&old.shares[..1], &new.shares[1..3]].concat();
            let mixed = Keys {
                shares: mixed,
                ..new.clone()
            };
            old_shares_are_refused(&cluster, index, &mixed).await?;
        }
        cluster.unseal_all().await?;
        cluster.wait_complete().await?;
        for node in &cluster.nodes {
            node.accepts(&token).await?;
        }
        scenario.say("the new shares opened all of them");
        let fourth = cluster.add_node().await?;
        cluster.unseal(fourth).await?;
        cluster.node(fourth)?.accepts(&token).await
    });
}

/// A node alone is killed right after the answer to a rekey, when the end of its log need not be
/// applied yet: the old shares don't open it, the new ones do. The call that made the shares may
/// be repeated by who gave its share, and by nobody who has only the nonce.
#[test]
fn a_lone_node_forgets_no_rekey() {
    run("keys::a_lone_node_forgets_no_rekey", async |scenario| {
        let mut cluster = start(scenario, ServerOptions::new(1)?).await?;
        for round in 0..3 {
            let client = cluster.client()?;
            let old = cluster.keys()?.clone();
            let target = RekeyTarget::Root;
            let begun = client.start_rekey(plan(5, 3, false)).await.map_err(text)?;
            let mut made = None;
            for share in old.quorum() {
                made = client.update_rekey(target, &begun.nonce, share).await.ok();
            }
            let made = made.filter(|answer| answer.complete).ok_or("not made")?;
            if round == 0 {
                let [first, .., last] = old.quorum() else {
                    return Err("no quorum".into());
                };
                let again = client.update_rekey(target, &begun.nonce, last).await;
                let again = again.map_err(text)?;
                ensure(again.shares == made.shares, || "other shares".into())?;
                let other = client.update_rekey(target, &begun.nonce, first).await;
                refused("another share", other, Code::FailedPrecondition)?;
            }
            cluster.keys = Some(Keys {
                shares: made.shares,
                ..old.clone()
            });
            cluster.node_mut(0)?.kill();
            cluster.restart(0).await?;
            old_shares_are_refused(&cluster, 0, &old).await?;
            cluster.unseal(0).await?;
            cluster.wait_active().await?;
        }
        Ok(())
    });
}

/// New shares that must be proven: until then the old ones hold, wrong ones prove nothing, and
/// the proof can begin again.
#[test]
fn new_shares_count_once_they_are_proven() {
    run(
        "keys::new_shares_count_once_they_are_proven",
        async |scenario| {
            let mut cluster = start(scenario, ServerOptions::new(1)?).await?;
            let client = cluster.client()?;
            let target = RekeyTarget::Root;
            let old = cluster.keys()?.clone();
            for (shares, threshold) in [(0, 0), (5, 1), (3, 4), (256, 3), (1, 0), (u32::MAX, 2)] {
                let begun = client.start_rekey(plan(shares, threshold, true)).await;
                refused("an impossible split", begun, Code::InvalidArgument)?;
            }
            let begun = client.start_rekey(plan(3, 2, true)).await.map_err(text)?;
            let again = client.start_rekey(plan(3, 2, true)).await;
            refused("a second one", again, Code::FailedPrecondition)?;
            let wrong = client.update_rekey(target, "00", &old.shares[0]).await;
            refused("another nonce", wrong, Code::InvalidArgument)?;
            let mut bad = old.shares[0].clone();
            bad[3] ^= 1;
            for share in [&bad, &old.shares[1]] {
                let given = client.update_rekey(target, &begun.nonce, share).await;
                ensure(!given.map_err(text)?.complete, || "complete".into())?;
            }
            let wrong = client
                .update_rekey(target, &begun.nonce, &old.shares[2])
                .await;
            refused("a wrong share", wrong, Code::InvalidArgument)?;
            let status = client.rekey_status(target).await.map_err(text)?;
            ensure(status.started && status.progress == 0, || {
                format!("{status:?}")
            })?;
            let mut new = None;
            for share in old.quorum() {
                let given = client.update_rekey(target, &begun.nonce, share).await;
                new = Some(given.map_err(text)?);
            }
            let new = new.filter(|answer| answer.complete).ok_or("not complete")?;
            ensure(new.shares.len() == 3, || "not three shares".into())?;

            let proof = client.rekey_verification(target).await.map_err(text)?;
            let prove =
                async |nonce: &str, share: &[u8]| client.verify_rekey(target, nonce, share).await;
            prove(&proof.nonce, &new.shares[0]).await.map_err(text)?;
            let reset = client
                .reset_rekey_verification(target, "")
                .await
                .map_err(text)?;
            ensure(reset.progress == 0 && reset.nonce != proof.nonce, || {
                format!("{reset:?}")
            })?;
            let stale = prove(&proof.nonce, &new.shares[1]).await;
            refused("the nonce of before", stale, Code::InvalidArgument)?;
            prove(&reset.nonce, &old.shares[0]).await.map_err(text)?;
            let wrong = prove(&reset.nonce, &new.shares[1]).await;
            refused("an old share as a proof", wrong, Code::InvalidArgument)?;

            // They aren't in force.
            cluster.node_mut(0)?.kill();
            cluster.restart(0).await?;
            cluster.unseal(0).await?;
            let client = cluster.client()?;
            let gone = client
                .verify_rekey(target, &reset.nonce, &new.shares[0])
                .await;
            refused("the attempt of before", gone, Code::FailedPrecondition)?;

            let begun = client.start_rekey(plan(3, 2, true)).await.map_err(text)?;
            let mut new = None;
            for share in old.quorum() {
                new = client.update_rekey(target, &begun.nonce, share).await.ok();
            }
            let new = new.ok_or("not complete")?;
            let proof = new.status.ok_or("no status")?.verification_nonce;
            for share in &new.shares[1..] {
                let given = client.verify_rekey(target, &proof, share).await;
                given.map_err(text)?;
            }
            cluster.node_mut(0)?.kill();
            cluster.restart(0).await?;
            old_shares_are_refused(&cluster, 0, &old).await?;
            let proven = Keys {
                shares: new.shares,
                threshold: 2,
                root: old.root,
            };
            cluster.node(0)?.unseal(proven.quorum()).await
        },
    );
}

/// The token that an answer hides.
fn decode(encoded: &str, otp: &str) -> Outcome<Secret> {
    let bytes = STANDARD_NO_PAD.decode(encoded).map_err(text)?;
    let token = bytes.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    Ok(Secret::new(String::from_utf8(token).map_err(text)?))
}

/// A quorum makes a root token through a standby. The active node is killed in the middle of an
/// attempt: it is gone, and begins anew with the next one.
#[test]
fn a_root_token_is_made_through_a_standby() {
    run(
        "keys::a_root_token_is_made_through_a_standby",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let standby = cluster.standby().await?;
            let keys = cluster.keys()?.clone();
            let client = cluster.root_at(standby)?;
            let short = client.start_generate_root("short").await;
            refused("a short password", short, Code::InvalidArgument)?;
            let begun = client.start_generate_root("").await.map_err(text)?;
            let status = begun.status.ok_or("no status")?;
            let again = client.start_generate_root("").await;
            refused("a second one", again, Code::FailedPrecondition)?;
            let shown = client.generate_root_status().await.map_err(text)?;
            ensure(shown.nonce == status.nonce && shown.required == 3, || {
                format!("{shown:?}")
            })?;
            client
                .update_generate_root(&status.nonce, &keys.shares[0])
                .await
                .map_err(text)?;

            let active = cluster.wait_active().await?;
            cluster.node_mut(active)?.kill();
            let next = cluster.wait_active_but(&[active]).await?;
            let client = cluster.client_of(&[others(active)[0], others(active)[1]])?;
            let gone = client
                .update_generate_root(&status.nonce, &keys.shares[1])
                .await;
            refused(
                "the attempt of the killed one",
                gone,
                Code::FailedPrecondition,
            )?;
            scenario.say("the attempt went with its node");

            let standby = others(active).into_iter().find(|index| *index != next);
            let client = cluster.root_at(standby.ok_or("no standby")?)?;
            let begun = until("an attempt begins", LATE, async || {
                client.start_generate_root("").await
            });
            let begun = begun.await?;
            let nonce = begun.status.ok_or("no status")?.nonce;
            let mut made = None;
            for share in keys.quorum() {
                made = Some(
                    client
                        .update_generate_root(&nonce, share)
                        .await
                        .map_err(text)?,
                );
            }
            let made = made
                .filter(|answer| answer.complete)
                .ok_or("not complete")?;
            let token = decode(&made.encoded_token, &begun.otp)?;
            for index in others(active) {
                cluster.node(index)?.accepts(&token).await?;
            }
            let root = cluster.node(next)?.client_of(&token);
            let own = root.lookup_self().await.map_err(text)?;
            ensure(
                own.path == "auth/token/root"
                    && own.expire_time.is_none()
                    && own.policies == ["root"],
                || format!("{own:?}"),
            )?;
            root.revoke_self().await.map_err(text)?;
            for index in others(active) {
                cluster.node(index)?.refuses(&token).await?;
            }
            Ok(())
        },
    );
}

/// New shares wait for their proof: strangers see neither nonce and can't begin the proof again; a
/// token that may needs none to give it all up.
async fn proofs_are_hidden_too(
    anyone: &Client,
    root: &Client,
    keys: &Keys,
    nonce: &str,
) -> Outcome<()> {
    let target = RekeyTarget::Root;
    for share in keys.quorum() {
        let given = anyone.update_rekey(target, nonce, share).await;
        given.map_err(text)?;
    }
    let status = anyone.rekey_status(target).await.map_err(text)?;
    let proof = anyone.rekey_verification(target).await.map_err(text)?;
    ensure(status.started && proof.started && proof.shares == 1, || {
        format!("{status:?} {proof:?}")
    })?;
    let shown = [status.nonce, status.verification_nonce, proof.nonce];
    ensure(shown.iter().all(String::is_empty), || format!("{shown:?}"))?;
    refused(
        "another's proof begun again",
        anyone.reset_rekey_verification(target, "").await,
        Code::InvalidArgument,
    )?;
    refused(
        "another's rekey given up",
        anyone.cancel_rekey(target, "").await,
        Code::InvalidArgument,
    )?;
    root.cancel_rekey(target, "").await.map_err(text)
}

/// A key is rotated when it is so old by cluster time, once each time; all nodes follow.
#[test]
fn a_barrier_key_is_rotated_when_it_is_old() {
    run(
        "keys::a_barrier_key_is_rotated_when_it_is_old",
        async |scenario| {
            let options = ServerOptions {
                clocks: true,
                ..ServerOptions::new(3)?
            };
            let mut cluster = start(scenario, options).await?;
            let client = cluster.client()?;
            let root = cluster.root();
            let mut http = Http::to(&cluster, 0, root.expose()).await?;
            let path = "sys/rotate/config";
            let shown = http.ask("GET", path, "").await?.must_be(200)?.json();
            let wanted = serde_json::json!(
                {"enabled": true, "interval": 0, "max_operations": 3_865_470_566_u64}
            );
            ensure(shown["data"] == wanted, || shown.to_string())?;
            for bad in [
                r#"{"interval":"23h"}"#,
                r#"{"interval":"-24h"}"#,
                r#"{"max_operations":999999}"#,
                r#"{"max_operations":3865470567}"#,
                r#"{"max_operations":-1}"#,
                r#"{"enabled":"perhaps"}"#,
            ] {
                http.ask("POST", path, bad).await?.must_be(400)?;
            }
            http.ask("POST", path, r#"{"interval":"24h"}"#)
                .await?
                .must_be(204)?;
            let shown = http.ask("GET", path, "").await?.must_be(200)?.json();
            ensure(shown["data"]["interval"] == "24h0m0s", || shown.to_string())?;
            for wanted in [2, 3] {
                let hours = 25 * (i64::from(wanted) - 1);
                for node in &cluster.nodes {
                    node.shift_clock(hours * 3_600_000)?;
                }
                until("the key is rotated", LATE, async || {
                    let term = term(&client).await?;
                    ensure(term == wanted, || format!("term {term}"))
                })
                .await?;
                for index in ALL {
                    cluster.node(index)?.accepts(&root).await?;
                }
                // Another active node goes on.
                client.step_down().await.map_err(text)?;
                cluster.wait_active().await?;
            }
            ensure(term(&client).await? == 3, || "not term 3".into())
        },
    );
}

/// Without a token nobody begins anything, unless the listener says so; then an attempt is
/// cancelled by its nonce, which strangers don't see, or with a token that may.
#[test]
fn open_calls_are_open_where_the_listener_says_so() {
    run(
        "keys::open_calls_are_open_where_the_listener_says_so",
        async |scenario| {
            let closed = start(scenario, ServerOptions::new(1)?).await?;
            let anyone = closed.node(0)?.client();
            refused(
                "rekey",
                anyone.start_rekey(plan(1, 1, false)).await,
                Code::Unauthenticated,
            )?;
            refused(
                "root",
                anyone.start_generate_root("").await,
                Code::Unauthenticated,
            )?;
            refused("rotate", anyone.rotate().await, Code::Unauthenticated)?;
            let (weak, _) = make(&closed.client()?, wish("weak")).await?;
            let weak = closed.node(0)?.client_of(&weak);
            refused(
                "rekey",
                weak.start_rekey(plan(1, 1, false)).await,
                Code::PermissionDenied,
            )?;
            refused(
                "root",
                weak.start_generate_root("").await,
                Code::PermissionDenied,
            )?;
            refused("rotate", weak.rotate().await, Code::PermissionDenied)?;
            let mut http = Http::to(&closed, 0, "").await?;
            for path in ["sys/rekey/init", "sys/generate-root/attempt", "sys/rotate"] {
                http.ask("PUT", path, "{}").await?.must_be(403)?;
            }
            drop(closed);

            let mut options = ServerOptions::new(1)?;
            options.listener = "  disable_unauthed_rekey_endpoints = false\n  \
             disable_unauthed_generate_root_endpoints = false\n"
                .to_owned();
            let dir = scenario.dir().join("open");
            std::fs::create_dir_all(&dir).map_err(text)?;
            let open = ServerCluster::start(&dir, &scenario.logs(), options).await?;
            let anyone = open.node(0)?.client();
            let keys = open.keys()?.clone();
            refused("rotate", anyone.rotate().await, Code::Unauthenticated)?;
            let begun = anyone.start_generate_root("").await.map_err(text)?;
            let nonce = begun.status.ok_or("no status")?.nonce;
            // Strangers are in the same place as who began it, and learn nothing that helps them.
            for nonce in ["00", ""] {
                let wrong = anyone.cancel_generate_root(nonce).await;
                refused("cancel with another nonce", wrong, Code::InvalidArgument)?;
            }
            let status = anyone.generate_root_status().await.map_err(text)?;
            ensure(status.started && status.nonce.is_empty(), || {
                format!("{status:?}")
            })?;
            let root = open.client()?;
            let status = root.generate_root_status().await.map_err(text)?;
            ensure(status.nonce == nonce, || format!("{status:?}"))?;
            let mut made = None;
            for share in keys.quorum() {
                made = Some(
                    anyone
                        .update_generate_root(&nonce, share)
                        .await
                        .map_err(text)?,
                );
            }
            let encoded = made.ok_or("nothing")?.encoded_token;
            open.node(0)?
                .accepts(&decode(&encoded, &begun.otp)?)
                .await?;

            // A token that may not is as good as none.
            let strange = open.node(0)?.client_of(&Secret::new("hvs.none"));
            let begun = strange.start_rekey(plan(1, 1, true)).await.map_err(text)?;
            proofs_are_hidden_too(&anyone, &root, &keys, &begun.nonce).await?;
            let begun = strange.start_rekey(plan(1, 1, false)).await.map_err(text)?;
            anyone
                .cancel_rekey(RekeyTarget::Root, &begun.nonce)
                .await
                .map_err(text)?;
            let status = anyone.rekey_status(RekeyTarget::Root).await.map_err(text)?;
            ensure(!status.started, || format!("{status:?}"))?;
            let recovery = StartRekeyRequest {
                target: RekeyTarget::Recovery.into(),
                ..plan(1, 1, false)
            };
            refused(
                "recovery",
                anyone.start_rekey(recovery).await,
                Code::FailedPrecondition,
            )?;
            let mut http = Http::to(&open, 0, "").await?;
            for (path, body, status) in [
                (
                    "sys/rekey/init",
                    r#"{"secret_shares":1,"secret_threshold":1,"pgp_keys":["x"]}"#,
                    400,
                ),
                (
                    "sys/rekey/init",
                    r#"{"secret_shares":1,"secret_threshold":1,"backup":true}"#,
                    400,
                ),
                (
                    "sys/rekey/init",
                    r#"{"secret_shares":2,"secret_threshold":3}"#,
                    400,
                ),
                (
                    "sys/rekey-recovery-key/init",
                    r#"{"secret_shares":1,"secret_threshold":1}"#,
                    400,
                ),
                ("sys/rekey/update", r#"{"nonce":"x","key":"zz"}"#, 400),
                ("sys/generate-root/attempt", r#"{"otp":"short"}"#, 400),
                ("sys/generate-root/attempt", r#"{"pgp_key":"x"}"#, 400),
                (
                    "sys/generate-root/update",
                    r#"{"nonce":"x","key":"00"}"#,
                    400,
                ),
            ] {
                http.ask("PUT", path, body).await?.must_be(status)?;
            }
            Ok(())
        },
    );
}
