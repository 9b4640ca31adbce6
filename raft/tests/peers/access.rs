//! Who may call what.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering, time::Duration};

use openraft::{
    RaftNetworkFactory,
    network::{NetVote, RPCOption},
    raft::VoteRequest,
};
use tenure_proto::internal::{
    self, AppendRequest, ChallengeRequest, HandOverRequest, JoinRequest, PeerStatusRequest,
    ReadIndexRequest, SnapshotChunk, TransferLeaderRequest, join_service_client::JoinServiceClient,
    raft_service_client::RaftServiceClient,
};
use tenure_raft::{
    limits::FORMAT,
    network::NetworkFactory,
    peers::{JoinPin, PeerChannel},
    tls::fingerprint,
    types::{Member, Vote},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tonic::Code;

use crate::support::{CLUSTER, SOON, TestNode, acquaint, members, soon, until};

fn vote_of(node_id: u64) -> internal::VoteRequest {
    internal::VoteRequest {
        vote: Some(internal::Vote {
            term: 1,
            node_id,
            committed: false,
        }),
        last_log_id: None,
        leadership_transfer: false,
    }
}

/// The code that each method of `RaftService` answers with.
async fn call_all(mut client: RaftServiceClient<PeerChannel>) -> Vec<(&'static str, Option<Code>)> {
    let code = |status: tonic::Status| Some(status.code());
    let append = match client
        .append(tokio_stream::iter([AppendRequest::default()]))
        .await
    {
        Err(status) => code(status),
        Ok(response) => match response.into_inner().message().await {
            Err(status) => code(status),
            Ok(_) => None,
        },
    };
    vec![
        ("Append", append),
        ("Vote", client.vote(vote_of(1)).await.err().and_then(code)),
        (
            "PreVote",
            client.pre_vote(vote_of(1)).await.err().and_then(code),
        ),
        (
            "TransferLeader",
            client
                .transfer_leader(TransferLeaderRequest::default())
                .await
                .err()
                .and_then(code),
        ),
        (
            "InstallSnapshot",
            client
                .install_snapshot(tokio_stream::iter([SnapshotChunk::default()]))
                .await
                .err()
                .and_then(code),
        ),
        (
            "ReadIndex",
            client
                .read_index(ReadIndexRequest {})
                .await
                .err()
                .and_then(code),
        ),
        (
            "Status",
            client
                .status(PeerStatusRequest {})
                .await
                .err()
                .and_then(code),
        ),
        (
            "RequestHandOver",
            client
                .request_hand_over(HandOverRequest { node_id: 1 })
                .await
                .err()
                .and_then(code),
        ),
    ]
}

#[tokio::test]
async fn members_speak_to_each_other() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    acquaint(&[&a, &b]);
    let mut client = a.peers.raft_client(2).unwrap();
    let status = client.status(PeerStatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().version, "test");
    let index = client.read_index(ReadIndexRequest {}).await.unwrap();
    assert_eq!(index.into_inner().index, 7);
    // The handler learns who called from the connection.
    let mine = client.request_hand_over(HandOverRequest { node_id: 1 });
    assert!(mine.await.unwrap().into_inner().accepted);
    let other = client.request_hand_over(HandOverRequest { node_id: 2 });
    assert!(!other.await.unwrap().into_inner().accepted);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_foreign_key_is_refused_on_every_method_but_join() {
    let (stranger, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    stranger.peers.update(&members(&[&stranger, &b]));
    b.peers.update(&members(&[&b]));

    let refusals = b.peers.refusals();
    for (method, code) in call_all(stranger.peers.raft_client(2).unwrap()).await {
        assert_eq!(code, Some(Code::PermissionDenied), "{method}");
    }
    assert_eq!(*refusals.borrow(), 8);

    let channel = stranger.peers.channel(2).unwrap();
    let mut join = JoinServiceClient::new(channel);
    let challenge = join.challenge(ChallengeRequest {}).await.unwrap();
    assert_eq!(challenge.into_inner().challenge, stranger.key.public_key());
    let request = JoinRequest {
        format: FORMAT,
        ..Default::default()
    };
    join.join(request.clone()).await.unwrap();
    let seen = b.handler.joins.lock().unwrap().clone();
    assert_eq!(seen, [(stranger.key.public_key(), None)]);

    // A stranger can't speak for another key, and a newer one is told so.
    let forwarded = JoinRequest {
        forwarded_public_key: vec![1].into(),
        ..request.clone()
    };
    let status = join.join(forwarded).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let newer = JoinRequest {
        format: FORMAT + 1,
        ..request
    };
    let status = join.join(newer).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(b.handler.joins.lock().unwrap().len(), 1);
    stranger.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_new_member_is_trusted_on_the_connection_that_it_has() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    a.peers.update(&members(&[&a, &b]));
    b.peers.update(&members(&[&b]));
    let mut client = a.peers.raft_client(2).unwrap();
    let status = client.status(PeerStatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    b.peers.update(&members(&[&a, &b]));
    client.status(PeerStatusRequest {}).await.unwrap();
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_removed_member_is_refused_at_once_and_its_streams_end() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut client = a.peers.raft_client(2).unwrap();
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = client.append(requests).await.unwrap().into_inner();
    send.send(AppendRequest {
        vote: Some(internal::Vote {
            term: 1,
            node_id: 1,
            committed: true,
        }),
        ..Default::default()
    })
    .await
    .unwrap();
    soon("an answer", answers.message()).await.unwrap().unwrap();

    b.peers.update(&members(&[&b]));
    let ended = soon("the stream ends", answers.message()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    until("the key is refused", || async {
        match client.clone().status(PeerStatusRequest {}).await {
            // The first call may meet the connection that was cut.
            Err(status) => status.code() == Code::PermissionDenied,
            Ok(_) => panic!("a removed member was served"),
        }
    })
    .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_caller_without_a_certificate_fails_the_handshake() {
    let b = TestNode::start(2).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless))
        .with_no_client_auth();
    let tcp = TcpStream::connect(b.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("tenure-peer").unwrap();
    let outcome = async {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        // The client's half of the handshake ends before the server has judged.
        connector.connect(name, tcp).await?.read_u8().await
    };
    let error = soon("the refusal", outcome).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    b.stop().await;
}

#[derive(Debug)]
struct Careless;

impl rustls::client::danger::ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls_pki_types::CertificateDer<'_>,
        _intermediates: &[rustls_pki_types::CertificateDer<'_>],
        _server_name: &rustls_pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &rustls_pki_types::CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &rustls_pki_types::CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test]
async fn a_dialler_refuses_a_peer_with_another_key() {
    let (a, b, c) = (
        TestNode::start(1).await,
        TestNode::start(2).await,
        TestNode::start(3).await,
    );
    acquaint(&[&a, &b]);
    // At b's address, c's key is expected.
    let mut wrong = members(&[&a, &b]);
    wrong.insert(
        2,
        Member {
            public_key: c.key.public_key(),
            ..b.member()
        },
    );
    a.peers.update(&wrong);
    let mut client = a.peers.raft_client(2).unwrap();
    let status = client.status(PeerStatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    // With the right key again, the channel is a new one.
    a.peers.update(&members(&[&a, &b]));
    let mut client = a.peers.raft_client(2).unwrap();
    client.status(PeerStatusRequest {}).await.unwrap();

    let address = b.address.to_string();
    let pins = |key: &[u8]| JoinPin::Fingerprints(vec![[0; 32], fingerprint(key)]);
    let (_, seen) = a
        .peers
        .join_channel(&address, pins(&b.key.public_key()))
        .await
        .unwrap();
    assert_eq!(seen, b.key.public_key());
    let (_, seen) = a
        .peers
        .join_channel(&address, JoinPin::Unpinned)
        .await
        .unwrap();
    assert_eq!(seen, b.key.public_key());
    let refused = a.peers.join_channel(&address, pins(b"other")).await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("another key"), "{error}");
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    a.peers.set_cluster_id([1; 16]);
    for (method, code) in call_all(a.peers.raft_client(2).unwrap()).await {
        assert_eq!(code, Some(Code::FailedPrecondition), "{method}");
    }
    a.peers.set_cluster_id(CLUSTER);
    // A node that belongs to no cluster serves joins alone.
    *b.handler.cluster_id.lock().unwrap() = None;
    for (method, code) in call_all(a.peers.raft_client(2).unwrap()).await {
        assert_eq!(code, Some(Code::Unavailable), "{method}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn nobody_votes_in_the_quiet_period_and_nobody_for_others() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    acquaint(&[&a, &b]);
    let mut client = a.peers.raft_client(2).unwrap();
    b.handler.votes_allowed.store(false, Ordering::SeqCst);
    for refused in [
        client.vote(vote_of(1)).await,
        client.pre_vote(vote_of(1)).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    }
    b.handler.votes_allowed.store(true, Ordering::SeqCst);
    for refused in [
        client.vote(vote_of(3)).await,
        client.pre_vote(vote_of(3)).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    let granted = client.vote(vote_of(1)).await.unwrap().into_inner();
    assert!(granted.granted);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_pre_vote_that_reaches_nobody_is_an_error() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    b.start_raft().await;
    // An address where nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Member {
        peer_address: closed.local_addr().unwrap().to_string(),
        public_key: b.key.public_key(),
        ..Default::default()
    };
    drop(closed);
    acquaint(&[&a, &b]);
    let mut factory = NetworkFactory::new(a.peers.clone());
    let option = RPCOption::new(Duration::from_secs(2));
    let vote = VoteRequest::new(Vote::new(1, 1), None);
    let mut unreachable = factory.new_client(9, &gone).await;
    assert!(
        unreachable
            .pre_vote(vote.clone(), option.clone())
            .await
            .is_err()
    );
    b.handler.votes_allowed.store(false, Ordering::SeqCst);
    let mut quiet = factory.new_client(2, &b.member()).await;
    assert!(quiet.pre_vote(vote.clone(), option.clone()).await.is_err());
    b.handler.votes_allowed.store(true, Ordering::SeqCst);
    assert!(quiet.pre_vote(vote, option).await.unwrap().vote_granted);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_membership_of_old_does_not_lock_the_leader_out() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    acquaint(&[&a, &b]);
    // What a joining node reads in the log before its own entry.
    b.peers.update(&BTreeMap::new());
    let mut client = a.peers.raft_client(2).unwrap();
    client.status(PeerStatusRequest {}).await.unwrap();
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_member_that_was_away_learns_of_a_new_one_from_one_that_it_knows() {
    let (new, away, known) = (
        TestNode::start(1).await,
        TestNode::start(2).await,
        TestNode::start(3).await,
    );
    let everyone = members(&[&new, &away, &known]);
    new.peers.update(&everyone);
    known.peers.update(&everyone);
    known.start_raft().await.initialize(everyone).await.unwrap();
    away.peers.update(&members(&[&away, &known]));

    let client = new.peers.raft_client(2).unwrap();
    let mut first = client.clone();
    let status = first.status(PeerStatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    until("the new member is let in", || async {
        client.clone().status(PeerStatusRequest {}).await.is_ok()
    })
    .await;
    for node in [new, away, known] {
        node.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_a_members_connections_is_told() {
    let (a, b) = (TestNode::start(1).await, TestNode::start(2).await);
    acquaint(&[&a, &b]);
    let mut disconnects = b.peers.disconnects();
    let mut client = a.peers.raft_client(2).unwrap();
    client.status(PeerStatusRequest {}).await.unwrap();
    drop(client);
    // Forgetting b closes the connection to it.
    a.peers.update(&members(&[&a]));
    let gone = tokio::time::timeout(SOON, disconnects.recv()).await;
    assert_eq!(gone.unwrap().unwrap(), 1);
    a.stop().await;
    b.stop().await;
}
