//! Links between nodes are cut, in both directions or in one: the side with a majority goes
//! on, the other serves nothing, and afterwards all agree. Every node runs in a network
//! namespace; clients reach all of them the whole time.

use std::io::Write;
use std::time::{Duration, Instant};

use tenure_client::{Client, Secret};
use tenure_tests::Scenario;
use tenure_tests::scale;
use tenure_tests::server_cluster::{
    Network, Outcome, SOON, ServerCluster, ServerOptions, Traffic, may_make_networks,
    refused_token, until,
};

use tokio::task::JoinSet;

use crate::{ALL, ensure, make, others, run, start, text, wish};

/// No write for longer than this when the active node is cut off: its lease and an election
/// take about a second, the rest is room for a busy machine.
const GAP: Duration = Duration::from_secs(8);
/// How long the calls on the side without a majority are given.
const LATE_CALLS: Duration = Duration::from_secs(1);

/// Calls whose deadline is not what ends them.
const LONG_CALLS: Duration = Duration::from_secs(12);
/// Set by CI as root: a test that can't be run there fails.
const SKIP_NOTHING: &str = "TENURE_TEST_SKIP_NOTHING";

/// Runs a test on a network. One that may not make networks skips it, and says so.
fn run_on_network(name: &str, body: impl AsyncFnOnce(&Scenario, &Network) -> Outcome<()>) {
    if !may_make_networks() {
        let reason = format!("{name}: SKIPPED: network namespaces need root");
        assert!(std::env::var_os(SKIP_NOTHING).is_none(), "{reason}");
        // Not by a macro that prints: the test harness would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{reason}");
        return;
    }
    run(name, async |scenario| {
        let network = Network::new(ALL.len())?;
        body(scenario, &network).await
    });
}

/// From one node to another.
type Link = (usize, usize);

/// All links of a node.
fn both_ways(lone: usize) -> [Link; 4] {
    let [one, other] = others(lone);
    [(lone, one), (one, lone), (lone, other), (other, lone)]
}

fn cut(network: &Network, links: &[Link]) -> Outcome<()> {
    let mut links = links.iter();
    links.try_for_each(|(from, to)| network.cut(*from, *to))
}

fn heal(network: &Network, links: &[Link]) -> Outcome<()> {
    let mut links = links.iter();
    links.try_for_each(|(from, to)| network.heal(*from, *to))
}

async fn three_on(scenario: &Scenario, network: &Network) -> Outcome<ServerCluster> {
    let options = ServerOptions {
        hosts: network.hosts().to_vec(),
        ..ServerOptions::new(ALL.len())?
    };
    start(scenario, options).await
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
                let gap = cut_off(&mut cluster, lone, network, &both_ways(lone)).await?;
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
                let gap = cut_off(&mut cluster, lone, network, &links).await?;
                scenario.say(format!("node {lone} hears: {hears}; gap {gap:?}"));
            }
            Ok(())
        },
    );
}

/// Two clients renew one token through a leader that was just cut off. The first one's entry waits
/// for a quorum; the second is sent back for it, and can't plan again on what is not applied. It
/// is told so when the leader knows that it leads nobody, not at its deadline.
///
/// Planted bug: after a conflict only the change, the sequencer's end and the deadline wake the
/// call. Caught: both took all of it.
#[test]
fn a_conflict_on_a_leader_cut_off_is_answered_soon() {
    run_on_network(
        "partition::a_conflict_on_a_leader_cut_off_is_answered_soon",
        async |scenario, network| {
            let mut cluster = three_on(scenario, network).await?;
            let (token, _) = make(&cluster.client()?, wish("busy")).await?;
            let lone = cluster.wait_active().await?;
            let inside = cluster.node(lone)?.client_of(&token);
            let inside = inside.with_retry_window(Duration::ZERO);
            inside.renew_self(None).await.map_err(text)?;
            cut(network, &both_ways(lone))?;
            let began = Instant::now();
            let mut calls = JoinSet::new();
            for _ in 0..2 {
                let inside = inside.with_deadline(LONG_CALLS);
                calls.spawn(async move { (inside.renew_self(None).await, began.elapsed()) });
            }
            let mut took = Vec::new();
            while let Some(call) = calls.join_next().await {
                let (renewed, after) = call.map_err(text)?;
                ensure(renewed.is_err(), || {
                    "a write was acknowledged without a quorum".into()
                })?;
                took.push(after);
            }
            scenario.say(format!("the calls took {took:?}"));
            heal(network, &both_ways(lone))?;
            ensure(took[1] > LONG_CALLS / 2, || {
                format!("no entry waited for a quorum: {took:?}")
            })?;
            ensure(took[0] < LONG_CALLS / 2, || {
                format!("the conflict was told at the deadline: {took:?}")
            })?;
            cluster.wait_complete().await
        },
    );
}

/// Cuts the active node off under load, looks at both sides, heals, and checks every note.
async fn cut_off(
    cluster: &mut ServerCluster,
    lone: usize,
    network: &Network,
    links: &[Link],
) -> Outcome<Duration> {
    let (gone, _) = make(&cluster.client()?, wish("gone")).await?;
    let (kept, _) = make(&cluster.client()?, wish("kept")).await?;
    let inside = cluster.root_at(lone)?.with_retry_window(Duration::ZERO);
    // What the majority's clients do, and what clients do that know all nodes.
    let majority = Traffic::start(cluster, &others(lone), 2)?;
    let everywhere = Traffic::start(cluster, &ALL, 2)?;
    majority.wait_acked(50).await?;

    let began = Instant::now();
    cut(network, links)?;
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
    heal(network, links)?;

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
