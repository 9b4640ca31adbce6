//! Streams, deadlines, certificates of an operator, and the end of a server.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use openraft::{
    RaftNetworkFactory,
    errors::RPCError,
    network::{NetStreamAppend, RPCOption},
    raft::AppendEntriesRequest,
};
use tenure_proto::internal::{AppendRequest, PeerStatusRequest};
use tenure_raft::{
    network::NetworkFactory,
    tls::{OperatorCertificate, PeerTlsOptions},
    types::{Member, TypeConfig, Vote},
};
use tokio::{io::AsyncReadExt, net::TcpListener, net::TcpStream, time::Instant};
use tonic::Code;

use crate::support::{TestNode, acquaint, members, soon};

fn heartbeat() -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: None,
        entries: vec![],
        leader_commit: None,
    }
}

fn option() -> RPCOption {
    RPCOption::new(Duration::from_secs(1))
}

/// A stream that tells when it was dropped.
struct Watched<S>(S, #[allow(dead_code)] Arc<()>);

impl<S: Stream + Unpin> Stream for Watched<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

#[tokio::test]
async fn appends_are_answered_in_order_and_end_with_their_requests() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut factory = NetworkFactory::new(a.peers.clone());
    let mut network = factory.new_client(2, &b.member()).await;
    let requests = stream::iter((0..100).map(|_| heartbeat()));
    let answers = network.stream_append(requests, option()).await.unwrap();
    let answers: Vec<_> = soon("all answers", answers.collect()).await;
    assert_eq!(answers.len(), 100);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(None)))));

    let mut network = factory.new_heartbeat_client(2, &b.member()).await;
    let answers = network
        .stream_append(stream::iter([heartbeat()]), option())
        .await
        .unwrap();
    assert_eq!(
        soon("the answer", answers.collect::<Vec<_>>()).await.len(),
        1
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_idle_append_stream_rests_and_lets_go_of_its_requests() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut factory = NetworkFactory::new(a.peers.clone());
    let mut network = factory.new_heartbeat_client(2, &b.member()).await;
    let alive = Arc::new(());
    let requests = Watched(
        stream::iter([heartbeat()]).chain(stream::pending()),
        alive.clone(),
    );
    let option = RPCOption::new(Duration::from_millis(200));
    let mut answers = network.stream_append(requests, option).await.unwrap();
    assert!(matches!(answers.next().await, Some(Ok(Ok(None)))));
    // Nothing is owed: the deadline of an answer doesn't run.
    let rest = tokio::time::timeout(Duration::from_millis(600), answers.next()).await;
    assert!(rest.is_err(), "{rest:?}");
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(answers);
    // At once, not when HTTP/2 gets to it.
    assert_eq!(Arc::strong_count(&alive), 1);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_that_stands_still_is_a_timeout() {
    let a = TestNode::start(1).await;
    // Accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let member = Member {
        peer_address: silent.local_addr().unwrap().to_string(),
        public_key: a.key.public_key(),
        ..Default::default()
    };
    let mut factory = NetworkFactory::new(a.peers.clone());
    let mut network = factory.new_heartbeat_client(2, &member).await;
    let started = Instant::now();
    let option = RPCOption::new(Duration::from_millis(400));
    let outcome = network.stream_append(stream::iter([heartbeat()]), option);
    let error = outcome.await.err().unwrap();
    assert!(matches!(error, RPCError::Timeout(_)), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));
    a.stop().await;
}

#[tokio::test]
async fn a_peer_that_died_is_unreachable_long_before_a_deadline() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut factory = NetworkFactory::new(a.peers.clone());
    let node = b.member();
    let mut network = factory.new_client(2, &node).await;
    let requests = stream::iter([heartbeat()]).chain(stream::pending());
    let option = RPCOption::new(Duration::from_secs(600));
    let mut answers = network
        .stream_append(Box::pin(requests), option.clone())
        .await
        .unwrap();
    assert!(matches!(answers.next().await, Some(Ok(Ok(None)))));
    b.stop().await;
    let error = soon("the end", answers.next()).await;
    assert!(
        matches!(error, Some(Err(RPCError::Unreachable(_))) | None),
        "{error:?}"
    );
    drop(answers);
    let error = network
        .stream_append(stream::iter([heartbeat()]), option)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, RPCError::Unreachable(_)), "{error}");
    a.stop().await;
}

#[tokio::test]
async fn entries_with_a_gap_and_foreign_leaderships_are_refused() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut client = a.peers.raft_client(2).unwrap();
    let vote = |node_id, committed| {
        Some(tenure_proto::internal::Vote {
            term: 1,
            node_id,
            committed,
        })
    };
    let blank = |index| tenure_proto::internal::LogEntry {
        format: 1,
        log_id: Some(tenure_proto::internal::LogId { term: 1, index }),
        payload: Some(tenure_proto::internal::log_entry::Payload::Blank(
            Default::default(),
        )),
    };
    let gap = AppendRequest {
        vote: vote(1, true),
        entries: vec![blank(0), blank(2)],
        ..Default::default()
    };
    let foreign = AppendRequest {
        vote: vote(3, true),
        ..Default::default()
    };
    let candidate = AppendRequest {
        vote: vote(1, false),
        ..Default::default()
    };
    for (request, code) in [
        (gap, Code::InvalidArgument),
        (foreign, Code::PermissionDenied),
        (candidate, Code::InvalidArgument),
    ] {
        let answers = client.append(tokio_stream::iter([request])).await.unwrap();
        let status = answers.into_inner().message().await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn callers_that_never_finish_a_handshake_block_nobody() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    acquaint(&[&a, &b]);
    let mut idle = Vec::new();
    for _ in 0..32 {
        idle.push(TcpStream::connect(b.address).await.unwrap());
    }
    let mut client = a.peers.raft_client(2).unwrap();
    client.status(PeerStatusRequest {}).await.unwrap();
    // And they are sent away.
    let mut buffer = [0; 16];
    let read = soon("the idle caller is cut", idle[0].read(&mut buffer)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_server_stops_though_streams_are_open() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut client = a.peers.raft_client(2).unwrap();
    let answers = client
        .append(stream::pending::<AppendRequest>())
        .await
        .unwrap();
    b.stop().await;
    drop(answers);
    a.stop().await;
}

/// A certificate for a node, signed by `ca`.
fn issue(ca: &rcgen::Issuer<'_, rcgen::KeyPair>) -> OperatorCertificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["node".to_owned()])
        .unwrap()
        .signed_by(&key, ca)
        .unwrap();
    OperatorCertificate {
        certificate_pem: certificate.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes().into(),
    }
}

fn authority() -> (String, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, rcgen::Issuer::new(params, key))
}

#[tokio::test]
async fn an_operators_authority_is_demanded_on_top_of_the_pinned_key() {
    let (ca_pem, ca) = authority();
    let (_, other_ca) = authority();
    let under = |issuer: &rcgen::Issuer<'_, rcgen::KeyPair>| PeerTlsOptions {
        ca_pem: Some(ca_pem.clone().into_bytes()),
        certificate: Some(issue(issuer)),
    };
    let a = TestNode::start_with(1, under(&ca)).await;
    let b = TestNode::start_with(2, under(&ca)).await;
    let impostor = TestNode::start_with(3, under(&other_ca)).await;
    let self_signed = TestNode::start(4).await;
    let all = [&a, &b, &impostor, &self_signed];
    acquaint(&all);

    let mut client = a.peers.raft_client(2).unwrap();
    client.status(PeerStatusRequest {}).await.unwrap();
    // Their keys are members' keys, their certificates nobody's: neither side accepts.
    for outsider in [&impostor, &self_signed] {
        let mut client = outsider.peers.raft_client(2).unwrap();
        client.status(PeerStatusRequest {}).await.unwrap_err();
        let mut client = a.peers.raft_client(outsider.id).unwrap();
        client.status(PeerStatusRequest {}).await.unwrap_err();
    }
    // A certificate of the authority alone opens nothing.
    b.peers.update(&members(&[&b]));
    let mut client = a.peers.raft_client(2).unwrap();
    crate::support::until("the key is refused", || async {
        client
            .clone()
            .status(PeerStatusRequest {})
            .await
            .err()
            .map(|status| status.code())
            == Some(Code::PermissionDenied)
    })
    .await;
    let _ = &mut client;
    for node in [a, b, impostor, self_signed] {
        node.stop().await;
    }
}
