//! Decides, per request and before any service sees it, whether its caller may make it.
//! The default is no: only `JoinService` is open to keys outside the membership.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tenure_proto::internal::join_service_server;
use tonic::{Status, body::Body, metadata::MetadataMap};
use tower::{Layer, Service};

use super::{PeerHandler, PeerIdentity, PeerKey};
use crate::{
    limits::FORMAT,
    peers::{CLUSTER_HEADER, FORMAT_HEADER, Peers},
};

/// Puts a [`Guard`] in front of all services of the peer port.
#[derive(Clone)]
pub(super) struct GuardLayer {
    peers: Peers,
    handler: Arc<dyn PeerHandler>,
}

impl GuardLayer {
    pub(super) fn new(peers: Peers, handler: Arc<dyn PeerHandler>) -> Self {
        Self { peers, handler }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            layer: self.clone(),
        }
    }
}

#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    layer: GuardLayer,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response<Body>, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.layer.check(&request) {
            Ok(identity) => {
                if let Some(identity) = identity {
                    request.extensions_mut().insert(identity);
                }
                Either::Right(self.inner.call(request))
            }
            Err(status) => Either::Left(ready(Ok(status.into_http()))),
        }
    }
}

impl GuardLayer {
    fn check(&self, request: &Request<Body>) -> Result<Option<PeerIdentity>, Status> {
        let Some(PeerKey(key)) = request.extensions().get::<PeerKey>() else {
            return Err(Status::unauthenticated("the connection has no proven key"));
        };
        let headers = MetadataMap::from_headers(request.headers().clone());
        check_format(&headers)?;
        let identity = self
            .peers
            .member_by_key(key)
            .map(|node_id| PeerIdentity { node_id });
        if is_join(request.uri().path()) {
            return Ok(identity);
        }
        if identity.is_none() {
            self.peers.note_refusal();
            return Err(Status::permission_denied(
                "this key belongs to no member of the cluster",
            ));
        }
        self.check_cluster(&headers)?;
        Ok(identity)
    }

    fn check_cluster(&self, headers: &MetadataMap) -> Result<(), Status> {
        let Some(own) = self.handler.cluster_id() else {
            return Err(Status::unavailable("this node belongs to no cluster yet"));
        };
        let theirs = headers
            .get_bin(CLUSTER_HEADER)
            .and_then(|value| value.to_bytes().ok());
        match theirs {
            Some(theirs) if theirs.as_ref() == own.as_slice() => Ok(()),
            Some(_) => Err(Status::failed_precondition(
                "the caller belongs to another cluster",
            )),
            None => Err(Status::failed_precondition(
                "the caller doesn't say which cluster it belongs to",
            )),
        }
    }
}

fn is_join(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(join_service_server::SERVICE_NAME))
        .is_some_and(|method| method.starts_with('/'))
}

fn check_format(headers: &MetadataMap) -> Result<(), Status> {
    let format = headers
        .get(FORMAT_HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u32>().ok());
    match format {
        Some(format) if (1..=FORMAT).contains(&format) => Ok(()),
        Some(format) => Err(Status::failed_precondition(format!(
            "the caller writes format {format}, this node reads 1 to {FORMAT}: \
             upgrade the older of the two"
        ))),
        None => Err(Status::failed_precondition(
            "the caller doesn't say which format it writes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn only_the_join_service_is_open_to_strangers() {
        for open in [
            "/tenure.internal.v1.JoinService/Join",
            "/tenure.internal.v1.JoinService/Challenge",
        ] {
            assert!(is_join(open), "{open}");
        }
        for closed in [
            "/tenure.internal.v1.RaftService/Append",
            "/tenure.internal.v1.JoinServiceX/Join",
            "/tenure.internal.v1.JoinService",
            "tenure.internal.v1.JoinService/Join",
            "//tenure.internal.v1.JoinService/Join",
            "/x/tenure.internal.v1.JoinService/Join",
            "/tenure.internal.v1.joinservice/Join",
            "",
        ] {
            assert!(!is_join(closed), "{closed}");
        }
    }

    #[test]
    fn a_newer_or_missing_format_is_refused() {
        let check = |format: Option<&'static str>| {
            let mut headers = MetadataMap::new();
            if let Some(format) = format {
                headers.insert(FORMAT_HEADER, format.parse().unwrap());
            }
            check_format(&headers)
        };
        check(Some("1")).unwrap();
        let newer = check(Some("2")).unwrap_err();
        assert_eq!(newer.code(), Code::FailedPrecondition);
        assert!(newer.message().contains("upgrade"), "{newer}");
        for bad in [None, Some("0"), Some(""), Some("-1"), Some("99999999999")] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
