//! The active node is killed, paused, told to end, told to step down; the others die in turn.
//! Nothing that a client was promised is lost, and nothing that was revoked comes back.

use std::time::{Duration, Instant};

use tenure_client::{Applied, Client, Health, Secret};
use tenure_tests::scale;
use tenure_tests::server_cluster::{
    Outcome, SOON, ServerCluster, Traffic, in_parallel, refused_token, until,
};
use tokio::task::JoinSet;

use crate::{ALL, ensure, make, others, run, text, three, wish};

/// More than the longest election timeout (0.5 s), by far.
const PAUSED: Duration = Duration::from_secs(2);

/// kill -9 of the active node, and then of each other node, under load.
///
/// Planted bug: reads of the local state without ReadIndex. Caught: standbys showed tokens
/// whose revocation was acknowledged.
#[test]
fn any_node_killed_under_load() {
    run("failover::any_node_killed_under_load", async |scenario| {
        let mut cluster = three(scenario).await?;
        let traffic = Traffic::start(&cluster, &ALL, 8)?;
        traffic.wait_acked(100).await?;
        for round in 0..2 + scale() {
            // First the active node, then each of the others.
            let active = cluster.wait_active().await?;
            let victim = if round == 0 {
                active
            } else {
                (active + round) % 3
            };
            let killed = Instant::now();
            cluster.node_mut(victim)?.kill();
            traffic.wait_acked(100).await?;
            cluster.wait_active().await?;
            let gap = traffic.longest_gap(killed);
            scenario.say(format!(
                "node {victim} killed (active: {active}): longest gap {} ms, {} acknowledged",
                gap.as_millis(),
                traffic.acked()
            ));
            ensure(gap < Duration::from_secs(10), || {
                format!("a gap of {gap:?}")
            })?;
            cluster.restart(victim).await?;
            cluster.unseal(victim).await?;
            cluster.wait_complete().await?;
            traffic.wait_acked(50).await?;
        }
        let notes = traffic.finish().await?;
        scenario.say(format!(
            "{} live, {} revoked",
            notes.live.len(),
            notes.revoked.len()
        ));
        notes.verify(&cluster, &ALL).await
    });
}

/// All processes die at once: after restart and unsealing everything is there.
#[test]
fn all_nodes_killed_at_once() {
    run("failover::all_nodes_killed_at_once", async |scenario| {
        let mut cluster = three(scenario).await?;
        let traffic = Traffic::start(&cluster, &ALL, 8)?;
        traffic.wait_acked(200).await?;
        for index in ALL {
            cluster.node_mut(index)?.process()?.send_kill();
        }
        let notes = traffic.finish().await?;
        for index in ALL {
            cluster.node_mut(index)?.kill();
        }
        for index in ALL {
            cluster.restart(index).await?;
        }
        cluster.unseal_all().await?;
        cluster.wait_active().await?;
        cluster.wait_complete().await?;
        scenario.say(format!(
            "{} live, {} revoked",
            notes.live.len(),
            notes.revoked.len()
        ));
        notes.verify(&cluster, &ALL).await
    });
}

/// The active node sleeps through an election, and wakes with requests in its queue: it
/// must not answer them as if it were still active.
///
/// Planted bug: reads of the local state without the leader's lease. Caught: the resumed
/// leader showed a token that had been revoked while it slept.
#[test]
fn a_paused_leader_serves_nothing_old() {
    run(
        "failover::a_paused_leader_serves_nothing_old",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            for round in 0..2 * scale() {
                paused_round(&mut cluster)
                    .await
                    .map_err(|why| format!("round {round}: {why}"))?;
                scenario.say(format!("round {round} is over"));
            }
            Ok(())
        },
    );
}

async fn paused_round(cluster: &mut ServerCluster) -> Outcome<()> {
    let sleeper = cluster.wait_active().await?;
    let (gone, _) = make(&cluster.client()?, wish("gone")).await?;
    let (kept, _) = make(&cluster.client()?, wish("kept")).await?;
    // Connections that are open before the pause: what is sent on them waits in the node.
    let root = cluster.root_at(sleeper)?.with_deadline(SOON);
    let own = cluster.node(sleeper)?.client_of(&gone).with_deadline(SOON);
    root.lookup_token(&gone).await.map_err(text)?;
    own.lookup_self().await.map_err(text)?;

    cluster.node_mut(sleeper)?.process()?.pause();
    // Late writes and late reads, queued while it sleeps.
    let mut writes = JoinSet::new();
    let mut reads = JoinSet::new();
    let asleep = Instant::now();
    let active = cluster.wait_active_but(&[sleeper]).await?;
    let away = cluster.client_of(&others(sleeper))?;
    away.revoke_token(&gone).await.map_err(text)?;
    for number in 0..20 {
        let (root, own, gone) = (root.clone(), own.clone(), gone.clone());
        reads.spawn(late_read(
            if number % 2 == 0 { root.clone() } else { own },
            gone,
            number,
        ));
        let id = format!("late-write-{}-{number}", asleep.elapsed().as_nanos());
        writes.spawn(late_write(root, id));
    }
    tokio::time::sleep(PAUSED.saturating_sub(asleep.elapsed())).await;
    cluster.node_mut(sleeper)?.process()?.resume();

    while let Some(read) = reads.join_next().await {
        read.map_err(text)??;
    }
    // And for a while after: as soon as it answers, it refuses.
    let until_then = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until_then {
        let asked = root
            .with_retry_window(Duration::ZERO)
            .lookup_token(&gone)
            .await;
        ensure(asked.is_err(), || {
            "the resumed leader shows a revoked token".into()
        })?;
    }
    cluster.node(sleeper)?.refuses(&gone).await?;
    let mut told = Vec::new();
    while let Some(write) = writes.join_next().await {
        told.push(write.map_err(text)?);
    }
    cluster.wait_active().await?;
    cluster.wait_complete().await?;
    in_parallel(told, 8, |(id, outcome)| {
        let clients: Vec<Client> = ALL
            .iter()
            .filter_map(|at| cluster.root_at(*at).ok())
            .collect();
        check_late_write(clients, id, outcome)
    })
    .await?;
    for node in &cluster.nodes {
        node.accepts(&kept).await?;
        node.refuses(&gone).await?;
    }
    ensure(active != sleeper, || "the paused node stayed active".into())
}

async fn late_read(client: Client, gone: Secret, number: usize) -> Outcome<()> {
    let shown = match number % 2 {
        0 => client.lookup_token(&gone).await.is_ok(),
        _ => client.lookup_self().await.is_ok(),
    };
    ensure(!shown, || {
        format!("late read {number}: the resumed leader shows a revoked token")
    })
}

/// A write with an id of its own, so that its effect can be looked for.
async fn late_write(root: Client, id: String) -> (String, Result<(), Applied>) {
    let request = tenure_client::proto::CreateTokenRequest {
        id: Some(id.clone()),
        ..wish("late")
    };
    let outcome = root.create_token(request).await;
    (id, outcome.map(drop).map_err(|error| error.applied()))
}

/// What was acknowledged is there; what was refused without effect isn't.
async fn check_late_write(
    clients: Vec<Client>,
    id: String,
    outcome: Result<(), Applied>,
) -> Outcome<()> {
    for client in clients {
        let found = match client.lookup_token(&Secret::new(id.clone())).await {
            Ok(_) => true,
            Err(error) if refused_token(&error) => false,
            Err(error) => return Err(format!("lookup of a late write: {error}")),
        };
        match outcome {
            Ok(()) => ensure(found, || "an acknowledged late write is lost".into())?,
            Err(Applied::No) => ensure(!found, || "a refused late write took effect".into())?,
            Err(Applied::Maybe) => {}
        }
    }
    Ok(())
}

/// One other node is unsealed: it takes over. None is: unsealing one restores service.
#[test]
fn sealed_nodes_follow_and_unsealed_ones_lead() {
    run(
        "failover::sealed_nodes_follow_and_unsealed_ones_lead",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let active = cluster.wait_active().await?;
            let rest = others(active);
            let (open, closed) = (rest[0], rest[1]);
            let (early, _) = make(&cluster.client()?, wish("early")).await?;
            cluster.root_at(closed)?.seal().await.map_err(text)?;
            cluster
                .node(closed)?
                .wait_health("tenure.ready", Health::NotServing)
                .await?;
            // Replicated to the sealed node too: it is half of the quorum later.
            let (late, _) = make(&cluster.client_of(&[active, open])?, wish("late")).await?;
            cluster.node_mut(active)?.kill();
            let next = cluster.wait_active().await?;
            ensure(next == open, || {
                format!("node {next} took over, not the unsealed {open}")
            })?;
            for token in [&early, &late] {
                cluster.node(open)?.accepts(token).await?;
            }
            let (last, _) = make(&cluster.root_at(open)?, wish("last")).await?;
            scenario.say("the unsealed node took over");

            // Now without any unsealed node: the killed one comes back sealed, the active dies.
            cluster.restart(active).await?;
            cluster.node_mut(open)?.kill();
            let sealed = [active, closed];
            for index in sealed {
                let refused = cluster.root_at(index)?.with_retry_window(Duration::ZERO);
                let refused = refused.lookup_token(&last).await;
                let reason = refused
                    .err()
                    .and_then(|error| error.reason().map(str::to_owned));
                ensure(reason.as_deref() == Some("SEALED"), || {
                    format!("sealed node: {reason:?}")
                })?;
            }
            // The one that holds everything: written while the other was down.
            cluster.unseal(closed).await?;
            let next = cluster.wait_active().await?;
            ensure(next == closed, || {
                format!("node {next} is active, not {closed}")
            })?;
            for token in [&early, &late, &last] {
                cluster.node(closed)?.accepts(token).await?;
            }
            cluster.wait_writable(SOON).await?;
            scenario.say("unsealing one node restored service");
            cluster.unseal(active).await?;
            cluster.restart(open).await?;
            cluster.unseal(open).await?;
            cluster.wait_complete().await?;
            for index in ALL {
                for token in [&early, &late, &last] {
                    cluster.node(index)?.accepts(token).await?;
                }
            }
            Ok(())
        },
    );
}

/// SIGTERM of the active node under load: it hands over first, its calls end, it exits 0.
#[test]
fn sigterm_hands_over() {
    run("failover::sigterm_hands_over", async |scenario| {
        let mut cluster = three(scenario).await?;
        let active = cluster.wait_active().await?;
        let traffic = Traffic::start(&cluster, &others(active), 4)?;
        traffic.wait_acked(100).await?;
        let told = Instant::now();
        cluster.node_mut(active)?.process()?.terminate();
        let next = cluster.wait_active_but(&[active]).await?;
        traffic.wait_acked(100).await?;
        let gap = traffic.longest_gap(told);
        let node = cluster.node_mut(active)?;
        let end = until("the process ends", SOON, async || {
            node.process()?.exited().ok_or_else(|| "it runs".to_owned())
        })
        .await?;
        scenario.say(format!("to node {next}; gap {} ms; {end}", gap.as_millis()));
        ensure(end.success(), || format!("it ended with {end}"))?;
        // No election timeout has to pass: a hand-over is quicker than a death.
        ensure(gap < Duration::from_millis(1500), || {
            format!("a gap of {gap:?}")
        })?;
        let notes = traffic.finish().await?;
        notes.verify(&cluster, &others(active)).await?;
        // A standby that ends disturbs nobody.
        cluster.restart(active).await?;
        cluster.unseal(active).await?;
        cluster.wait_complete().await?;
        let node = cluster.node_mut(active)?;
        node.process()?.terminate();
        let end = until("the standby ends", SOON, async || {
            node.process()?.exited().ok_or_else(|| "it runs".to_owned())
        })
        .await?;
        ensure(end.success(), || format!("the standby ended with {end}"))?;
        ensure(cluster.wait_active().await? == next, || {
            "the active node changed".into()
        })
    });
}

/// Step-down under load, through a standby: another node becomes active, nothing is lost.
#[test]
fn step_down_under_load() {
    run("failover::step_down_under_load", async |scenario| {
        let mut cluster = three(scenario).await?;
        let traffic = Traffic::start(&cluster, &ALL, 6)?;
        for round in 0..3 * scale() {
            traffic.wait_acked(60).await?;
            let active = cluster.wait_active().await?;
            let began = Instant::now();
            let through = cluster.root_at((active + 1 + round % 2) % 3)?;
            until("it steps down", SOON, async || through.step_down().await).await?;
            until("another node is active", SOON, async || {
                match cluster.wait_active().await? {
                    next if next != active => Ok(next),
                    _ => Err("the same one".to_owned()),
                }
            })
            .await?;
            traffic.wait_acked(60).await?;
            let gap = traffic.longest_gap(began);
            scenario.say(format!("round {round}: longest gap {} ms", gap.as_millis()));
            ensure(gap < Duration::from_secs(5), || format!("a gap of {gap:?}"))?;
        }
        let notes = traffic.finish().await?;
        scenario.say(format!(
            "{} live, {} revoked",
            notes.live.len(),
            notes.revoked.len()
        ));
        notes.verify(&cluster, &ALL).await
    });
}
