//! A node's disk takes nothing any more while it runs.

use tenure_tests::server_cluster::{Outcome, SOON, ServerCluster, ServerOptions, Traffic, until};

use crate::{ALL, ensure, run, start, text};

/// Starts the program with SIGXFSZ ignored, so that writing beyond a limit is an error.
const IGNORE_XFSZ: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// The active node's disk fails, then a standby's: the node ends by itself and says so, the
/// others go on, nothing that was acknowledged is lost, and with a disk it comes back.
///
/// Planted bug: the server doesn't notice that raft has stopped. Caught: the process lived on.
#[test]
fn a_node_whose_disk_fails_ends() {
    run("disk::a_node_whose_disk_fails_ends", async |scenario| {
        let options = ServerOptions {
            launcher: IGNORE_XFSZ.map(str::to_owned).to_vec(),
            ..ServerOptions::new(3)?
        };
        let mut cluster = start(scenario, options).await?;
        let traffic = Traffic::start(&cluster, &ALL, 4)?;
        for of_active in [true, false] {
            traffic.wait_acked(50).await?;
            let active = cluster.wait_active().await?;
            let victim = if of_active { active } else { (active + 1) % 3 };
            let process = cluster.node_mut(victim)?.process()?;
            process.limit_files(0).map_err(text)?;
            ends_by_itself(&mut cluster, victim).await?;
            cluster.wait_active_but(&[victim]).await?;
            traffic.wait_acked(50).await?;
            cluster.restart(victim).await?;
            cluster.unseal(victim).await?;
            cluster.wait_complete().await?;
            scenario.say(format!(
                "node {victim} ended and came back (active: {active})"
            ));
        }
        traffic.finish().await?.verify(&cluster, &ALL).await
    });
}

async fn ends_by_itself(cluster: &mut ServerCluster, index: usize) -> Outcome<()> {
    let node = cluster.node_mut(index)?;
    let end = until("the process ends", SOON, async || {
        let ended = node.process()?.exited();
        ended.ok_or_else(|| "it runs without a disk".to_owned())
    })
    .await?;
    // By its own word, or by an abort: here not even its log can be written, and a library that
    // can't report an error may do that. Either way a supervisor sees that it failed.
    ensure(!end.success(), || format!("it ended with {end}"))
}
