//! Raft itself through the peer port: election, replication, a snapshot to a new member,
//! transfer of leadership.

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use prost::Message;
use tenure_proto::internal::{self, operation};
use tenure_raft::peer_server::RaftHandle;
use tenure_raft::types::{Command, NodeId};

use crate::support::{TestNode, acquaint, members, soon, until};

/// A command with one transaction, which writes `size` bytes.
fn command(first_revision: u64, size: usize) -> Command {
    let put = internal::Put {
        key: Bytes::from(format!("\x02key-{first_revision}")),
        value: vec![first_revision as u8; size].into(),
        create_revision: None,
    };
    let command = internal::Command {
        format: 1,
        time_ms: 1_000 + first_revision,
        first_revision,
        transactions: vec![internal::Transaction {
            operations: vec![internal::Operation {
                operation: Some(operation::Operation::Put(put)),
            }],
        }],
        swap_in: None,
    };
    Command(command.encode_to_vec().into())
}

async fn applied(nodes: &[&TestNode], revision: u64) {
    until("everyone applied", || async {
        nodes.iter().all(|node| {
            node.state
                .get()
                .is_some_and(|state| state.applied().revision >= revision)
        })
    })
    .await;
}

async fn leader_is(node: &TestNode, leader: NodeId) {
    let raft = node.handler.raft.get().unwrap();
    until("the leader is known", || async {
        raft.current_leader().await == Some(leader)
    })
    .await;
}

/// Writes on the leader. On a machine that stalls raft may refuse for a moment, since no
/// quorum was heard of lately; a refusal appends nothing.
async fn write(raft: &RaftHandle, command: Command) {
    until("the write is committed", || async {
        raft.client_write(command.clone()).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_replicates_sends_a_snapshot_and_transfers_leadership() {
    let nodes = [
        TestNode::start(1).await,
        TestNode::start(2).await,
        TestNode::start(3).await,
    ];
    let all: Vec<&TestNode> = nodes.iter().collect();
    acquaint(&all);
    for node in &all {
        node.start_raft().await;
    }
    let raft = nodes[0].handler.raft.get().unwrap();
    raft.initialize(members(&all)).await.unwrap();
    raft.trigger().elect(true).await.unwrap();
    leader_is(&nodes[2], 1).await;

    for revision in 1..=50 {
        let size = if revision % 10 == 0 { 1 << 20 } else { 100 };
        write(raft, command(revision, size)).await;
    }
    applied(&all, 50).await;

    // A new member gets what was purged as a snapshot.
    raft.trigger().snapshot().await.unwrap();
    until("the snapshot is there", || async {
        raft.get_snapshot().await.unwrap().is_some()
    })
    .await;
    let covered = raft.get_snapshot().await.unwrap().unwrap();
    let covered = covered.meta.last_log_id.unwrap().index();
    raft.trigger().purge_log(covered).await.unwrap();
    until("the log is purged", || async {
        raft.data_metrics()
            .borrow_watched()
            .purged
            .is_some_and(|purged| purged.index() >= covered)
    })
    .await;
    let joiner = TestNode::start(4).await;
    let everyone: Vec<&TestNode> = nodes.iter().chain([&joiner]).collect();
    acquaint(&everyone);
    joiner.start_raft().await;
    soon("the learner", raft.add_learner(4, joiner.member(), true))
        .await
        .unwrap();
    applied(&[&joiner], 50).await;
    write(raft, command(51, 100)).await;
    applied(&everyone, 51).await;

    raft.trigger().transfer_leader(2).await.unwrap();
    leader_is(&nodes[2], 2).await;
    let raft = nodes[1].handler.raft.get().unwrap();
    leader_is(&nodes[1], 2).await;
    write(raft, command(52, 100)).await;
    applied(&everyone, 52).await;

    for node in nodes {
        node.stop().await;
    }
    joiner.stop().await;
}
