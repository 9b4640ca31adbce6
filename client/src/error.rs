//! What a call can end with. It must never hold a secret: messages come from the server,
//! which has the same rule, or from the transport, which doesn't know our fields.

use std::{collections::BTreeMap, error::Error as StdError, fmt, time::Duration};

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::retry::{Effect, may_repeat};

/// The domain of our error details.
const DOMAIN: &str = "tenure";
/// Where an answer carries the id under which the server logged the request.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// The key of the error details that says whether the call was carried out.
const APPLIED: &str = "applied";

/// Where an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client can't be used like this: an address, a certificate, a value.
    Config,
    /// The call was never sent: no connection.
    Connect,
    /// The connection broke while the call was under way.
    Transport,
    /// The deadline passed.
    Deadline,
    /// The server answered, and said no.
    Server,
    /// The server answered something that its contract doesn't allow.
    Protocol,
}

/// Whether a call that failed may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It had none.
    No,
    /// It may have had.
    Maybe,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct Error(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    kind: ErrorKind,
    code: Code,
    reason: Option<String>,
    message: String,
    applied: Applied,
    metadata: BTreeMap<String, String>,
    address: Option<String>,
    request_id: Option<String>,
}

impl Error {
    /// Where it comes from.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The gRPC code; for errors of the client's own, the one that fits.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The server's stable name of the reason, such as `SEALED`.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Whether events that a watch asks for are gone: list the leases, and watch from behind the
    /// revision of the first page.
    pub fn is_compacted(&self) -> bool {
        self.reason() == Some("COMPACTED")
    }

    /// Whether the same call may be answered another time or by another node: the cluster can't be
    /// reached or has no active node for now, or a rate limit asks to wait. (Not whether a change may be
    /// sent again: see [`Error::applied`].)
    pub fn is_transient(&self) -> bool {
        may_repeat(Effect::Repeatable, self) || self.reason() == Some("RATE_LIMITED")
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the call may have had an effect.
    pub fn applied(&self) -> Applied {
        self.0.applied
    }

    /// What else the server's details say.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// The address that the call was sent to last.
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// The id under which the server logged the request.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::local(
            ErrorKind::Config,
            Code::InvalidArgument,
            message,
            Applied::No,
        )
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::local(ErrorKind::Protocol, Code::Internal, message, Applied::Maybe)
    }

    /// What a server said of one of many.
    pub(crate) fn of_reason(reason: &str, message: &str) -> Self {
        let code = match reason {
            "PERMISSION_DENIED" => Code::PermissionDenied,
            _ => Code::FailedPrecondition,
        };
        let mut error = Self::local(ErrorKind::Server, code, message, Applied::No);
        error.0.reason = Some(reason.to_owned());
        error
    }

    /// `waited` is over, for one attempt or for the whole call.
    pub(crate) fn deadline(waited: Duration, address: &str) -> Self {
        let message = format!("no answer within {} ms", waited.as_millis());
        let mut error = Self::local(
            ErrorKind::Deadline,
            Code::DeadlineExceeded,
            message,
            Applied::Maybe,
        );
        error.0.address = Some(address.to_owned());
        error
    }

    fn local(kind: ErrorKind, code: Code, message: impl Into<String>, applied: Applied) -> Self {
        Self(Box::new(Facts {
            kind,
            code,
            reason: None,
            message: message.into(),
            applied,
            metadata: BTreeMap::new(),
            address: None,
            request_id: None,
        }))
    }

    /// Sorts a status: some come from the server, some are made by the transport, and those
    /// have a source.
    pub(crate) fn from_status(status: &Status, address: &str) -> Self {
        let mut error = match transport_failure(status) {
            Some((kind, code, applied)) => Self::local(kind, code, chain(status), applied),
            None => Self::from_server(status),
        };
        error.0.address = Some(address.to_owned());
        error
    }

    fn from_server(status: &Status) -> Self {
        let code = status.code();
        let mut error = Self::local(
            ErrorKind::Server,
            code,
            status.message(),
            if had_no_effect(code) {
                Applied::No
            } else {
                Applied::Maybe
            },
        );
        let id = status.metadata().get(REQUEST_ID);
        error.0.request_id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let details = status.get_error_details();
        let Some(info) = details.error_info().filter(|info| info.domain == DOMAIN) else {
            return error;
        };
        error.0.reason = Some(info.reason.clone());
        match info.metadata.get(APPLIED).map(String::as_str) {
            Some("no") => error.0.applied = Applied::No,
            Some("maybe") => error.0.applied = Applied::Maybe,
            _ => {}
        }
        error.0.metadata = info
            .metadata
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self.0.message.as_str() {
            "" => self.0.code.description(),
            message => message,
        };
        f.write_str(message)?;
        if let Some(reason) = &self.0.reason {
            write!(f, " ({reason})")?;
        }
        if let Some(address) = &self.0.address {
            write!(f, " [{address}]")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, " request id {id}")?;
        }
        Ok(())
    }
}

impl StdError for Error {}

/// Codes that a server gives before it does anything.
fn had_no_effect(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated
    )
}

/// What the transport itself says, or nothing when the status is the server's.
fn transport_failure(status: &Status) -> Option<(ErrorKind, Code, Applied)> {
    let mut source = status.source();
    let mut local = None;
    while let Some(error) = source {
        if error.is::<ConnectError>() || never_sent(error) {
            return Some((ErrorKind::Connect, Code::Unavailable, Applied::No));
        }
        if error.is::<TimeoutExpired>() {
            return Some((ErrorKind::Deadline, Code::DeadlineExceeded, Applied::Maybe));
        }
        local = Some((ErrorKind::Transport, Code::Unavailable, Applied::Maybe));
        source = error.source();
    }
    local
}

/// hyper hands a request back as cancelled when its connection ended before taking it.
fn never_sent(error: &(dyn StdError + 'static)) -> bool {
    error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_canceled)
}

/// The causes in one line: the transport's own message says only "transport error".
fn chain(status: &Status) -> String {
    let mut message = String::new();
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if text != "transport error" && !message.contains(&text) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&text);
        }
        source = error.source();
    }
    if message.is_empty() {
        status.message().to_owned()
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, domain: &str, applied: Option<&str>) -> Status {
        let metadata: HashMap<String, String> = applied
            .map(|value| (APPLIED.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let details = ErrorDetails::with_error_info("SEALED", domain, metadata);
        Status::with_error_details(code, "the node is sealed", details)
    }

    #[test]
    fn details_of_our_domain_count() {
        let error = Error::from_status(
            &status(Code::Unavailable, "tenure", Some("no")),
            "https://a:1",
        );
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(error.reason(), Some("SEALED"));
        assert_eq!(error.applied(), Applied::No);
        assert_eq!(
            error.to_string(),
            "the node is sealed (SEALED) [https://a:1]"
        );
    }

    #[test]
    fn a_rate_limit_passes_and_a_full_quota_does_not() {
        let refused = |reason: &str| {
            let details = ErrorDetails::with_error_info(reason, "tenure", HashMap::new());
            let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
            Error::from_status(&status, "a").is_transient()
        };
        assert!(refused("RATE_LIMITED") && !refused("QUOTA_EXCEEDED"));
    }

    #[test]
    fn the_servers_request_id_is_kept() {
        let mut status = Status::permission_denied("no");
        status
            .metadata_mut()
            .insert("x-request-id", "5f2e".parse().unwrap());
        let error = Error::from_status(&status, "a");
        assert_eq!(error.request_id(), Some("5f2e"));
        assert_eq!(error.to_string(), "no [a] request id 5f2e");
    }

    #[test]
    fn details_of_another_domain_do_not() {
        let error = Error::from_status(&status(Code::Unavailable, "proxy", Some("no")), "a");
        assert_eq!(error.reason(), None);
        assert_eq!(error.applied(), Applied::Maybe);
    }

    #[test]
    fn without_details_the_code_decides() {
        let refused = Error::from_status(&Status::permission_denied("no"), "a");
        assert_eq!(refused.applied(), Applied::No);
        let broken = Error::from_status(&Status::internal("oh"), "a");
        assert_eq!(broken.applied(), Applied::Maybe);
    }

    #[test]
    fn garbage_in_the_details_is_no_panic() {
        let status = Status::with_details(Code::Unavailable, "x", vec![0xff; 9].into());
        assert_eq!(Error::from_status(&status, "a").reason(), None);
    }
}
