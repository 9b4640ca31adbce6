//! Puts a [`Client`] together. It opens no connection: that happens with the first call.

use std::{fmt, sync::Arc, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::{
    call::{Client, Node, Settings, authorization},
    error::Error,
    limits::{
        CONNECT_TIMEOUT_MS, DEADLINE_MS, KEEP_ALIVE_INTERVAL_MS, KEEP_ALIVE_TIMEOUT_MS,
        READ_ATTEMPT_MS,
    },
    secret::Secret,
};

/// The name that the client gives itself.
const USER_AGENT: &str = concat!("tenure-client/", env!("CARGO_PKG_VERSION"));

/// What a [`Client`] is made from. A server's certificate is always verified: there is no
/// option to skip it.
#[derive(Clone)]
pub struct Builder {
    addresses: Vec<String>,
    ca_pem: Option<Vec<u8>>,
    tls_server_name: Option<String>,
    token: Option<Secret>,
    deadline: Duration,
    retry_window: Option<Duration>,
    read_attempt: Duration,
    connect_timeout: Duration,
    note_request_ids: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            addresses: Vec::new(),
            ca_pem: None,
            tls_server_name: None,
            token: None,
            deadline: Duration::from_millis(DEADLINE_MS),
            retry_window: None,
            read_attempt: Duration::from_millis(READ_ATTEMPT_MS),
            connect_timeout: Duration::from_millis(CONNECT_TIMEOUT_MS),
            note_request_ids: false,
        }
    }

    /// Adds an address: `https://host:port`, or `http://host:port` for plain text.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Adds addresses. The first one is asked first.
    #[must_use]
    pub fn addresses<I>(mut self, addresses: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.addresses.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// Trusts these certificates (PEM, one or several), and no others. Without it, the
    /// system's.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Expects this name in the servers' certificates, instead of the address's host.
    #[must_use]
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.tls_server_name = Some(name.into());
        self
    }

    /// Sends this token with every call.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// How long a call may take, retries included. 10 s without it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long after its start a call may still begin another round over the addresses.
    /// Without it, as long as its deadline hasn't passed. Zero: each address is asked once.
    #[must_use]
    pub fn retry_window(mut self, window: Duration) -> Self {
        self.retry_window = Some(window);
        self
    }

    /// How long one node may take over a read before another one is asked. 3 s without it.
    #[must_use]
    pub fn read_attempt(mut self, attempt: Duration) -> Self {
        self.read_attempt = attempt;
        self
    }

    /// How long opening a connection may take, TLS included. 2 s without it.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Notes the request id of each answer, for [`Client::last_request_id`].
    #[must_use]
    pub fn note_request_ids(mut self) -> Self {
        self.note_request_ids = true;
        self
    }

    /// Makes the client. Fails on an address, a certificate or a token that can't be.
    /// Must be called within a tokio runtime.
    pub fn build(self) -> Result<Client, Error> {
        if self.addresses.is_empty() {
            return Err(Error::config("no address given"));
        }
        if let Some(token) = &self.token {
            authorization(token)?;
        }
        let nodes = self
            .addresses
            .iter()
            .map(|address| self.node(address))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Client::new(
            nodes,
            Settings {
                token: self.token.map(Arc::new),
                deadline: self.deadline,
                retry_window: self.retry_window,
                read_attempt: self.read_attempt,
                request_id: self.note_request_ids.then(Arc::default),
            },
        ))
    }

    fn node(&self, address: &str) -> Result<Node, Error> {
        let bad = |why: &str| Error::config(format!("address {address:?}: {why}"));
        let uri: http::Uri = address
            .parse()
            .map_err(|_| bad("not a URL (https://host:port)"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(bad("no host"));
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err(bad("has a path"));
        }
        // User names and passwords have no use here, and would show in error messages.
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(Error::config("an address holds a user name"));
        }
        // http's parser takes any text for a port, and then has none.
        let host_alone = uri.authority().map(|authority| authority.as_str()) == uri.host();
        if !host_alone && uri.port_u16().is_none() {
            return Err(bad("the port isn't a number up to 65535"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad("neither https:// nor http://")),
        };
        let mut endpoint = Endpoint::from(uri)
            .user_agent(USER_AGENT)
            .map_err(|error| bad(&error.to_string()))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_millis(KEEP_ALIVE_INTERVAL_MS))
            .keep_alive_timeout(Duration::from_millis(KEEP_ALIVE_TIMEOUT_MS));
        if tls {
            endpoint = endpoint
                .tls_config(self.tls_config()?)
                .map_err(|error| bad(&with_sources(&error)))?;
        }
        Ok(Node {
            address: address.trim_end_matches('/').to_owned(),
            channel: endpoint.connect_lazy(),
        })
    }

    fn tls_config(&self) -> Result<ClientTlsConfig, Error> {
        // `connect_timeout` covers the TCP connection alone.
        let mut config = ClientTlsConfig::new().timeout(self.connect_timeout);
        config = match &self.ca_pem {
            Some(pem) => {
                if !pem
                    .windows(PEM_HEADER.len())
                    .any(|window| window == PEM_HEADER)
                {
                    return Err(Error::config("the CA certificate isn't PEM"));
                }
                config.ca_certificate(Certificate::from_pem(pem))
            }
            None => config.with_native_roots(),
        };
        if let Some(name) = &self.tls_server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

/// What every PEM certificate begins with.
const PEM_HEADER: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("addresses", &self.addresses)
            .field("token", &self.token)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message.push_str(": ");
        message.push_str(&error.to_string());
        source = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn bad_input_is_refused_before_any_call() {
        for address in [
            "",
            "host:8200",
            "ftp://host:8200",
            "https://",
            "https://host:8200/v1",
            "https://user:pass@host:8200",
            "http://host:port",
            "http://host:",
            "http://host:70000",
        ] {
            let error = Client::builder().address(address).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{address}");
            assert!(!error.to_string().contains("pass"), "{address}");
        }
        assert!(Client::builder().build().is_err());
        let error = Client::builder()
            .address("http://127.0.0.1:1")
            .token(Secret::new("canary\n"))
            .build()
            .unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"));
        assert!(
            Client::builder()
                .address("https://127.0.0.1:1")
                .ca_pem("not pem")
                .build()
                .is_err()
        );
    }

    #[tokio::test]
    async fn debug_does_not_show_the_token() {
        let builder = Client::builder()
            .address("http://127.0.0.1:1")
            .token(Secret::new("hvs.canary"));
        assert!(!format!("{builder:?}").contains("canary"));
        let client = builder.build().unwrap();
        let shown = format!("{client:?} {client:#?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("127.0.0.1:1"), "{shown}");
    }
}
