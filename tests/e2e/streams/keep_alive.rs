//! KeepAlive: thousands of leases by one stream, over a failover; what is wrong with one lease
//! says so and ends nothing; uses are paid.

use std::time::Duration;

use tenure_client::Secret;
use tenure_client::proto::{CreateTokenRequest, GrantLeaseRequest, LeaseRenewal};
use tenure_tests::server_cluster::{Outcome, ServerCluster, in_parallel};
use tokio::time::Instant;

use super::granted;
use crate::{ensure, make, run, seconds, text, three, wish};

const LEASES: usize = 2_000;
/// What each renewal gives them. They are granted with twice that, and would all end during the test
/// if they weren't renewed.
const TTL: i64 = 15;

fn renewals(ids: &[String]) -> Vec<LeaseRenewal> {
    let renewal = |id: &String| LeaseRenewal {
        lease_id: id.clone(),
        increment: seconds(TTL),
    };
    ids.iter().map(renewal).collect()
}

async fn fill(cluster: &ServerCluster, token: &Secret) -> Outcome<Vec<String>> {
    let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let client = cluster.client()?.with_token(token.clone()).map_err(text)?;
    in_parallel((0..LEASES).collect(), 32, |number| {
        let (client, ids) = (client.clone(), std::sync::Arc::clone(&ids));
        async move {
            let id = granted(&client, &format!("fleet/{number}"), 2 * TTL).await?;
            ids.lock().map_err(text)?.push(id);
            Ok(())
        }
    })
    .await?;
    let ids = ids.lock().map_err(text)?.clone();
    Ok(ids)
}

/// One stream keeps 2,000 leases alive past their TTL while the active node is killed.
///
/// Planted bug: answers without the write. Caught: the first was gone soon. (Leases of a minute had let
/// it through.)
#[test]
fn thousands_over_a_failover() {
    run(
        "streams::keep_alive::thousands_over_a_failover",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let (token, _) = make(&cluster.client()?, wish("fleet")).await?;
            let ids = fill(&cluster, &token).await?;
            let active = cluster.wait_active().await?;
            let client = cluster.client()?.with_token(token.clone()).map_err(text)?;
            let mut keep_alive = client.with_deadline(Duration::from_secs(30)).keep_alive();
            let (began, mut rounds, mut longest) = (Instant::now(), 0, Duration::ZERO);
            while began.elapsed() < Duration::from_secs(2 * TTL.unsigned_abs()) {
                if rounds == 2 {
                    cluster.node_mut(active)?.kill();
                    scenario.say("the active node is killed");
                }
                let asked = Instant::now();
                let results = keep_alive.renew(renewals(&ids)).await.map_err(text)?;
                longest = longest.max(asked.elapsed());
                let bad = results.iter().find(|result| !result.reason.is_empty());
                ensure(bad.is_none() && results.len() == LEASES, || {
                    format!("{bad:?}")
                })?;
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            scenario.say(format!(
                "{rounds} rounds of {LEASES}, the longest took {longest:?}"
            ));
            let count = cluster
                .client()?
                .count_leases("fleet")
                .await
                .map_err(text)?;
            ensure(count == LEASES as u64, || format!("{count} live"))?;
            let (mut rows, mut page_token) = (Vec::new(), String::new());
            loop {
                let page = cluster
                    .client()?
                    .list_leases("fleet", 500, &page_token)
                    .await;
                let page = page.map_err(text)?;
                rows.extend(page.leases);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            let unrenewed = rows.iter().find(|row| {
                row.last_renewal_time.is_none() || row.ttl.is_none_or(|ttl| ttl.seconds > TTL)
            });
            ensure(rows.len() == LEASES && unrenewed.is_none(), || {
                format!("{}: {unrenewed:?}", rows.len())
            })
        },
    );
}

/// Foreign, unknown, ended, not renewable, named twice, no id at all: each is answered, in order,
/// and the others are renewed. Each message costs a use.
#[test]
fn one_by_one() {
    run("streams::keep_alive::one_by_one", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.client()?;
        let (owner, _) = make(&root, wish("owner")).await?;
        let own = cluster.node(1)?.client_of(&owner);
        let good = granted(&own, "one/good", 3600).await?;
        let over = granted(&own, "one/over", 3600).await?;
        own.revoke_lease(&over).await.map_err(text)?;
        let foreign = granted(&root, "one/foreign", 3600).await?;
        let fixed = GrantLeaseRequest {
            path: "one/fixed".into(),
            renewable: Some(false),
            ..GrantLeaseRequest::default()
        };
        let fixed = own.grant_lease(fixed).await.map_err(text)?.lease_id;
        let ids = [
            good.clone(),
            over,
            foreign,
            fixed,
            "nothing".into(),
            good.clone(),
        ];
        for index in 0..3 {
            let mut keep_alive = cluster.node(index)?.client_of(&owner).keep_alive();
            let results = keep_alive.renew(renewals(&ids)).await.map_err(text)?;
            let reasons: Vec<_> = results
                .iter()
                .map(|result| result.reason.as_str())
                .collect();
            let wanted = [
                "",
                "LEASE_NOT_FOUND",
                "LEASE_NOT_FOUND",
                "LEASE_NOT_RENEWABLE",
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
            ];
            ensure(reasons == wanted, || format!("node {index}: {reasons:?}"))?;
            let left = results[0].lease_duration.map(|left| left.seconds);
            ensure(left == Some(TTL), || format!("{left:?}"))?;
        }
        let few = CreateTokenRequest {
            num_uses: Some(3),
            ..wish("few")
        };
        let (few, _) = make(&root, few).await?;
        let few = cluster.node(2)?.client_of(&few);
        let id = granted(&few, "one/few", 3600).await?;
        let mut keep_alive = few.keep_alive();
        keep_alive
            .renew(renewals(std::slice::from_ref(&id)))
            .await
            .map_err(text)?;
        let _ = keep_alive.renew(renewals(std::slice::from_ref(&id))).await;
        let error = keep_alive
            .renew(renewals(&[id]))
            .await
            .err()
            .ok_or("a use too many")?;
        ensure(error.reason() == Some("INVALID_TOKEN"), || {
            error.to_string()
        })
    });
}
