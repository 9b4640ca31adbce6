//! Many clients at once, over all nodes, about one token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tenure_client::proto::CreateTokenRequest;
use tenure_client::{Client, Secret};
use tenure_tests::scale;
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, refused_token, until};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::{ensure, make, run, text, three, wish};

const CLIENTS: usize = 16;
const RENEWERS: usize = 512;
/// Uses of the tokens that outlive an active node: enough for many before its death and after.
const FAILOVER_USES: u32 = 300;
/// A client asks again so long after an answer that it didn't get.
const AGAIN: Duration = Duration::from_millis(20);

/// A token of N uses, used by 16 clients through all nodes as often as they can: N succeed.
///
/// Planted bug: a resolver that finds no conflict. Caught: a token of one use was used twice.
#[test]
fn uses_are_counted_over_all_nodes() {
    run("races::uses_are_counted_over_all_nodes", async |scenario| {
        let cluster = three(scenario).await?;
        for uses in [1, 7, 40].repeat(scale()) {
            let request = CreateTokenRequest {
                num_uses: Some(uses),
                ..wish("limited")
            };
            let (token, _) = make(&cluster.client()?, request).await?;
            let used = race(&cluster, &token).await?;
            scenario.say(format!(
                "{uses} uses: {used} of {CLIENTS} clients' calls succeeded"
            ));
            ensure(used == uses, || {
                format!("a token of {uses} uses was used {used} times")
            })?;
            for node in &cluster.nodes {
                node.refuses(&token).await?;
            }
        }
        Ok(())
    });
}

/// Each client uses the token until it is refused; how often it was accepted in all.
async fn race(cluster: &ServerCluster, token: &Secret) -> Outcome<u32> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = cluster.node(number % cluster.nodes.len())?.client_of(token);
        let barrier = Arc::clone(&barrier);
        clients.spawn(async move {
            barrier.wait().await;
            let mut used = 0;
            loop {
                match client.lookup_self().await {
                    Ok(_) => used += 1,
                    Err(error) if refused_token(&error) => return Ok(used),
                    Err(error) => return Err(format!("client {number}: {error}")),
                }
            }
        });
    }
    let mut used = 0;
    while let Some(client) = clients.join_next().await {
        used += client.map_err(text)??;
    }
    Ok(used)
}

/// The same while the active node is killed in the middle: no more than N calls are served, and no
/// use is lost that no unanswered call can have had. Then the token is over on all nodes, that one
/// included.
#[test]
fn uses_are_counted_across_a_killed_leader() {
    run(
        "races::uses_are_counted_across_a_killed_leader",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            for round in 0..2 * scale() {
                let request = CreateTokenRequest {
                    num_uses: Some(FAILOVER_USES),
                    ..wish("limited")
                };
                let (token, _) = make(&cluster.client()?, request).await?;
                let killed = killed_race(&mut cluster, &token).await?;
                scenario.say(format!("round {round}: {killed:?}"));
                let Killed {
                    before,
                    served,
                    unanswered,
                    victim,
                } = killed;
                ensure(served <= FAILOVER_USES, || {
                    format!("a token of {FAILOVER_USES} uses was used {served} times")
                })?;
                ensure(served + unanswered >= FAILOVER_USES, || {
                    format!("{served} served and {unanswered} unanswered calls took all uses")
                })?;
                ensure(before < served, || {
                    "nothing was served after the kill".into()
                })?;
                cluster.restart(victim).await?;
                cluster.unseal(victim).await?;
                cluster.wait_complete().await?;
                for node in &cluster.nodes {
                    node.refuses(&token).await?;
                }
            }
            Ok(())
        },
    );
}

/// What became of a race through which the active node was killed.
#[derive(Debug)]
struct Killed {
    /// Calls that were served before the kill.
    before: u32,
    /// All that were served.
    served: u32,
    /// Calls of which nobody knows.
    unanswered: u32,
    /// The node.
    victim: usize,
}

/// Clients of all nodes use the token until it is refused; the active node is killed once a
/// quarter of the uses is gone.
async fn killed_race(cluster: &mut ServerCluster, token: &Secret) -> Outcome<Killed> {
    let victim = cluster.wait_active().await?;
    let (served, unanswered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        // Each begins with another node, and goes to the next when that one is gone.
        let order: Vec<usize> = (0..3).map(|step| (number + step) % 3).collect();
        let mut single = Vec::new();
        for index in order {
            let client = cluster.node(index)?.client_of(token);
            single.push(client.with_retry_window(Duration::ZERO));
        }
        let counters = (Arc::clone(&served), Arc::clone(&unanswered));
        clients.spawn(use_up(single, counters));
    }
    until("a quarter of the uses is gone", SOON, async || {
        let served = served.load(Ordering::SeqCst);
        ensure(served >= FAILOVER_USES / 4, || format!("{served} served"))
    })
    .await?;
    cluster.node_mut(victim)?.kill();
    let before = served.load(Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.map_err(text)??;
    }
    Ok(Killed {
        before,
        served: served.load(Ordering::SeqCst),
        unanswered: unanswered.load(Ordering::SeqCst),
        victim,
    })
}

/// Uses the token through one node after the other until it is refused, and counts what was served
/// and what got no answer.
async fn use_up(nodes: Vec<Client>, counters: (Arc<AtomicU32>, Arc<AtomicU32>)) -> Outcome<()> {
    let (served, unanswered) = counters;
    let end = Instant::now() + SOON;
    for client in nodes.iter().cycle() {
        loop {
            match client.lookup_self().await {
                Ok(_) if served.fetch_add(1, Ordering::SeqCst) < FAILOVER_USES => {}
                Ok(_) => return Ok(()),
                Err(error) if refused_token(&error) => return Ok(()),
                Err(error) if Instant::now() >= end => return Err(format!("no answer: {error}")),
                Err(_) => {
                    unanswered.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err("there is no node to ask".to_owned())
}

/// Clients renew one token through all nodes at once: each write conflicts with all others, none
/// of them is refused for it, and they don't keep the active node from leading.
///
/// Planted bug: they try again at once, however often. Caught: calls met their deadline.
#[test]
fn renewals_of_one_token_all_succeed() {
    run(
        "races::renewals_of_one_token_all_succeed",
        async |scenario| {
            let cluster = three(scenario).await?;
            let (token, _) = make(&cluster.client()?, wish("busy")).await?;
            let before = cluster.members().await?.term;
            let barrier = Arc::new(Barrier::new(RENEWERS));
            let mut clients = JoinSet::new();
            for number in 0..RENEWERS {
                let client = cluster
                    .node(number % cluster.nodes.len())?
                    .client_of(&token);
                let barrier = Arc::clone(&barrier);
                clients.spawn(async move {
                    barrier.wait().await;
                    client.renew_self(None).await.map_err(text)
                });
            }
            let began = Instant::now();
            while let Some(client) = clients.join_next().await {
                client.map_err(text)??;
            }
            scenario.say(format!("{RENEWERS} renewals took {:?}", began.elapsed()));
            let after = cluster.members().await?.term;
            ensure(before == after, || {
                format!("an election in term {before}: now {after}")
            })
        },
    );
}

/// Children are made through all nodes while their parent is revoked: whichever came first,
/// no child lives afterwards.
///
/// Planted bug: a resolver that finds no conflict. Caught in round 6: a child lived on.
#[test]
fn no_child_survives_its_parent() {
    run("races::no_child_survives_its_parent", async |scenario| {
        let cluster = three(scenario).await?;
        let mut born = 0;
        for round in 0..12 * scale() {
            let (parent, _) = make(&cluster.client()?, wish("parent")).await?;
            let children = revoke_while_bearing(&cluster, &parent, round).await?;
            born += children.len();
            for child in &children {
                for node in &cluster.nodes {
                    node.refuses(child)
                        .await
                        .map_err(|why| format!("round {round}: {why}"))?;
                }
            }
        }
        scenario.say(format!("{born} children were born in time, none survived"));
        ensure(born > 0, || {
            "no child was ever born: the race proves nothing".into()
        })
    });
}

async fn revoke_while_bearing(
    cluster: &ServerCluster,
    parent: &Secret,
    round: usize,
) -> Outcome<Vec<Secret>> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let mut mothers = JoinSet::new();
    for number in 0..CLIENTS - 1 {
        let client = cluster
            .node(number % cluster.nodes.len())?
            .client_of(parent);
        mothers.spawn(bear(client, Arc::clone(&barrier)));
    }
    let revoker = cluster.root_at(round % cluster.nodes.len())?;
    barrier.wait().await;
    // Let some be born first, more in later rounds.
    tokio::time::sleep(Duration::from_millis(3 * (round as u64 % 12))).await;
    revoker.revoke_token(parent).await.map_err(text)?;
    let mut children = Vec::new();
    while let Some(mother) = mothers.join_next().await {
        children.extend(mother.map_err(text)??);
    }
    Ok(children)
}

/// Makes children until the parent is refused.
async fn bear(parent: Client, barrier: Arc<Barrier>) -> Outcome<Vec<Secret>> {
    barrier.wait().await;
    let mut children = Vec::new();
    for _ in 0..500 {
        match parent.create_token(wish("child")).await {
            Ok(auth) => children.push(Secret::new(auth.client_token)),
            Err(error) if refused_token(&error) => return Ok(children),
            Err(error) => return Err(format!("create a child: {error}")),
        }
    }
    Err("the parent was never refused".to_owned())
}

/// Shares, seals and unseals repeated and raced on all nodes: at most one node is active at
/// any look, and the cluster serves in the end.
#[test]
fn unseal_and_seal_raced() {
    run("races::unseal_and_seal_raced", async |scenario| {
        let mut cluster = three(scenario).await?;
        let keys = cluster.keys()?.clone();
        let (token, _) = make(&cluster.client()?, wish("kept")).await?;
        for round in 0..2 * scale() {
            let mut hands = JoinSet::new();
            for number in 0..9 {
                let root = cluster.root_at(number % 3)?;
                let shares = keys.shares.clone();
                hands.spawn(async move {
                    if number < 3 {
                        // Sealing the active node hands over first; what it says doesn't matter.
                        let _ = root.seal().await;
                    }
                    for share in shares.iter().cycle().skip(number).take(10) {
                        let _ = root.unseal(share).await;
                    }
                });
            }
            while !hands.is_empty() {
                let actives = cluster.actives().await;
                // Two looks aren't at the same moment: only two that both serve count.
                if actives.len() > 1 {
                    one_term(&cluster, &actives).await?;
                }
                while hands.try_join_next().is_some() {}
            }
            for index in 0..3 {
                let node = cluster.node(index)?;
                let _ = node.client().reset_unseal().await;
                node.unseal(keys.quorum()).await?;
            }
            cluster.wait_active().await?;
            until("the token is known", SOON, async || {
                cluster
                    .client()?
                    .lookup_token(&token)
                    .await
                    .map(drop)
                    .map_err(text)
            })
            .await?;
            scenario.say(format!("round {round} is over"));
        }
        Ok(())
    });
}

/// Two nodes said that they were active: a hand-over between the looks explains it once,
/// not again and again.
async fn one_term(cluster: &ServerCluster, actives: &[usize]) -> Outcome<()> {
    for _ in 0..20 {
        let mut still = 0;
        for index in actives {
            let status = cluster.node(*index)?.status().await;
            still += usize::from(status.is_ok_and(|status| status.ha.is_some_and(|ha| ha.active)));
        }
        if still < 2 {
            return Ok(());
        }
    }
    Err(format!("nodes {actives:?} are active at the same time"))
}
