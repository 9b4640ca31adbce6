//! After a restore nothing that has ended is cleared away until an operator says so; its use is
//! refused all along.

use std::time::Duration;

use tenure_client::proto::GrantLeaseRequest;
use tenure_tests::server_cluster::{Outcome, SOON, until};

use super::{Record, restore, save, state};
use crate::{ensure, make, run, seconds, text, three, wish};

/// Leases and tokens lie in these tables, in clear keys.
const LEASES: [u8; 2] = [2, 23];
const TOKENS: [u8; 2] = [2, 16];
/// Longer than clean-up takes when it isn't held.
const WHILE: Duration = Duration::from_secs(3);

fn rows(state: &std::collections::BTreeMap<Vec<u8>, Record>, table: [u8; 2]) -> usize {
    state.keys().filter(|key| key.starts_with(&table)).count()
}

/// A lease and a token end between save and restore. They come back as records and are refused;
/// they stay, over a change of leader too, until expiration is resumed.
#[test]
fn what_has_ended_stays_until_it_is_resumed() {
    run(
        "backup::held::what_has_ended_stays_until_it_is_resumed",
        async |scenario| {
            let mut cluster = three(scenario).await?;
            let root = cluster.client()?;
            let request = GrantLeaseRequest {
                path: "held/one".to_owned(),
                ttl: seconds(3),
                ..GrantLeaseRequest::default()
            };
            let id = root.grant_lease(request).await.map_err(text)?.lease_id;
            let mut short = wish("short");
            short.ttl = seconds(3);
            let (token, _) = make(&root, short).await?;
            let file = save(&root).await?;
            let saved = super::records(&file)?;
            until("both are cleared away", SOON, async || {
                let now = state(&root).await?;
                ensure(rows(&now, LEASES) < rows(&saved, LEASES), || "lease".into())?;
                ensure(rows(&now, TOKENS) < rows(&saved, TOKENS), || "token".into())
            })
            .await?;

            restore(&root, &file, false).await.map_err(text)?;
            cluster.wait_active().await?;
            let refused = async || -> Outcome<()> {
                for index in 0..3 {
                    cluster.node(index)?.refuses(&token).await?;
                    let found = cluster.root_at(index)?.lookup_lease(&id).await;
                    let reason = found.err().and_then(|e| e.reason().map(str::to_owned));
                    ensure(reason.as_deref() == Some("LEASE_NOT_FOUND"), || {
                        format!("node {index}: {reason:?}")
                    })?;
                }
                Ok(())
            };
            refused().await?;
            root.step_down().await.map_err(text)?;
            tokio::time::sleep(WHILE).await;
            ensure(state(&root).await? == saved, || {
                "something was cleared".into()
            })?;
            refused().await?;
            for node in &cluster.nodes {
                let status = node.status().await.map_err(text)?;
                let held = status.ha.is_some_and(|ha| ha.expiration_held);
                ensure(held, || "the status says nothing".into())?;
            }

            // What ends nothing goes on: a quota finds what was there before it.
            let quota = root.write_lease_count("held", "held", 10).await;
            quota.map_err(text)?;
            until("the quota has counted", SOON, async || {
                let quota = root.read_lease_count("held").await.map_err(text)?;
                ensure(!quota.counting, || format!("{quota:?}"))
            })
            .await?;

            let active = cluster.wait_active().await?;
            let through = cluster.root_at((active + 1) % 3)?;
            through.resume_expiration().await.map_err(text)?;
            until("both are cleared away", SOON, async || {
                let now = state(&root).await?;
                ensure(rows(&now, LEASES) < rows(&saved, LEASES), || "lease".into())?;
                ensure(rows(&now, TOKENS) < rows(&saved, TOKENS), || "token".into())
            })
            .await?;
            let again = root.resume_expiration().await.err();
            let reason = again.as_ref().and_then(|error| error.reason());
            ensure(reason == Some("NOT_HELD"), || format!("{again:?}"))?;
            let status = root.cluster_status().await.map_err(text)?;
            ensure(status.expiration_held_since.is_none(), || "held".into())
        },
    );
}
