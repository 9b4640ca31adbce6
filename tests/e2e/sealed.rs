//! What a sealed node answers, how it opens, how it is closed again.

use tenure_client::{Code, Health};
use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerOptions, until};

use crate::{ensure, make, raw, run, text, three, wish};

/// The only methods that a sealed node carries out.
const OPEN: [&str; 3] = [
    "/tenure.v1.SealService/GetSealStatus",
    "/tenure.v1.SealService/Init",
    "/tenure.v1.SealService/Unseal",
];

/// Every RPC on a node that isn't initialised, that is sealed, and that was sealed again.
///
/// Planted bug: LookupSelf goes on without keys. Caught by its answer.
#[test]
fn every_rpc_while_sealed() {
    run("sealed::every_rpc_while_sealed", async |scenario| {
        let mut cluster =
            ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(3)?).await?;
        for index in 0..3 {
            closed(&cluster, index, "NOT_INITIALIZED", "hvs.none").await?;
            let status = cluster.node(index)?.status().await.map_err(text)?;
            let empty = status.shares == 0 && status.threshold == 0 && status.progress == 0;
            ensure(empty && !status.initialized && status.sealed, || {
                format!("{status:?}")
            })?;
        }
        let keys = cluster.init(5, 3).await?;
        let root = keys.root.expose().to_owned();
        closed(&cluster, 0, "SEALED", &root).await?;
        cluster.unseal_all().await?;
        cluster.wait_complete().await?;
        let standby = cluster.standby().await?;
        cluster.root_at(standby)?.seal().await.map_err(text)?;
        closed(&cluster, standby, "SEALED", &root).await?;
        scenario.say("a sealed node answers nothing else");
        // Init is refused on all of them.
        for index in 0..3 {
            let again = cluster.node(index)?.client().init(5, 3).await;
            let code = again.err().map(|error| error.code());
            ensure(code == Some(Code::FailedPrecondition), || {
                format!("init again: {code:?}")
            })?;
        }
        Ok(())
    });
}

/// Each method but the open ones is refused for the reason, with a good token and without.
async fn closed(cluster: &ServerCluster, index: usize, reason: &str, token: &str) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let methods = raw::methods();
    ensure(methods.len() >= 20, || {
        format!("only {} methods", methods.len())
    })?;
    for path in methods {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        for token in [None, Some(token)] {
            let answer = raw::call(&channel, &path, Vec::new(), token).await;
            let status = answer.err().ok_or_else(|| format!("{path} answered"))?;
            let (given, applied) = raw::details(&status).map_err(|why| format!("{path}: {why}"))?;
            let join = path.ends_with("/Join");
            let fits = if join {
                // Open to a node without a cluster; here it lacks addresses.
                matches!(given.as_str(), "INVALID_ARGUMENT" | "ALREADY_INITIALIZED")
            } else {
                given == reason && status.code() == Code::Unavailable
            };
            ensure(fits && applied == "no", || {
                format!(
                    "{path} on node {index}: {:?} {given} applied {applied}",
                    status.code()
                )
            })?;
        }
    }
    // And what it does answer.
    cluster.node(index)?.status().await.map_err(text)?;
    cluster
        .node(index)?
        .wait_health("", Health::Serving)
        .await?;
    cluster
        .node(index)?
        .wait_health("tenure.ready", Health::NotServing)
        .await?;
    cluster
        .node(index)?
        .wait_health("tenure.active", Health::NotServing)
        .await
}

/// Shares: progress and nonce, a share twice, garbage, a wrong set, reset, and an open node.
#[test]
fn unsealing_step_by_step() {
    run("sealed::unsealing_step_by_step", async |scenario| {
        let mut cluster =
            ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(1)?).await?;
        for (shares, threshold) in [(0, 0), (5, 1), (3, 4), (256, 3), (1, 0), (u32::MAX, 2)] {
            let made = cluster.node(0)?.client().init(shares, threshold).await;
            let code = made.err().map(|error| error.code());
            let wanted = Some(Code::InvalidArgument);
            ensure(code == wanted, || {
                format!("init {shares} {threshold}: {code:?}")
            })?;
        }
        let keys = cluster.init(5, 3).await?;
        let node = cluster.node(0)?;
        let client = node.client();
        let first = client.unseal(&keys.shares[0]).await.map_err(text)?;
        ensure(first.progress == 1 && !first.nonce.is_empty(), || {
            format!("{first:?}")
        })?;
        let twice = client.unseal(&keys.shares[0]).await.map_err(text)?;
        ensure(twice.progress == 1 && twice.nonce == first.nonce, || {
            format!("{twice:?}")
        })?;
        for garbage in [Vec::new(), vec![7], vec![7; 5000]] {
            let code = client
                .unseal(&garbage)
                .await
                .err()
                .map(|error| error.code());
            ensure(code == Some(Code::InvalidArgument), || {
                format!("garbage: {code:?}")
            })?;
        }
        let status = node.status().await.map_err(text)?;
        ensure(status.progress == 1, || {
            format!("after garbage: {status:?}")
        })?;
        let reset = client.reset_unseal().await.map_err(text)?;
        ensure(reset.progress == 0 && reset.nonce.is_empty(), || {
            format!("{reset:?}")
        })?;

        // Two right shares and a wrong one: found out, without telling which.
        let mut wrong = keys.shares[2].clone();
        wrong[5] ^= 1;
        client.unseal(&keys.shares[0]).await.map_err(text)?;
        client.unseal(&wrong).await.map_err(text)?;
        let refused = client.unseal(&keys.shares[1]).await;
        let error = refused.err().ok_or("a wrong share opened the node")?;
        ensure(error.code() == Code::InvalidArgument, || error.to_string())?;
        let status = node.status().await.map_err(text)?;
        ensure(status.sealed && status.progress == 0, || {
            format!("{status:?}")
        })?;

        for share in &keys.shares[2..] {
            client.unseal(share).await.map_err(text)?;
        }
        let open = node.status().await.map_err(text)?;
        ensure(!open.sealed && open.cluster_name == "tenure-test", || {
            format!("{open:?}")
        })?;
        let still = client.unseal(&[1]).await.map_err(text)?;
        ensure(!still.sealed && still.progress == 0, || {
            format!("{still:?}")
        })?;
        Ok(())
    });
}

/// Root seals nodes and the shares open them again: all is there. A token without root
/// can't seal.
#[test]
fn sealed_and_opened_again() {
    run("sealed::sealed_and_opened_again", async |scenario| {
        let mut cluster = three(scenario).await?;
        let (token, _) = make(&cluster.client()?, wish("kept")).await?;
        for index in 0..3 {
            let code = cluster.node(index)?.client_of(&token).seal().await;
            let code = code.err().map(|error| error.code());
            ensure(code == Some(Code::PermissionDenied), || {
                format!("seal: {code:?}")
            })?;
            let code = cluster.node(index)?.client().seal().await;
            let code = code.err().map(|error| error.code());
            ensure(code == Some(Code::Unauthenticated), || {
                format!("seal: {code:?}")
            })?;
        }
        // The active node: another one takes over.
        let active = cluster.wait_active().await?;
        cluster.root_at(active)?.seal().await.map_err(text)?;
        cluster
            .node(active)?
            .wait_health("tenure.ready", Health::NotServing)
            .await?;
        let next = cluster.wait_active().await?;
        ensure(next != active, || "a sealed node is active".into())?;
        cluster.node(next)?.accepts(&token).await?;
        // All of them.
        for index in (0..3).filter(|index| *index != active) {
            until("a node is sealed", SOON, async || {
                let sealed = cluster.node(index)?.status().await.map_err(text)?.sealed;
                if sealed {
                    return Ok(());
                }
                cluster.root_at(index)?.seal().await.map_err(text)?;
                Err("not yet".to_owned())
            })
            .await?;
        }
        scenario.say("all nodes are sealed");
        cluster.unseal_all().await?;
        cluster.wait_active().await?;
        cluster.wait_complete().await?;
        for node in &cluster.nodes {
            node.accepts(&token).await?;
        }
        Ok(())
    });
}
