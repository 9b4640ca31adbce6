//! Health on both listeners, asked and watched, through seal, unseal and failover.

use tenure_client::Health;
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerOptions, until};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::{ensure, raw, run, text};

const SERVICES: [&str; 3] = ["", "tenure.ready", "tenure.active"];

/// The same three answers on both listeners, at every turn of a node's life.
#[test]
fn health_through_a_life() {
    run("health::health_through_a_life", async |scenario| {
        let mut cluster =
            ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(3)?).await?;
        let mut watches = Vec::new();
        for index in 0..3 {
            watches.push(watch(&cluster, index, "tenure.active").await?);
        }
        expect(&cluster, 0, [true, false, false]).await?;
        cluster.init(5, 3).await?;
        expect(&cluster, 0, [true, false, false]).await?;
        cluster.unseal(0).await?;
        expect(&cluster, 0, [true, true, true]).await?;
        cluster.unseal_all().await?;
        cluster.wait_complete().await?;
        let active = cluster.wait_active().await?;
        for index in 0..3 {
            expect(&cluster, index, [true, true, index == active]).await?;
        }
        cluster.root_at(active)?.seal().await.map_err(text)?;
        expect(&cluster, active, [true, false, false]).await?;
        let next = cluster.wait_active().await?;
        cluster.unseal(active).await?;
        expect(&cluster, active, [true, true, false]).await?;
        cluster.node_mut(next)?.kill();
        let last = cluster.wait_active().await?;
        expect(&cluster, last, [true, true, true]).await?;
        // The one that was sealed was asleep, then active, then not: its watcher saw it.
        for wanted in [2, 1, 2] {
            let told = next_of(&mut watches[active]).await?;
            ensure(told == wanted, || format!("watch: {told}, not {wanted}"))?;
        }
        // A lone survivor can't serve: it lost its quorum, and says so.
        let rest = (0..3)
            .find(|index| *index != next && *index != last)
            .unwrap();
        cluster.node_mut(last)?.kill();
        expect(&cluster, rest, [true, false, false]).await
    });
}

/// Waits until both listeners say so.
async fn expect(cluster: &ServerCluster, index: usize, wanted: [bool; 3]) -> Outcome<()> {
    let node = cluster.node(index)?;
    for (service, wanted) in SERVICES.into_iter().zip(wanted) {
        let wanted = if wanted {
            Health::Serving
        } else {
            Health::NotServing
        };
        node.wait_health(service, wanted).await?;
        let what = format!("{}: {service:?} over TLS", node.name);
        until(&what, SOON, async || {
            match node.client().health(service).await {
                Ok(health) if health == wanted => Ok(()),
                Ok(health) => Err(format!("{health:?}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
    }
    ensure(
        node.health("no.such.service").await.map_err(text)? == Health::Unknown,
        || "an unknown service has a health".into(),
    )
}

async fn watch(
    cluster: &ServerCluster,
    index: usize,
    service: &str,
) -> Outcome<tonic::Streaming<HealthCheckResponse>> {
    let mut client = HealthClient::new(raw::channel(cluster, index)?);
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    Ok(client.watch(request).await.map_err(text)?.into_inner())
}

async fn next_of(watch: &mut tonic::Streaming<HealthCheckResponse>) -> Outcome<i32> {
    let next = tokio::time::timeout(SOON, watch.message()).await;
    let next = next.map_err(|_| "the watch is silent")?.map_err(text)?;
    Ok(next.ok_or("the watch ended")?.status)
}

/// The plain-text listener serves health and nothing else.
#[test]
fn the_plain_listener_serves_health_alone() {
    run(
        "health::the_plain_listener_serves_health_alone",
        async |scenario| {
            let mut cluster =
                ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(1)?)
                    .await?;
            cluster.init(1, 1).await?;
            cluster.unseal(0).await?;
            let address = cluster.node(0)?.health;
            let plain: Channel = Endpoint::from_shared(format!("http://{address}"))
                .map_err(text)?
                .connect_lazy();
            let root = cluster.root();
            for path in raw::methods() {
                let answer = raw::call(&plain, &path, Vec::new(), Some(root.expose())).await;
                let code = answer.err().map(|status| status.code());
                ensure(code == Some(tonic::Code::Unimplemented), || {
                    format!("{path}: {code:?}")
                })?;
            }
            let asked = ServerReflectionClient::new(plain)
                .server_reflection_info(tokio_stream::once(Default::default()))
                .await;
            ensure(asked.is_err(), || "reflection in plain text".into())?;
            // And TLS isn't to be had by plain text on the client port.
            let api = cluster.node(0)?.api;
            let plain = Endpoint::from_shared(format!("http://{api}"))
                .map_err(text)?
                .connect_lazy();
            let status = "/tenure.v1.SealService/GetSealStatus";
            let answer = raw::call(&plain, status, Vec::new(), None).await;
            ensure(answer.is_err(), || {
                "the client port speaks plain text".into()
            })
        },
    );
}
