//! Accepts connections to the peer port: TLS handshakes beside one another and bounded,
//! then a place among the connections of that key.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::PeerKey;
use crate::{
    limits,
    peers::{Admission, InboundSlot, Peers, tune},
    tls,
};

/// Pause after the system refused to accept (too many open files).
const ACCEPT_RETRY_MS: u64 = 100;

/// The connections that have finished their handshake, until `stop`.
pub(super) fn incoming(
    listener: TcpListener,
    peers: Peers,
    stop: CancellationToken,
) -> impl Stream<Item = io::Result<PeerStream>> {
    let (ready, connections) = mpsc::channel(limits::PEER_HANDSHAKES_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept_all(listener, peers, ready) => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept_all(
    listener: TcpListener,
    peers: Peers,
    ready: mpsc::Sender<io::Result<PeerStream>>,
) {
    let handshakes = Arc::new(Semaphore::new(limits::PEER_HANDSHAKES_MAX));
    while let Ok(permit) = handshakes.clone().acquire_owned().await {
        let tcp = tokio::select! {
            () = ready.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match tcp {
            Ok((tcp, _)) => {
                tokio::spawn(admit(tcp, peers.clone(), ready.clone(), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "the peer port can't accept a connection");
                sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

async fn admit(
    tcp: TcpStream,
    peers: Peers,
    ready: mpsc::Sender<io::Result<PeerStream>>,
    handshake: OwnedSemaphorePermit,
) {
    let from = tcp.peer_addr().ok();
    let limit = Duration::from_millis(limits::PEER_HANDSHAKE_TIMEOUT_MS);
    let stream = match timeout(limit, shake_hands(tcp, &peers)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(?from, %error, "a connection to the peer port failed");
            return;
        }
        Err(_) => {
            tracing::debug!(?from, "a TLS handshake on the peer port took too long");
            return;
        }
    };
    drop(handshake);
    // When the server has gone, so has the need for the connection.
    let _ = ready.send(Ok(stream)).await;
}

async fn shake_hands(tcp: TcpStream, peers: &Peers) -> io::Result<PeerStream> {
    tune(&tcp)?;
    let tls = TlsAcceptor::from(peers.tls().server()).accept(tcp).await?;
    let certificate = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| io::Error::other("the caller showed no certificate"))?;
    let key = tls::public_key_of(certificate).map_err(io::Error::other)?;
    let member = peers.member_by_key(&key);
    let slot = match peers.inbound().admit(&key, member) {
        Admission::Admitted(slot) => slot,
        Admission::Full => return Err(io::Error::other("too many connections of this caller")),
    };
    if member.is_none() {
        tokio::spawn(end_strangers_visit(
            peers.clone(),
            key.clone(),
            slot.cut().clone(),
        ));
    }
    Ok(PeerStream {
        io: tls,
        key: PeerKey(key),
        cut: Box::pin(slot.cut().clone().cancelled_owned()),
        _slot: slot,
    })
}

/// A stranger has come to join; whoever isn't a member after a while has to go.
async fn end_strangers_visit(peers: Peers, key: bytes::Bytes, cut: CancellationToken) {
    let limit = Duration::from_millis(limits::PEER_STRANGER_AGE_MS);
    if timeout(limit, cut.cancelled()).await.is_err() && peers.member_by_key(&key).is_none() {
        cut.cancel();
    }
}

/// A connection to the peer port, tagged with its key. It ends when it is cut.
pub(super) struct PeerStream {
    io: TlsStream<TcpStream>,
    key: PeerKey,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _slot: InboundSlot,
}

impl PeerStream {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerKey;

    fn connect_info(&self) -> PeerKey {
        self.key.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
