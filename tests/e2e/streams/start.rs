//! Where a watch may begin: at a revision that is still there, and behind a list.

use std::time::Duration;

use tenure_tests::server_cluster::{Outcome, ServerOptions, until};
use tonic::Code;

use super::{events, granted, shorts, watch};
use crate::{ensure, run, start, text};

const MINUTES_2: i64 = 2 * 60_000;
const HOURS_2: i64 = 2 * 3_600_000;
/// Every shift is taken over by the cluster's time within so long.
const CLOCKS: Duration = Duration::from_secs(60);

/// Events that are older than an hour go, and who asks for them is told so, with a list to begin
/// from; nothing that happens after the list is missed.
#[test]
fn compacted_with_a_list_to_start_from() {
    run(
        "streams::start::compacted_with_a_list_to_start_from",
        async |scenario| {
            let options = ServerOptions {
                clocks: true,
                ..ServerOptions::new(3)?
            };
            let cluster = start(scenario, options).await?;
            let root = cluster.client()?;
            let kept = granted(&root, "start/kept", 10 * 3600).await?;
            let first = root
                .list_leases("start", 0, "")
                .await
                .map_err(text)?
                .revision;
            let again = events(&mut watch(&root, "start", Some(1)), 1).await?;
            ensure(shorts(&again) == [format!("granted {kept}")], || {
                format!("{again:?}")
            })?;
            // A stretch of events is closed after a minute, and goes an hour later.
            for shift in [MINUTES_2, MINUTES_2 + HOURS_2] {
                for node in &cluster.nodes {
                    node.shift_clock(shift)?;
                }
                let wanted = shift;
                until(
                    "the cluster's time is there",
                    CLOCKS,
                    async || -> Outcome<()> {
                        let info = root.lookup_lease(&kept).await.map_err(text)?;
                        let left = info.ttl.map_or(0, |ttl| ttl.seconds);
                        ensure(left < 10 * 3600 - wanted / 1000 + 60, || {
                            format!("{left} s left")
                        })
                    },
                )
                .await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            for index in 0..3 {
                let client = cluster.root_at(index)?;
                let error = until("the events are gone", CLOCKS, async || {
                    match watch(&client, "start", Some(first)).next().await {
                        Ok(message) => Err(format!("still there: {message:?}")),
                        Err(error) => Ok(error),
                    }
                })
                .await?;
                ensure(
                    error.is_compacted() && error.code() == Code::OutOfRange,
                    || error.to_string(),
                )?;
                let oldest = error.metadata().get("oldest_revision").cloned();
                let oldest: u64 = oldest.unwrap_or_default().parse().map_err(text)?;
                ensure(oldest > first, || format!("oldest {oldest}, asked {first}"))?;
                let listed = client.list_leases("start", 0, "").await.map_err(text)?;
                ensure(
                    listed.leases.iter().any(|lease| lease.lease_id == kept),
                    || "the list lacks a lease".into(),
                )?;
                let missed = granted(&client, &format!("start/{index}"), 3600).await?;
                let mut rest = watch(&client, "start", Some(listed.revision + 1));
                let seen = shorts(&events(&mut rest, 1).await?);
                ensure(seen == [format!("granted {missed}")], || {
                    format!("{seen:?}")
                })?;
            }
            let zero = watch(&root, "start", Some(0)).next().await.err();
            ensure(
                zero.is_some_and(|error| error.code() == Code::InvalidArgument),
                || "revision 0".into(),
            )
        },
    );
}
