//! One machine's date is a day off, a standby's or the active node's: nothing ends early, no
//! life is shown or granted that isn't true, and the node says how far off it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tenure_client::Secret;
use tenure_client::proto::GrantLeaseRequest;
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerOptions, until};

use crate::{ensure, make, run, seconds, start, text, wish};

const DAY_MS: i64 = 86_400_000;
/// Life of what must not end early: more than a test takes, far less than a day.
const LIFE: i64 = 600;
/// What a run may have used up of it.
const USED: i64 = 120;

/// Planted bugs, each caught here: cluster time follows the latest of the voters' clocks (the
/// token of ten minutes was over); it follows the node's own clock.
#[test]
fn one_clock_a_day_off() {
    run("clock::one_clock_a_day_off", async |scenario| {
        let options = ServerOptions {
            clocks: true,
            ..ServerOptions::new(3)?
        };
        let mut cluster = start(scenario, options).await?;
        let (token, _) = make(&cluster.client()?, life("early")).await?;
        let lease = grant(&cluster, 0, LIFE).await?;
        for days in [1, -1] {
            for of_active in [false, true] {
                let active = cluster.wait_active().await?;
                let wrong = if of_active { active } else { (active + 1) % 3 };
                let what = format!("node {wrong} {days} day off, active {active}");
                cluster.node(wrong)?.shift_clock(days * DAY_MS)?;
                knows_its_skew(&cluster, wrong, days).await?;
                if of_active {
                    // It must not go on leading by its word.
                    until("another node is active", SOON, async || {
                        let now = cluster.wait_active().await?;
                        ensure(now != wrong, || "it is active still".into())
                    })
                    .await?;
                }
                nothing_moved(&cluster, &token, &lease)
                    .await
                    .map_err(|why| format!("{what}: {why}"))?;
                what_is_due_ends(&cluster, wrong)
                    .await
                    .map_err(|why| format!("{what}: {why}"))?;
                cluster.node(wrong)?.shift_clock(0)?;
                knows_its_skew(&cluster, wrong, 0).await?;
                scenario.say(what);
            }
        }
        nothing_moved(&cluster, &token, &lease).await
    });
}

fn life(name: &str) -> tenure_client::proto::CreateTokenRequest {
    tenure_client::proto::CreateTokenRequest {
        ttl: seconds(LIFE),
        ..wish(name)
    }
}

async fn grant(cluster: &ServerCluster, through: usize, ttl: i64) -> Outcome<String> {
    let request = GrantLeaseRequest {
        path: "clock".to_owned(),
        payload: b"payload".to_vec(),
        ttl: seconds(ttl),
        ..GrantLeaseRequest::default()
    };
    let granted = cluster.root_at(through)?.grant_lease(request).await;
    Ok(granted.map_err(text)?.lease_id)
}

/// The node's own status tells that its clock is so far off.
async fn knows_its_skew(cluster: &ServerCluster, index: usize, days: i64) -> Outcome<()> {
    let node = cluster.node(index)?;
    let root = cluster.root_at(index)?;
    let what = format!("{} is {days} days off by its own word", node.name);
    until(&what, SOON, async || {
        let members = root.cluster_status().await.map_err(text)?.members;
        let own = members.iter().find(|member| member.name == node.name);
        let skew = own.and_then(|member| member.state.as_ref()?.clock_skew);
        let skew = skew.map(|skew| skew.seconds);
        let fits = skew.is_some_and(|skew| (skew - days * DAY_MS / 1000).abs() <= 5);
        ensure(fits, || format!("{skew:?} s"))
    })
    .await
}

fn true_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs().cast_signed())
}

/// On every node: what was made before lives on with the life that is left, and what is made
/// now gets its life from true time.
async fn nothing_moved(cluster: &ServerCluster, token: &Secret, lease: &str) -> Outcome<()> {
    for index in 0..cluster.nodes.len() {
        let root = cluster.root_at(index)?;
        let at = |error: tenure_client::Error| format!("node {index}: {error}");
        let info = root.lookup_token(token).await.map_err(at)?;
        let lease = root.lookup_lease(lease).await.map_err(at)?;
        for ttl in [info.ttl, lease.ttl] {
            let left = ttl.map(|ttl| ttl.seconds);
            let sane = left.is_some_and(|left| (LIFE - USED..=LIFE).contains(&left));
            ensure(sane, || format!("node {index}: {left:?} s are left"))?;
        }
        let (new, _) = make(&root, life("new")).await?;
        let info = cluster.node(index)?.client_of(&new).lookup_self().await;
        let ends = info.map_err(at)?.expire_time.map(|end| end.seconds);
        let expected = true_seconds() + LIFE;
        let sane = ends.is_some_and(|ends| (ends - expected).abs() <= 10);
        ensure(sane, || {
            format!("node {index}: a new token ends at {ends:?}, not {expected}")
        })?;
        let status = root.cluster_status().await.map_err(at)?;
        let time = status.cluster_time.map(|time| time.seconds);
        let sane = time.is_some_and(|time| (time - true_seconds()).abs() <= 5);
        ensure(sane, || format!("node {index}: cluster time {time:?}"))?;
    }
    Ok(())
}

/// A short lease ends on every node, though one node's clock has not got there.
async fn what_is_due_ends(cluster: &ServerCluster, through: usize) -> Outcome<()> {
    let short = grant(cluster, through, 1).await?;
    for index in 0..cluster.nodes.len() {
        let root = cluster.root_at(index)?;
        let bound = Duration::from_secs(5);
        until("a lease of a second ends", bound, async || {
            match root.lookup_lease(&short).await {
                Err(error) if error.reason() == Some("LEASE_NOT_FOUND") => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(lease) => Err(format!("node {index} shows it: {:?} left", lease.ttl)),
            }
        })
        .await?;
    }
    Ok(())
}
