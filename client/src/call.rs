//! How a call travels: which address, how long, again or not. It knows no service.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tonic::{
    Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use zeroize::Zeroizing;

use crate::{
    builder::Builder,
    error::{Error, REQUEST_ID},
    retry::{Effect, backoff, may_repeat},
    secret::Secret,
};

/// Sends a unary call by the `service` of the module, as [`Client::call`] does: to any node, or to
/// the `FirstNode`.
macro_rules! ask {
    ($client:expr, $effect:ident, $method:ident($request:expr)) => {
        ask!($client, Cluster, $effect, $method($request))
    };
    ($client:expr, $scope:ident, $effect:ident, $method:ident($request:expr)) => {
        $client.call(
            $crate::call::Scope::$scope,
            $crate::retry::Effect::$effect,
            $request,
            |channel, request| async move { service(channel).$method(request).await },
        )
    };
}
pub(crate) use ask;

/// A client of one cluster. Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct Client {
    nodes: Arc<Vec<Node>>,
    /// Index of the node that answered last.
    preferred: Arc<AtomicUsize>,
    pub(crate) settings: Settings,
}

pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) channel: Channel,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) token: Option<Arc<Secret>>,
    pub(crate) deadline: Duration,
    pub(crate) retry_window: Option<Duration>,
    pub(crate) read_attempt: Duration,
    /// The id of the last answer, where they are noted.
    pub(crate) request_id: Option<Arc<Mutex<Option<String>>>>,
}

/// Which nodes a call may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Any of them.
    Cluster,
    /// The first address: the call is about that very node.
    FirstNode,
}

impl Client {
    /// Starts a client.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(nodes: Vec<Node>, settings: Settings) -> Self {
        Self {
            nodes: Arc::new(nodes),
            preferred: Arc::new(AtomicUsize::new(0)),
            settings,
        }
    }

    /// The addresses, as given.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.address.as_str())
    }

    /// The same client for one of its addresses alone, such as to ask each node in turn for
    /// its seal status. Nothing when there is no such index.
    pub fn at(&self, index: usize) -> Option<Client> {
        let node = self.nodes.get(index)?;
        let node = Node {
            address: node.address.clone(),
            channel: node.channel.clone(),
        };
        Some(Self::new(vec![node], self.settings.clone()))
    }

    /// The same client with another token. Fails where the token can't be sent.
    pub fn with_token(&self, token: Secret) -> Result<Client, Error> {
        authorization(&token)?;
        let mut client = self.clone();
        client.settings.token = Some(Arc::new(token));
        Ok(client)
    }

    /// The same client without a token.
    pub fn without_token(&self) -> Client {
        let mut client = self.clone();
        client.settings.token = None;
        client
    }

    /// The same client with another deadline for its calls.
    pub fn with_deadline(&self, deadline: Duration) -> Client {
        let mut client = self.clone();
        client.settings.deadline = deadline;
        client
    }

    /// The same client with another limit on retries: see [`Builder::retry_window`].
    pub fn with_retry_window(&self, window: Duration) -> Client {
        let mut client = self.clone();
        client.settings.retry_window = Some(window);
        client
    }

    /// Sends a call until it is answered, refused, or out of time.
    pub(crate) async fn call<Q, A, F, R>(
        &self,
        scope: Scope,
        effect: Effect,
        message: Q,
        send: F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Fn(Channel, tonic::Request<Q>) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let start = Instant::now();
        let end = start + self.settings.deadline;
        let window = self.settings.retry_window.unwrap_or(self.settings.deadline);
        let last_start = (start + window).min(end);
        let (first, count) = match scope {
            Scope::Cluster => (self.preferred.load(Ordering::Relaxed), self.nodes.len()),
            Scope::FirstNode => (0, 1),
        };
        let mut attempt = 0;
        let mut last_failure: Option<Error> = None;
        loop {
            let index = (first + attempt) % count;
            // The index is below the number of nodes: `count` is that, or 1.
            let Some(node) = self.nodes.get(index) else {
                return Err(Error::config("no address given"));
            };
            let left = end.saturating_duration_since(Instant::now());
            // An earlier answer says more than "too late" does.
            if left.is_zero() {
                let late = || Error::deadline(self.settings.deadline, &node.address);
                return Err(last_failure.unwrap_or_else(late));
            }
            let limit = match effect {
                Effect::Repeatable => left.min(self.settings.read_attempt),
                Effect::Once => left,
            };
            let request = self.request(message.clone(), limit)?;
            let error = match timeout(limit, send(node.channel.clone(), request)).await {
                Ok(Ok(answer)) => {
                    if scope == Scope::Cluster {
                        self.preferred.store(index, Ordering::Relaxed);
                    }
                    self.note(&answer);
                    return Ok(answer.into_inner());
                }
                Ok(Err(status)) => Error::from_status(&status, &node.address),
                Err(_) => Error::deadline(limit, &node.address),
            };
            if !may_repeat(effect, &error) {
                return Err(error);
            }
            attempt += 1;
            // The next address is asked at once; a wait comes after a round over all.
            if attempt % count == 0 {
                let round = u32::try_from(attempt / count - 1).unwrap_or(u32::MAX);
                let next = Instant::now() + backoff(round);
                if next >= last_start {
                    return Err(error);
                }
                sleep_until(next).await;
            }
            last_failure = Some(error);
        }
    }

    /// How long a call may take, retries included.
    pub(crate) fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// The next call or stream begins at the next address.
    pub(crate) fn prefer_next(&self) {
        let next = (self.preferred.load(Ordering::Relaxed) + 1) % self.nodes.len().max(1);
        self.preferred.store(next, Ordering::Relaxed);
    }

    /// Opens a stream at the address that served last, and says which that is. A stream has no
    /// deadline; its head has.
    pub(crate) async fn open<A, F, R>(&self, open: F) -> Result<(A, String), Error>
    where
        F: FnOnce(Channel, Sign) -> R,
        R: Future<Output = Result<Response<A>, Status>>,
    {
        let index = self.preferred.load(Ordering::Relaxed) % self.nodes.len().max(1);
        let Some(node) = self.nodes.get(index) else {
            return Err(Error::config("no address given"));
        };
        let limit = self.settings.read_attempt.min(self.settings.deadline);
        let sign = Sign(self.settings.token.clone());
        match timeout(limit, open(node.channel.clone(), sign)).await {
            Ok(Ok(answer)) => Ok((answer.into_inner(), node.address.clone())),
            Ok(Err(status)) => Err(Error::from_status(&status, &node.address)),
            Err(_) => Err(Error::deadline(limit, &node.address)),
        }
    }

    /// The id under which the server logged the request that was answered last, through
    /// this client or a clone of it. Only where [`Builder::note_request_ids`] was asked for.
    pub fn last_request_id(&self) -> Option<String> {
        let slot = self.settings.request_id.as_ref()?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note<A>(&self, answer: &Response<A>) {
        let Some(slot) = &self.settings.request_id else {
            return;
        };
        let id = answer.metadata().get(REQUEST_ID);
        let id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    fn request<Q>(&self, message: Q, limit: Duration) -> Result<tonic::Request<Q>, Error> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(limit);
        if let Some(token) = &self.settings.token {
            request
                .metadata_mut()
                .insert("authorization", authorization(token)?);
        }
        Ok(request)
    }
}

/// Puts the token on the request that opens a stream.
pub(crate) struct Sign(Option<Arc<Secret>>);

impl Sign {
    pub(crate) fn request<Q>(self, message: Q) -> Result<tonic::Request<Q>, Status> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.0 {
            // It was tried when the client was made.
            let value = authorization(token).map_err(|_| Status::invalid_argument("the token"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("addresses", &self.addresses().collect::<Vec<_>>())
            .field("token", &self.settings.token)
            .field("deadline", &self.settings.deadline)
            .finish_non_exhaustive()
    }
}

/// The metadata value that carries a token, marked so that no log of the transport shows
/// it and no header table keeps it.
pub(crate) fn authorization(token: &Secret) -> Result<MetadataValue<Ascii>, Error> {
    let printable = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || !printable {
        return Err(Error::config(
            "the token is empty or holds characters that no token has",
        ));
    }
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = MetadataValue::try_from(text.as_str())
        .map_err(|_| Error::config("the token can't be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
