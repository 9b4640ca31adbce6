//! The Vault-compatible `/v1`: JSON over HTTP, the same calls through the same pipeline. One file a
//! group says how its calls are read and answered; nothing here decides on a token or a right.

mod backup;
mod body;
mod cluster;
mod envelope;
mod error;
mod generate_root;
mod json;
mod keys;
mod leases;
mod logical;
mod metrics;
mod mounts;
mod part;
mod policies;
mod quotas;
mod refused;
mod rotate;
mod route;
mod sys;
mod token;
mod token_roles;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header::CONTENT_TYPE,
    uri::PathAndQuery,
};
use tenure_proto::v1;
use tonic::{Code, Extensions, Status, body::Body, metadata::MetadataMap};

use self::{
    body::{Fields, Input, Pairs, not_offered},
    envelope::Reply,
    error::refused,
    part::Part,
    route::{Entry, Found, Operation, Route},
};
pub use self::{
    error::refusal_reply,
    refused::Refused,
    route::{pattern_of, patterns},
};
use super::{calls::calls, grpc::Services};
use crate::{
    error::Error,
    listen::RequestId,
    pipeline::{Call, Context, Manner, Opening},
};

/// How a call is spoken over HTTP. A call without routes is not offered there.
pub trait HttpCall: Call {
    /// The operations that are this call.
    const ROUTES: &'static [Route] = &[];
    /// Whether it takes the body as it is, and not field by field.
    const TAKES_BYTES: bool = false;

    /// Makes the call of a request. Only reads: what it means, and whether it may be, is decided
    /// in the pipeline.
    ///
    /// # Errors
    /// A field that can't be read; the caller learns it once it is known.
    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Err(not_offered("calls without a route"))
    }

    /// Makes the reply of an answer.
    fn to_reply(_answer: Self::Answer, _input: &Input) -> Reply {
        Reply::done()
    }
}

/// A reply to come.
pub type Replying = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;
/// What serves a route.
#[derive(Clone, Copy)]
pub enum Handler {
    /// A call of the pipeline.
    Call(fn(Arc<Services>, Caller, Input) -> Replying),
    /// A call of the pipeline that takes the body as it is.
    CallWithBytes(fn(Arc<Services>, Caller, Input) -> Replying),
    /// What needs no token.
    Open(fn(Arc<Services>, Caller, Input) -> Replying),
    /// What reads or answers with a file.
    Streamed(backup::Streamed),
}

/// Who sent a request: its headers, and what the edge knows of its connection.
#[derive(Clone)]
pub struct Caller {
    metadata: MetadataMap,
    extensions: Extensions,
    /// The path of its request, under `/v1/`.
    path: String,
}

impl Caller {
    /// Whether a call of this kind needs no token on this listener.
    fn opens(&self, opening: Option<Opening>) -> bool {
        let context = Context::of(&self.request(()), Manner::default());
        context.is_ok_and(|context| context.opens(opening))
    }

    /// How its calls are served: over HTTP a list can't be asked for in pages.
    fn manner(&self) -> Manner {
        let stays = self.metadata.get("x-vault-no-request-forwarding");
        Manner {
            whole: true,
            stays: stays.is_some_and(|value| !value.is_empty()),
        }
    }

    /// The call as the pipeline takes it.
    fn request<C>(&self, call: C) -> tonic::Request<C> {
        tonic::Request::from_parts(self.metadata.clone(), self.extensions.clone(), call)
    }
}

/// The routes of all calls, and those that need no token.
macro_rules! routes_of_calls {
    ($($call:ty),* $(,)?) => {
        fn routes() -> Vec<Entry> {
            let mut entries = Vec::new();
            $(for route in <$call as HttpCall>::ROUTES {
                let handler = match <$call as HttpCall>::TAKES_BYTES {
                    false => Handler::Call(serve_boxed::<$call>),
                    true => Handler::CallWithBytes(serve_boxed::<$call>),
                };
                entries.push(Entry { route: *route, handler });
            })*
            for (route, handler) in sys::OPEN {
                entries.push(Entry { route, handler: Handler::Open(handler) });
            }
            for (route, handler) in backup::STREAMED {
                entries.push(Entry { route, handler: Handler::Streamed(handler) });
            }
            entries
        }
    };
}

calls!(routes_of_calls);

fn serve_boxed<C: HttpCall>(services: Arc<Services>, caller: Caller, input: Input) -> Replying {
    Box::pin(serve::<C>(services, caller, input))
}

/// Serves one call.
async fn serve<C: HttpCall>(
    services: Arc<Services>,
    caller: Caller,
    mut input: Input,
) -> Result<Reply, Status> {
    let call = match C::from_http(&mut input) {
        Ok(call) => call,
        // Whoever may make the call without a token may learn what is wrong with it.
        Err(error) if caller.opens(C::OPENING) && !services.pipeline.keys.is_sealed() => {
            return Err(error.into());
        }
        Err(error) => return refuse(&services, &caller, Refused::with(&error)).await,
    };
    let answer = services
        .pipeline
        .call_in(caller.request(call), caller.manner());
    let (headers, answer, _) = answer.await?.into_parts();
    let mut reply = C::to_reply(answer, &input);
    reply.tell(&headers);
    if let Some(warning) = input.fields.left() {
        reply.warn(warning);
    }
    Ok(reply)
}

/// Refuses in the name of the pipeline: who asks is found out first.
async fn refuse(services: &Services, caller: &Caller, call: Refused) -> Result<Reply, Status> {
    let call = Refused {
        path: caller.path.clone(),
        ..call
    };
    services.pipeline.call(caller.request(call)).await?;
    Err(Error::internal("a refused request succeeded").into())
}

/// Answers one request.
pub async fn answer(services: Arc<Services>, request: Request<Body>) -> Response<Body> {
    let id = request.extensions().get::<RequestId>().copied();
    let is_head = request.method() == Method::HEAD;
    let pattern = pattern_of(request.uri().path());
    let uri = request.uri().clone();
    let reply = match dispatch(Arc::clone(&services), request).await {
        Ok(reply) => reply,
        Err(status) => match error::is_elsewhere(&status).then(|| elsewhere(&services, &uri)) {
            Some(Some(reply)) => reply,
            _ => refused(&status, pattern),
        },
    };
    let reply = if is_head { reply.without_body() } else { reply };
    reply.into_response(id)
}

/// The same request at the active node, if one is known: for whom a standby doesn't pass it on.
fn elsewhere(services: &Services, uri: &Uri) -> Option<Reply> {
    let members = services.pipeline.node.status()?.members;
    let active = members.into_iter().find(|known| known.leader)?;
    let base = active.member.api_address;
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let location = [base.trim_end_matches('/'), path].concat();
    HeaderValue::from_str(&location).ok().map(Reply::elsewhere)
}

async fn dispatch(services: Arc<Services>, request: Request<Body>) -> Result<Reply, Status> {
    let (parts, body) = request.into_parts();
    let uri = &parts.uri;
    if !route::is_ours(uri.path()) {
        let (status, code) = (StatusCode::NOT_FOUND, Code::NotFound);
        return Ok(Reply::error(status, code, "the API is under /v1"));
    }
    let query = Pairs::of_query(uri.query().unwrap_or_default())?;
    let Some(operation) = route::operation(&parts.method, query.is_true("list")) else {
        return Ok(no_such_verb(&parts.method));
    };
    let path = route::canonical(uri.path())?;
    other_namespace(&parts.headers)?;
    let caller = Caller {
        metadata: MetadataMap::from_headers(parts.headers.clone()),
        extensions: parts.extensions,
        path: path.strip_prefix("/v1/").unwrap_or(&path).to_owned(),
    };
    if let Found::Route(entry, _) = route::find(operation, &path)
        && let Handler::Streamed(handler) = entry.handler
    {
        return handler(services, caller, body).await;
    }
    // All of it, whatever becomes of it: many clients send the whole body before they read.
    let bytes = match operation {
        Operation::Write | Operation::Patch => body::read(body).await?,
        _ => Bytes::new(),
    };
    if operation == Operation::Write && path.ends_with('/') {
        let error = Error::invalid_argument("a path that is written to can't end in a slash");
        return refuse(&services, &caller, Refused::with(&error)).await;
    }
    let (entry, captures) = match route::find(operation, &path) {
        Found::Route(entry, captures) => (entry, captures),
        Found::OtherOperations if operation == Operation::Head => {
            return Ok(no_such_verb(&parts.method));
        }
        Found::OtherOperations => {
            return refuse(&services, &caller, Refused::unsupported_operation()).await;
        }
        Found::Nothing => return refuse(&services, &caller, Refused::no_route()).await,
    };
    let content_type = parts.headers.get(CONTENT_TYPE).cloned();
    let fields = match entry.handler {
        Handler::CallWithBytes(_) => Ok(Fields::default()),
        _ => Fields::of_body(content_type.as_ref(), &bytes),
    };
    let input = |fields| Input {
        pattern: entry.route.pattern,
        captures,
        query,
        fields,
        bytes,
        content_type,
        own_token: own_token(&caller),
        is_async: false,
        part: Part::default(),
    };
    match (entry.handler, fields) {
        (Handler::Open(handler), fields) => handler(services, caller.clone(), input(fields?)).await,
        (Handler::Call(handler) | Handler::CallWithBytes(handler), Ok(fields)) => {
            match wrapped(&parts.headers) {
                Ok(()) => handler(services, caller.clone(), input(fields)).await,
                Err(error) => refuse(&services, &caller, Refused::with(&error)).await,
            }
        }
        // Served above: its body is no message.
        (Handler::Streamed(_), Ok(_)) => {
            refuse(&services, &caller, Refused::unsupported_operation()).await
        }
        (_, Err(error)) => refuse(&services, &caller, Refused::with(&error)).await,
    }
}

fn no_such_verb(verb: &Method) -> Reply {
    let (status, message) = match verb.as_str() {
        // The peers say so while no origin may call them from a browser.
        "OPTIONS" => (StatusCode::BAD_REQUEST, "CORS is not offered"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "unsupported operation"),
    };
    Reply::error(status, Code::Unimplemented, message)
}

/// There is one namespace: another one is never taken for it.
fn other_namespace(headers: &HeaderMap) -> Result<(), Error> {
    let asked = headers.get_all("x-vault-namespace");
    let is_root = |name: &[u8]| name.iter().all(|byte| matches!(byte, b'/' | b' '));
    if asked.iter().all(|name| is_root(name.as_bytes())) {
        return Ok(());
    }
    let message = "there are no namespaces: leave X-Vault-Namespace out";
    Err(Error::new(Code::NotFound, "NO_NAMESPACE", message))
}

/// Who asks for a wrapped answer must not be given a bare one.
fn wrapped(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get("x-vault-wrap-ttl").map(|ttl| ttl.as_bytes()) {
        None | Some(b"" | b"0" | b"0s") => Ok(()),
        Some(_) => Err(not_offered("wrapped answers")),
    }
}

/// The token that the headers show, as the pipeline reads it.
fn own_token(caller: &Caller) -> Option<String> {
    let context = Context::of(&caller.request(()), Manner::default()).ok()?;
    Some(context.token().ok()?.expose().to_owned())
}

/// Seconds of a duration on the wire; 0 if there is none, as the peers write "without end".
fn seconds(duration: Option<&prost_types::Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds)
}

/// A list that the peers leave `null` when it is empty, or an object.
fn null_if_empty(value: serde_json::Value) -> serde_json::Value {
    let is_empty = match &value {
        serde_json::Value::Object(map) => map.is_empty(),
        serde_json::Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if is_empty {
        serde_json::Value::Null
    } else {
        value
    }
}

/// A time as text, or `null`.
fn time(at: Option<&prost_types::Timestamp>) -> serde_json::Value {
    at.map_or(serde_json::Value::Null, |at| at.to_string().into())
}

/// Uses left, as the peers write them: 0 is unlimited, -1 the last use while it is served.
fn num_uses(uses: Option<u32>) -> i64 {
    match uses {
        None => 0,
        Some(0) => -1,
        Some(uses) => uses.into(),
    }
}

#[cfg(test)]
mod tests;
