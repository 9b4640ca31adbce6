//! Outgoing connections: TCP, then TLS with a pinned key, then HTTP/2.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::{limits, tls};

/// Authority of every request on the peer port; where a channel leads is its own business.
const ORIGIN: &str = "http://tenure-peer";

/// A channel that connects when it is used.
pub(super) fn lazy_channel(address: String, config: Arc<ClientConfig>) -> Channel {
    let address: Arc<str> = address.into();
    Endpoint::from_static(ORIGIN)
        .http2_keep_alive_interval(Duration::from_millis(limits::PEER_KEEPALIVE_INTERVAL_MS))
        .keep_alive_timeout(Duration::from_millis(limits::PEER_KEEPALIVE_TIMEOUT_MS))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(limits::PEER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::PEER_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(limits::PEER_HEADER_LIST_BYTES_MAX)
        .connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (address, config) = (address.clone(), config.clone());
            async move { connect(&address, config).await.map(TokioIo::new) }
        }))
}

/// Connects once and tells which key the other side holds.
pub(super) async fn probe(address: &str, config: Arc<ClientConfig>) -> io::Result<Bytes> {
    let stream = connect(address, config).await?;
    let (_, session) = stream.get_ref();
    let certificate = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| io::Error::other("the peer showed no certificate"))?;
    tls::public_key_of(certificate).map_err(io::Error::other)
}

async fn connect(address: &str, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let limit = Duration::from_millis(limits::PEER_CONNECT_TIMEOUT_MS);
    let connecting = async {
        let tcp = TcpStream::connect(address).await?;
        tune(&tcp)?;
        let name = ServerName::try_from(tls::SERVER_NAME).map_err(io::Error::other)?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(tls::explain)
    };
    timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// No delay for small messages, and an early end for a connection whose data nobody
/// acknowledges.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(tcp, limits::PEER_KEEPALIVE_TIMEOUT_MS as u32)?;
    Ok(())
}
