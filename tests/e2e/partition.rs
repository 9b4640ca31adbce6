//! Links between nodes are cut, in both directions or in one: the side with a majority goes
//! on, the other serves nothing, and afterwards all agree. Every node runs in a network
//! namespace; clients reach all of them the whole time.

use std::time::{Duration, Instant};

use tenure_client::{Client, Secret};
use tenure_tests::Scenario;
use tenure_tests::scale;
use tenure_tests::server_cluster::{
    Network, Outcome, SOON, ServerCluster, ServerOptions, Traffic, may_make_networks,
    refused_token, until,
};

use tokio::task::JoinSet;

use crate::{ensure, make, run, start, text, wish};

const ALL: [usize; 3] = [0, 1, 2];
/// No write for longer than this when the active node is cut off: its lease and an election
/// take about a second, the rest is room for a busy machine.
const GAP: Duration = Duration::from_secs(8);
/// How long the calls on the side without a majority are given.
const LATE_CALLS: Duration = Duration::from_secs(1);

/// Runs a test on a network. One that may not make networks skips it, and says so: CI runs as
/// root, and there nothing is skipped.
fn run_on_network(name: &str, body: impl AsyncFnOnce(&Scenario, &Network) -> Outcome<()>) {
    if !may_make_networks() {
        eprintln!("{name}: SKIPPED: network namespaces need root");
        return;
    }
    run(name, async |scenario| {
        let network = Network::new(ALL.len())?;
        body(scenario, &network).await
    });
}

async fn three_on(scenario: &Scenario, network: &Network) -> Outcome<ServerCluster> {
    let options = ServerOptions {
        hosts: network.hosts().to_vec(),
        ..ServerOptions::new(ALL.len())?
    };
    start(scenario, options).await
}

fn others(index: usize) -> [usize; 2] {
    [(index + 1) % 3, (index + 2) % 3]
}

/// The active node loses both others, while clients write through every node.
///
/// Planted bugs, each caught here: reads of the local state without the leader's lease (the one
/// cut off showed a revoked token).
#[test]
fn a_leader_cut_off_serves_nothing() {
    run_on_network(
        "partition::a_leader_cut_off_serves_nothing",
        async |scenario, network| {
            let mut cluster = three_on(scenario, network).await?;
            for round in 0..scale() {
                let lone = cluster.wait_active().await?;
                let both = others(lone);
                let gap = cut_off(
                    &mut cluster,
                    lone,
                    || {
                        for other in both {
                            network.cut(lone, other)?;
                            network.cut(other, lone)?;
                        }
                        Ok(())
                    },
                    || {
                        for other in both {
                            network.heal(lone, other)?;
                            network.heal(other, lone)?;
                        }
                        Ok(())
                    },
                )
                .await?;
                scenario.say(format!("round {round}: node {lone} cut off, gap {gap:?}"));
            }
            Ok(())
        },
    );
}

/// What the active node sends reaches nobody, what is sent to it arrives; and the other way
/// round. Half a link is no link.
#[test]
fn a_leader_that_only_hears_or_only_speaks_serves_nothing() {
    run_on_network(
        "partition::a_leader_that_only_hears_or_only_speaks_serves_nothing",
        async |scenario, network| {
            let mut cluster = three_on(scenario, network).await?;
            for hears in [true, false] {
                let lone = cluster.wait_active().await?;
                let links = others(lone).map(|other| match hears {
                    true => (lone, other),
                    false => (other, lone),
                });
                let gap = cut_off(
                    &mut cluster,
                    lone,
                    || {
                        links
                            .iter()
                            .try_for_each(|(from, to)| network.cut(*from, *to))
                    },
                    || {
                        links
                            .iter()
                            .try_for_each(|(from, to)| network.heal(*from, *to))
                    },
                )
                .await?;
                scenario.say(format!("node {lone} hears: {hears}; gap {gap:?}"));
            }
            Ok(())
        },
    );
}

/// Cuts the active node off under load, looks at both sides, heals, and checks every note.
async fn cut_off(
    cluster: &mut ServerCluster,
    lone: usize,
    cut: impl Fn() -> Outcome<()>,
    heal: impl Fn() -> Outcome<()>,
) -> Outcome<Duration> {
    let (gone, _) = make(&cluster.client()?, wish("gone")).await?;
    let (kept, _) = make(&cluster.client()?, wish("kept")).await?;
    let inside = cluster.root_at(lone)?.with_retry_window(Duration::ZERO);
    // What the majority's clients do, and what clients do that know all nodes.
    let majority = Traffic::start(cluster, &others(lone), 2)?;
    let everywhere = Traffic::start(cluster, &ALL, 2)?;
    majority.wait_acked(50).await?;

    let began = Instant::now();
    cut()?;
    let next = until("the majority has an active node", SOON, async || {
        let found = cluster.actives().await;
        let next = found.into_iter().find(|index| *index != lone);
        next.ok_or("none")
    })
    .await?;
    majority.wait_acked(50).await?;
    let gap = majority.longest_gap(began);
    let away = cluster.client_of(&others(lone))?;
    away.revoke_token(&gone).await.map_err(text)?;
    serves_nothing(&inside, &gone).await?;
    cluster
        .node(lone)?
        .wait_health("tenure.active", tenure_client::Health::NotServing)
        .await?;
    majority.wait_acked(50).await?;
    heal()?;

    cluster.wait_active().await?;
    // Again and again from the moment on when it answers: never the old state.
    until(
        "the one that was cut off serves",
        SOON,
        async || match inside.lookup_token(&gone).await {
            Ok(_) => Ok(Err("a revoked token is shown".to_owned())),
            Err(error) if refused_token(&error) => Ok(Ok(())),
            Err(error) => Err(error.to_string()),
        },
    )
    .await??;
    cluster.wait_complete().await?;
    for traffic in [majority, everywhere] {
        traffic.wait_acked(20).await?;
        traffic.finish().await?.verify(cluster, &ALL).await?;
    }
    for node in &cluster.nodes {
        node.accepts(&kept).await?;
        node.refuses(&gone).await?;
    }
    ensure(next != lone && gap < GAP, || format!("a gap of {gap:?}"))?;
    Ok(gap)
}

/// The one that is cut off acknowledges no write, and judges no token: a refusal would be a
/// statement about the state, too, and it has no proof for one.
async fn serves_nothing(inside: &Client, gone: &Secret) -> Outcome<()> {
    let inside = inside.with_deadline(LATE_CALLS);
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (writer, reader, gone) = (inside.clone(), inside.clone(), gone.clone());
        calls.spawn(async move {
            let written = writer.create_token(wish("inside")).await;
            ensure(written.is_err(), || {
                "a write was acknowledged without a quorum".into()
            })
        });
        calls.spawn(async move {
            let judged = match reader.lookup_token(&gone).await {
                Ok(_) => true,
                Err(error) => refused_token(&error),
            };
            ensure(!judged, || "a read was answered without a quorum".into())
        });
    }
    while let Some(call) = calls.join_next().await {
        call.map_err(text)??;
    }
    Ok(())
}
