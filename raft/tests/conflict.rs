//! A transaction that is sent back for a conflict is planned again on a newer state. It must
//! get its answer only when there is one: else it conflicts again, and again.

#![allow(clippy::expect_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use bytes::Bytes;
use tenure_raft::{
    batch::SubmitError,
    clock::SystemClock,
    node::{Node, NodeConfig, TokensOnly},
    options::{ENTRIES_KEPT, SNAPSHOT_LOG_BYTES, Timing},
    state::NoObserver,
    tls::PeerTlsOptions,
    txn::{Op, ReadSet, Txn},
};
use tokio::time::Instant;

const ROUNDS: usize = 100;
const SOON: Duration = Duration::from_secs(20);

/// A node that is a cluster of its own, and active.
async fn active_node(dir: &std::path::Path) -> Node {
    let config = NodeConfig {
        data_dir: dir.to_owned(),
        name: "alone".to_owned(),
        peer_listen: "127.0.0.1:0".parse().expect("an address"),
        peer_address: "127.0.0.1:1".to_owned(),
        api_address: "http://127.0.0.1:2".to_owned(),
        timing: Timing::default(),
        snapshot_log_bytes: SNAPSHOT_LOG_BYTES,
        entries_kept: ENTRIES_KEPT,
        clock: Arc::new(SystemClock),
        tls: PeerTlsOptions::default(),
    };
    let routes = tonic::service::Routes::default();
    let node = Node::start(config, Arc::new(NoObserver), Arc::new(TokensOnly), routes);
    let node = node.await.expect("a node");
    node.bootstrap().await.expect("bootstrap");
    node.set_unsealed(true).await;
    let bound = Clock::now() + SOON;
    while node.activate().await.is_err() {
        assert!(Clock::now() < bound, "not active in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node
}

/// Reads one key and writes it, on the state as it is now.
async fn write(node: Node, key: Bytes) -> Result<u64, SubmitError> {
    let revision = node.view().expect("a view").revision();
    let txn = Txn {
        read_revision: revision,
        reads: ReadSet {
            keys: vec![key.clone()],
            ranges: Vec::new(),
        },
        ops: vec![Op::Put {
            key,
            value: Bytes::from_static(b"v"),
            create_revision: None,
        }],
        ..Txn::default()
    };
    node.submit(txn, Instant::now() + SOON).await
}

/// Planted bug: no wait after a conflict. Caught: the state of the second attempt was older than
/// the change, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_conflicts_is_told_when_the_change_can_be_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = active_node(dir.path()).await;
    let mut conflicts = 0;
    for round in 0..ROUNDS {
        // Each round has a key of its own, that only two write: the second attempt of the one
        // that came second meets nobody.
        let key = Bytes::from(format!("\x02key {round}"));
        let writers = [0, 1].map(|_| {
            let (node, key) = (node.clone(), key.clone());
            tokio::spawn(async move {
                match write(node.clone(), key.clone()).await {
                    Err(SubmitError::Conflict) => write(node, key).await.map(|_| true),
                    first => first.map(|_| false),
                }
            })
        });
        for writer in writers {
            let written = writer.await.expect("a writer");
            conflicts += usize::from(written.unwrap_or_else(|e| panic!("round {round}: {e}")));
        }
    }
    assert!(conflicts > 0, "no writer met another");
    node.shutdown().await;
}
