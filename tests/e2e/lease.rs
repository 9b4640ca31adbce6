//! Leases through the whole cluster: any node serves them, they end on time or at once, and a
//! change of leader neither loses nor revives one.

use std::time::Duration;

use tenure_client::proto::{CreateTokenRequest, GrantLeaseRequest, LeaseInfo};
use tenure_client::{Client, Error, Secret};
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerOptions, until};
use tokio::time::Instant;

use crate::{ensure, make, run, seconds, start, text, three, wish};

/// How long the leases live that outlive an active node: longer than the next one needs to begin on
/// the slowest machine, for they are looked at before their time, too.
const OUTLIVES: i64 = 25;
/// Expiry is acted on within so long of its time.
const LATE: Duration = Duration::from_secs(1);
/// And within so long of the moment at which there is an active node again.
const AFTER_FAILOVER: Duration = Duration::from_secs(5);

fn lease(path: &str, ttl: i64) -> GrantLeaseRequest {
    GrantLeaseRequest {
        path: path.to_owned(),
        payload: format!("the payload of {path}").into_bytes(),
        ttl: seconds(ttl),
        ..GrantLeaseRequest::default()
    }
}

async fn granted(client: &Client, path: &str, ttl: i64) -> Outcome<String> {
    let granted = client.grant_lease(lease(path, ttl)).await;
    granted.map(|granted| granted.lease_id).map_err(text)
}

/// The lease is over, for everyone: the one answer that says so.
fn over<T>(answer: Result<T, Error>) -> Outcome<()> {
    match answer {
        Ok(_) => Err("the lease is shown".into()),
        Err(error) if error.reason() == Some("LEASE_NOT_FOUND") => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn over_on_all(cluster: &ServerCluster, ids: &[String]) -> Outcome<()> {
    for index in 0..cluster.nodes.len() {
        let root = cluster.root_at(index)?;
        for id in ids {
            over(root.lookup_lease(id).await).map_err(|why| format!("node {index}: {why}"))?;
        }
    }
    Ok(())
}

/// Grant, look up, renew, list, count and revoke, each through another node.
#[test]
fn leases_through_every_node() {
    run("lease::leases_through_every_node", async |scenario| {
        let cluster = three(scenario).await?;
        for through in 0..3 {
            let next = (through + 1) % 3;
            life(&cluster, through, next)
                .await
                .map_err(|why| format!("through node {through}, then {next}: {why}"))?;
        }
        Ok(())
    });
}

async fn life(cluster: &ServerCluster, through: usize, next: usize) -> Outcome<()> {
    let root = cluster.root_at(through)?;
    let (owner, accessor) = make(&root, wish("owner")).await?;
    let (other, _) = make(&root, wish("other")).await?;
    let path = format!("life/{through}");
    let own = cluster.node(through)?.client_of(&owner);
    let elsewhere = cluster.node(next)?.client_of(&owner);
    let stranger = cluster.node(next)?.client_of(&other);

    let id = granted(&own, &path, 3600).await?;
    for index in 0..3 {
        let client = cluster.node(index)?.client_of(&owner);
        let info = client.lookup_lease(&id).await.map_err(text)?;
        ensure(
            info.payload == Some(lease(&path, 0).payload) && info.owner_accessor == accessor,
            || format!("{info:?}"),
        )?;
        let shown = cluster.root_at(index)?.lookup_lease(&id).await;
        ensure(shown.map_err(text)?.payload.is_none(), || {
            "root is shown the payload".into()
        })?;
    }
    over(stranger.lookup_lease(&id).await)?;
    over(stranger.renew_lease(&id, None).await)?;
    over(stranger.revoke_lease(&id).await)?;

    let by = Some(Duration::from_secs(7200));
    let renewed = elsewhere.renew_lease(&id, by).await.map_err(text)?;
    let left = renewed.lease_duration.map_or(0, |left| left.seconds);
    ensure(left == 7200, || format!("renewed to {left}"))?;
    let info = own.lookup_lease(&id).await.map_err(text)?;
    ensure(info.ttl.is_some_and(|ttl| ttl.seconds > 7100), || {
        format!("{info:?}")
    })?;
    let second = granted(&elsewhere, &format!("{path}/deeper"), 60).await?;
    for (client, expected) in [(&own, 2), (&elsewhere, 2), (&stranger, 0), (&root, 2)] {
        let count = client.count_leases(&path).await.map_err(text)?;
        ensure(count == expected, || format!("{count}, not {expected}"))?;
    }
    let listed = elsewhere.list_leases(&path, 1, "").await.map_err(text)?;
    let rest = own.list_leases(&path, 1, &listed.next_page_token).await;
    let mut ids: Vec<_> = listed
        .leases
        .into_iter()
        .chain(rest.map_err(text)?.leases)
        .collect();
    ids.sort_by_key(|row| row.lease_id.len());
    let ids: Vec<_> = ids.into_iter().map(|row| row.lease_id).collect();
    ensure(ids == [id.clone(), second.clone()], || format!("{ids:?}"))?;

    elsewhere.revoke_lease(&id).await.map_err(text)?;
    over_on_all(cluster, std::slice::from_ref(&id)).await?;
    // The owner's end is the lease's.
    root.revoke_token(&owner).await.map_err(text)?;
    over_on_all(cluster, &[second]).await
}

/// One commit ends all leases under a prefix, on every node; later ones live.
#[test]
fn a_prefix_is_revoked_at_once() {
    run("lease::a_prefix_is_revoked_at_once", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        let (mut ids, mut owners) = (Vec::new(), Vec::new());
        for owner in 0..5 {
            let (token, _) = make(&root, wish(&format!("owner-{owner}"))).await?;
            let client = cluster.node(owner % 3)?.client_of(&token);
            for number in 0..100 {
                ids.push(granted(&client, &format!("fleet/{owner}/{number}"), 3600).await?);
            }
            owners.push(client);
        }
        let beside = granted(&owners[0], "fleets", 3600).await?;
        let began = Instant::now();
        cluster
            .root_at(1)?
            .revoke_prefix("fleet")
            .await
            .map_err(text)?;
        let took = began.elapsed();
        over_on_all(&cluster, &ids).await?;
        let later = granted(&owners[1], "fleet/1/new", 3600).await?;
        scenario.say(format!("{} leases revoked in {took:?}", ids.len()));
        for index in 0..3 {
            let root = cluster.root_at(index)?;
            for id in [&beside, &later] {
                root.lookup_lease(id).await.map_err(text)?;
            }
            let count = root.count_leases("").await.map_err(text)?;
            ensure(count == 2, || format!("{count} leases are counted"))?;
        }
        Ok(())
    });
}

/// Leases end at their time, not before, on every node, a renewed one at its new time; what
/// is left of them is cleared away within a second.
#[test]
fn expiry_is_on_time() {
    run("lease::expiry_is_on_time", async |scenario| {
        let options = ServerOptions {
            log_level: "debug".to_owned(),
            ..ServerOptions::new(3)?
        };
        let mut cluster = start(scenario, options).await?;
        let active = cluster.wait_active().await?;
        let root = cluster.root_at(active)?;
        let mut ids = Vec::new();
        let began = Instant::now();
        for number in 0..40 {
            ids.push(granted(&root, &format!("short/{number}"), 3).await?);
        }
        let kept = granted(&root, "long", 3600).await?;
        let shortened = granted(&root, "shortened", 3600).await?;
        let by = Some(Duration::from_secs(2));
        root.renew_lease(&shortened, by).await.map_err(text)?;
        ids.push(shortened);
        let granted_by = began.elapsed();
        // All live until the first of them may end.
        while began.elapsed() < Duration::from_millis(1_500) {
            for index in 0..3 {
                let id = &ids[0];
                let found = cluster.root_at(index)?.lookup_lease(id).await;
                found.map_err(|error| format!("ended early: {error}"))?;
            }
        }
        let due = Duration::from_secs(3) + granted_by;
        let wait = (due + Duration::from_millis(100)).saturating_sub(began.elapsed());
        tokio::time::sleep(wait).await;
        // Refused at use, on every node, whatever is cleared away by now.
        over_on_all(&cluster, &ids).await?;
        let cleared = cleared(&mut cluster, active, ids.len() as u64).await?;
        scenario.say(format!(
            "{} cleared away, {} ms late at most",
            ids.len(),
            cleared
        ));
        ensure(u128::from(cleared) < LATE.as_millis(), || {
            format!("{cleared} ms late")
        })?;
        root.lookup_lease(&kept).await.map(drop).map_err(text)
    });
}

/// Waits until the log of a node says that so many leases were cleared away, and gives how
/// late the latest of them was, in ms.
async fn cleared(cluster: &mut ServerCluster, node: usize, leases: u64) -> Outcome<u64> {
    let log = cluster.node_mut(node)?.process()?.stderr().to_owned();
    until("leases are cleared away", SOON, async || {
        let text = std::fs::read_to_string(&log).map_err(text)?;
        let (mut found, mut late) = (0, 0);
        for line in text.lines().filter(|line| line.contains("clearing away")) {
            found += field(line, "leases").unwrap_or(0);
            late = late.max(field(line, "late_ms").unwrap_or(0));
        }
        ensure(found >= leases, || format!("{found} of {leases}"))?;
        Ok::<_, String>(late)
    })
    .await
}

/// A number of a log line, whatever the format of the log.
fn field(line: &str, name: &str) -> Option<u64> {
    let rest = line.split_once(name)?.1;
    let digits: String = rest
        .chars()
        .skip_while(|letter| !letter.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// The active node dies; what was granted before ends at its time under the next one, what
/// was renewed keeps its new time, and nothing else is lost.
#[test]
fn expiry_across_a_killed_leader() {
    run("lease::expiry_across_a_killed_leader", async |scenario| {
        let mut cluster = three(scenario).await?;
        let active = cluster.wait_active().await?;
        let root = cluster.client()?;
        let request = CreateTokenRequest {
            ttl: seconds(OUTLIVES),
            ..wish("short owner")
        };
        let (owner, _) = make(&root, request).await?;
        let began = Instant::now();
        let of_owner = granted(&client_of(&root, &owner)?, "owned", 3600).await?;
        let (mut short, mut renewed) = (Vec::new(), Vec::new());
        for number in 0..30 {
            short.push(granted(&root, &format!("short/{number}"), OUTLIVES).await?);
            let id = granted(&root, &format!("renewed/{number}"), OUTLIVES).await?;
            let by = Some(Duration::from_secs(3600));
            root.renew_lease(&id, by).await.map_err(text)?;
            renewed.push(id);
        }
        let granted_by = began.elapsed();
        cluster.node_mut(active)?.kill();
        let next = cluster.wait_active_but(&[active]).await?;
        scenario.say(format!("node {active} killed, node {next} is active"));
        let others: Vec<usize> = (0..3).filter(|index| *index != active).collect();
        let due = Duration::from_secs(OUTLIVES as u64);
        for &index in &others {
            let root = cluster.root_at(index)?;
            for id in short.iter().take(1).chain([&of_owner]) {
                let found = root.lookup_lease(id).await;
                found.map_err(|error| format!("ended early, or looked at late: {error}"))?;
            }
        }
        ensure(began.elapsed() < due, || {
            "too slow to see what lives before its time".into()
        })?;
        let wait = (due + granted_by + LATE).saturating_sub(began.elapsed());
        tokio::time::sleep(wait).await;
        for &index in &others {
            let root = cluster.root_at(index)?;
            for id in short.iter().chain([&of_owner]) {
                over(root.lookup_lease(id).await)?;
            }
            for id in &renewed {
                let info = root.lookup_lease(id).await.map_err(text)?;
                ensure(info.ttl.is_some_and(|ttl| ttl.seconds > 3000), || {
                    format!("{info:?}")
                })?;
            }
            let count = root.count_leases("").await.map_err(text)?;
            ensure(count == 30, || format!("{count} leases are counted"))?;
        }
        Ok(())
    });
}

/// Leases end while no node can be active: the next one clears them away soon, though their
/// time was over before it began.
#[test]
fn what_ended_while_nobody_was_active_is_cleared_away() {
    run(
        "lease::what_ended_while_nobody_was_active_is_cleared_away",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let active = cluster.wait_active().await?;
            let root = cluster.root_at(active)?;
            let kept = granted(&root, "kept", 3600).await?;
            let mut short = Vec::new();
            for number in 0..20 {
                short.push(granted(&root, &format!("short/{number}"), 2).await?);
            }
            let over_by = Instant::now() + Duration::from_millis(2_100);
            // One dead and one asleep: no quorum.
            let asleep = (active + 1) % 3;
            cluster.node_mut(asleep)?.process()?.pause();
            cluster.node_mut(active)?.kill();
            tokio::time::sleep_until(over_by).await;
            cluster.node_mut(asleep)?.process()?.resume();
            let next = cluster.wait_active_but(&[active]).await?;
            let began = Instant::now();
            let late_ms = cleared(&mut cluster, next, short.len() as u64).await?;
            let took = began.elapsed();
            scenario.say(format!(
                "{} cleared away, {took:?} after it began, {late_ms} ms late",
                short.len()
            ));
            ensure(took < AFTER_FAILOVER, || format!("after {took:?}"))?;
            let root = cluster.root_at(next)?;
            for id in &short {
                over(root.lookup_lease(id).await)?;
            }
            root.lookup_lease(&kept).await.map(drop).map_err(text)
        },
    );
}

/// The same while no process runs: nothing in memory tells the next one of them. What lives on has
/// the end that it had, not a new life.
///
/// Planted bug: the expiration manager begins at the time at which it starts. Caught: nothing was
/// cleared away.
#[test]
fn what_ended_while_no_node_ran_is_cleared_away() {
    run(
        "lease::what_ended_while_no_node_ran_is_cleared_away",
        async |scenario| {
            let mut cluster = start(scenario, ServerOptions::new(1)?).await?;
            let root = cluster.root_at(0)?;
            let kept = granted(&root, "kept", 3600).await?;
            let renewed = granted(&root, "renewed", 3600).await?;
            let by = Some(Duration::from_secs(7200));
            root.renew_lease(&renewed, by).await.map_err(text)?;
            let mut before = Vec::new();
            for id in [&kept, &renewed] {
                before.push(root.lookup_lease(id).await.map_err(text)?);
            }
            let mut short = Vec::new();
            for number in 0..20 {
                short.push(granted(&root, &format!("short/{number}"), 2).await?);
            }
            let over_by = Instant::now() + Duration::from_millis(2_100);
            // Told to end, it leaves nothing of its log to be applied again.
            cluster.node_mut(0)?.process()?.terminate();
            until("it ends", SOON, async || {
                let ended = cluster.node_mut(0)?.process()?.exited();
                ended.ok_or_else(|| "it runs".to_owned())
            })
            .await?;
            tokio::time::sleep_until(over_by).await;
            cluster.restart(0).await?;
            cluster.unseal(0).await?;
            let began = Instant::now();
            cleared(&mut cluster, 0, short.len() as u64).await?;
            let took = began.elapsed();
            ensure(took < AFTER_FAILOVER, || format!("after {took:?}"))?;
            for before in before {
                let after = root.lookup_lease(&before.lease_id).await.map_err(text)?;
                let left = |info: &LeaseInfo| info.ttl.map(|ttl| ttl.seconds);
                let same = after.expire_time == before.expire_time
                    && after.issue_time == before.issue_time
                    && after.owner_accessor == before.owner_accessor
                    && left(&after) < left(&before);
                ensure(same, || format!("{before:?}, now {after:?}"))?;
            }
            over_on_all(&cluster, &short).await
        },
    );
}

fn client_of(client: &Client, token: &Secret) -> Outcome<Client> {
    client.with_token(token.clone()).map_err(text)
}
