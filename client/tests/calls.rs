//! Failover, retries and deadlines against servers in this process.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use fake::{Fake, ROOT, Step, refusal};
use tenure_client::{Applied, Client, Code, ErrorKind, Health, Peer, Secret, proto};
use tokio::io::AsyncReadExt;
use tonic::Status;

mod fake;

fn client<I: IntoIterator<Item = String>>(addresses: I) -> Client {
    Client::builder()
        .addresses(addresses)
        .token(Secret::new(ROOT))
        .build()
        .unwrap()
}

/// An address where nobody listens.
fn dead() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn request() -> proto::CreateTokenRequest {
    proto::CreateTokenRequest {
        policies: vec!["default".into()],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_refused_connection_moves_reads_and_writes_to_the_next_address() {
    let server = Fake::new().serve().await;
    let client = client([dead(), server.url()]);
    let auth = client.create_token(request()).await.unwrap();
    let info = client
        .lookup_token(&Secret::new(auth.client_token))
        .await
        .unwrap();
    assert_eq!(info.accessor, auth.accessor);
    assert_eq!(server.fake.calls(), ["create_token", "lookup_token"]);
}

#[tokio::test]
async fn a_node_that_is_unavailable_is_left_for_one_that_serves() {
    let sealed = Fake::new().serve().await;
    let open = Fake::new().serve().await;
    sealed
        .fake
        .push(Step::Fail(refusal(Code::Unavailable, "SEALED", Some("no"))));
    let client = client([sealed.url(), open.url()]);
    client.create_token(request()).await.unwrap();
    client.lookup_self().await.unwrap();
    assert_eq!(sealed.fake.calls(), ["create_token"]);
    // The one that answered is asked first from then on.
    assert_eq!(open.fake.calls(), ["create_token", "lookup_self"]);
}

#[tokio::test]
async fn a_read_is_sent_again() {
    let server = Fake::new().serve().await;
    server
        .fake
        .push(Step::Fail(Status::unavailable("no leader")));
    server.fake.push(Step::Fail(refusal(
        Code::Unavailable,
        "LEADER_CHANGED",
        Some("maybe"),
    )));
    client([server.url()]).lookup_self().await.unwrap();
    assert_eq!(server.fake.calls().len(), 3);
}

#[tokio::test]
async fn a_write_that_may_have_been_carried_out_is_not_sent_again() {
    for status in [
        refusal(Code::Unavailable, "LEADER_CHANGED", Some("maybe")),
        Status::unavailable("a proxy says so"),
    ] {
        let server = Fake::new().serve().await;
        let other = Fake::new().serve().await;
        server.fake.push(Step::Fail(status));
        let error = client([server.url(), other.url()])
            .create_token(request())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(error.applied(), Applied::Maybe);
        assert_eq!(server.fake.calls().len(), 1);
        assert_eq!(other.fake.calls().len(), 0);
    }
}

#[tokio::test]
async fn a_write_that_was_not_carried_out_is_sent_again() {
    let server = Fake::new().serve().await;
    for (code, reason) in [
        (Code::Unavailable, "NO_ACTIVE_NODE"),
        (Code::Aborted, "CONFLICT"),
    ] {
        server
            .fake
            .push(Step::Fail(refusal(code, reason, Some("no"))));
    }
    client([server.url()])
        .create_token(request())
        .await
        .unwrap();
    assert_eq!(server.fake.calls().len(), 3);
}

#[tokio::test]
async fn a_write_with_a_request_id_is_sent_again_even_when_its_effect_is_unknown() {
    let server = Fake::new().serve().await;
    server
        .fake
        .push(Step::Fail(Status::unavailable("connection lost")));
    let request = proto::CreateTokenRequest {
        request_id: "2f0c".into(),
        ..request()
    };
    client([server.url()]).create_token(request).await.unwrap();
    assert_eq!(server.fake.calls().len(), 2);
    assert_eq!(
        server
            .fake
            .state()
            .last_create
            .as_ref()
            .map(|sent| sent.request_id.clone()),
        Some("2f0c".into())
    );
}

/// Takes connections and closes each once a call has come in over it.
async fn breaking() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // More than preface, settings and window update: a call's headers are there.
            let mut bytes = [0; 160];
            let _ = connection.read_exact(&mut bytes).await;
        }
    });
    url
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_a_write_in_doubt_and_a_read_is_sent_again() {
    let other = Fake::new().serve().await;
    let client = client([breaking().await, other.url()]);
    let error = client.create_token(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
    assert_eq!(error.applied(), Applied::Maybe);
    assert_eq!(error.code(), Code::Unavailable);
    assert!(other.fake.calls().is_empty());
    client.lookup_self().await.unwrap();
    assert_eq!(other.fake.calls(), ["lookup_self"]);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let server = Fake::new().serve().await;
    server.fake.push(Step::Fail(refusal(
        Code::PermissionDenied,
        "DENIED",
        Some("no"),
    )));
    let error = client([server.url()]).lookup_self().await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(error.reason(), Some("DENIED"));
    assert_eq!(error.message(), "refused: DENIED");
    assert_eq!(server.fake.calls().len(), 1);
}

#[tokio::test]
async fn the_deadline_holds_for_reads_writes_and_dead_addresses() {
    let server = Fake::new().serve().await;
    let deadline = Duration::from_millis(300);
    let slow = Duration::from_secs(60);

    let client = client([server.url()]).with_deadline(deadline);
    server.fake.push(Step::Delay(slow));
    let start = Instant::now();
    let error = client.create_token(request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.applied(), Applied::Maybe);
    assert!(start.elapsed() >= deadline);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(server.fake.calls(), ["create_token"]);

    server.fake.push(Step::Delay(slow));
    let start = Instant::now();
    assert_eq!(
        client.lookup_self().await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
    assert!(start.elapsed() < Duration::from_secs(20));

    let start = Instant::now();
    let error = self::client([dead()])
        .with_deadline(deadline)
        .lookup_self()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.applied(), Applied::No);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_read_leaves_a_node_that_hangs() {
    let hanging = Fake::new().serve().await;
    let other = Fake::new().serve().await;
    hanging.fake.push(Step::Delay(Duration::from_secs(60)));
    let client = Client::builder()
        .addresses([hanging.url(), other.url()])
        .token(Secret::new(ROOT))
        .read_attempt(Duration::from_millis(200))
        .deadline(Duration::from_secs(30))
        .build()
        .unwrap();
    client.lookup_self().await.unwrap();
    assert_eq!(other.fake.calls(), ["lookup_self"]);
}

#[tokio::test]
async fn without_a_retry_window_each_address_is_asked_once() {
    let server = Fake::new().serve().await;
    for _ in 0..5 {
        server
            .fake
            .push(Step::Fail(Status::unavailable("no leader")));
    }
    let client = client([dead(), server.url()]).with_retry_window(Duration::ZERO);
    let error = client.lookup_self().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(server.fake.calls().len(), 1);
}

#[tokio::test]
async fn calls_about_one_node_go_to_the_first_address_alone() {
    let server = Fake::new().serve().await;
    let both = client([dead(), server.url()]).with_deadline(Duration::from_millis(300));
    let error = both.seal_status().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(server.fake.calls().is_empty());
    assert!(both.at(1).unwrap().seal_status().await.unwrap().initialized);
    assert!(both.at(2).is_none());
}

#[tokio::test]
async fn every_call_reaches_its_method() {
    let server = Fake::new().serve().await;
    let root = client([server.url()]);
    let auth = root.create_token(request()).await.unwrap();
    let token = Secret::new(auth.client_token.clone());
    let child = root.with_token(token.clone()).unwrap();
    let hour = Some(Duration::from_secs(3600));
    child.lookup_self().await.unwrap();
    assert!(
        root.lookup_accessor(&auth.accessor)
            .await
            .unwrap()
            .id
            .is_empty()
    );
    let renewed = root.renew_token(&token, hour).await.unwrap();
    assert_eq!(renewed.lease_duration.map(|time| time.seconds), Some(3600));
    child.renew_self(None).await.unwrap();
    root.renew_accessor(&auth.accessor, hour).await.unwrap();
    assert_eq!(root.list_accessors(10, "").await.unwrap().tokens.len(), 2);
    assert!(
        root.revoke_accessor(&auth.accessor)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        !root
            .revoke_accessor(&auth.accessor)
            .await
            .unwrap()
            .is_empty()
    );
    root.revoke_token(&token).await.unwrap();
    root.revoke_orphan(&token).await.unwrap();
    let error = child.revoke_self().await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);

    let members = root.cluster_status().await.unwrap().members;
    assert_eq!(members.len(), 2);
    let join = root.create_join_token(hour).await.unwrap();
    assert!(!format!("{join:?}").contains("canary"));
    let peers = ["127.0.0.1:8201".to_owned()];
    assert_eq!(root.join(&peers, Some(&join.token)).await.unwrap(), Some(4));
    assert_eq!(root.join(&peers, None).await.unwrap(), None);
    root.remove_peer(Peer::Id(7)).await.unwrap();
    root.remove_peer(Peer::Name("node-2".into())).await.unwrap();
    root.step_down().await.unwrap();
    assert!(root.metrics().await.unwrap().contains("tenure_unsealed 1"));

    root.seal().await.unwrap();
    assert!(root.seal_status().await.unwrap().sealed);
    assert!(root.unseal(&[1, 2]).await.is_err());
    assert_eq!(root.unseal(&fake::SHARE).await.unwrap().progress, 1);
    assert_eq!(root.reset_unseal().await.unwrap().progress, 0);
    for _ in 0..3 {
        root.unseal(&fake::SHARE).await.unwrap();
    }
    assert!(!root.seal_status().await.unwrap().sealed);

    server.fake.state().initialized = false;
    let keys = root.init(5, 3).await.unwrap();
    assert_eq!(keys.shares.len(), 5);
    assert_eq!(keys.root_token.expose(), ROOT);
    assert!(!format!("{keys:?}").contains("canary"));
    assert!(root.init(5, 3).await.is_err());
}

#[tokio::test]
async fn request_ids_are_noted_when_asked_for() {
    let server = Fake::new().serve().await;
    let silent = client([server.url()]);
    silent.lookup_self().await.unwrap();
    assert_eq!(silent.last_request_id(), None);
    let noting = Client::builder()
        .address(server.url())
        .token(Secret::new(ROOT))
        .note_request_ids()
        .build()
        .unwrap();
    noting.lookup_self().await.unwrap();
    assert_eq!(noting.last_request_id().as_deref(), Some("a-request-id"));
}

#[tokio::test]
async fn health_is_asked_without_a_token() {
    let server = Fake::new().serve().await;
    let client = client([server.url()]);
    assert_eq!(
        client.health("tenure.ready").await.unwrap(),
        Health::Serving
    );
    assert_eq!(client.health("no.such").await.unwrap(), Health::Unknown);
}

#[tokio::test]
async fn tls_is_verified_against_the_given_certificate() {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server = Fake::new()
        .serve_tls(&ours.cert.pem(), &ours.signing_key.serialize_pem())
        .await;
    let url = format!("https://127.0.0.1:{}", server.address.port());
    let builder = || {
        Client::builder()
            .address(url.clone())
            .token(Secret::new(ROOT))
            .retry_window(Duration::ZERO)
    };

    let trusting = builder()
        .ca_pem(ours.cert.pem())
        .tls_server_name("localhost");
    trusting.build().unwrap().lookup_self().await.unwrap();

    let stranger = builder()
        .ca_pem(other.cert.pem())
        .tls_server_name("localhost");
    let error = stranger.build().unwrap().lookup_self().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");

    let wrong_name = builder().ca_pem(ours.cert.pem());
    let error = wrong_name.build().unwrap().lookup_self().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert_eq!(server.fake.calls(), ["lookup_self"]);
}
