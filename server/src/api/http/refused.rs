//! A request that is no call: a path that nothing serves, an operation that a path doesn't offer, a
//! field that can't be read. It is still somebody's request: it goes through the pipeline, so that
//! a sealed node says that it is sealed, a stranger learns nothing but that it is one, and a
//! use-limited token pays for it. It changes nothing and never succeeds.

use std::borrow::Cow;

use super::HttpCall;
use crate::{
    api::Logical,
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};
use tonic::Code;

/// Reasons that it can have: a standby passes it on by name.
const REASONS: [&str; 6] = [
    "INVALID_ARGUMENT",
    "NO_ROUTE",
    "UNSUPPORTED_OPERATION",
    "NOT_OFFERED",
    "SECRET_NOT_FOUND",
    "UNSUPPORTED_MEDIA_TYPE",
];

/// The request, with what its caller is told once it is known who that is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// One of `REASONS`.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// Its path, as far as it has one.
    #[prost(string, tag = "4")]
    pub path: String,
}

impl Logical for Refused {
    fn path(&self) -> Cow<'_, str> {
        self.path.as_str().into()
    }
}

impl Refused {
    /// A request that ends with this error.
    pub fn with(error: &Error) -> Self {
        Self {
            code: error.code.into(),
            reason: error.reason.to_owned(),
            message: error.message.clone(),
            path: String::new(),
        }
    }

    /// Nothing serves this path.
    pub fn no_route() -> Self {
        let message = "no handler for route";
        Self::with(&Error::new(Code::NotFound, "NO_ROUTE", message))
    }

    /// The path offers other operations.
    pub fn unsupported_operation() -> Self {
        let message = "unsupported operation";
        Self::with(&Error::new(
            Code::Unimplemented,
            "UNSUPPORTED_OPERATION",
            message,
        ))
    }
}

impl Call for Refused {
    const METHOD: &'static str = "/tenure.internal.v1.Http/Refuse";
    const ACCESS: Access = Access::Read;
    type Answer = ();

    fn plan(&self, _scope: &Scope<'_>) -> Result<Planned<()>, Error> {
        let known = REASONS.into_iter().find(|known| *known == self.reason);
        Err(Error::new(
            Code::from_i32(self.code),
            known.unwrap_or(REASONS[0]),
            self.message.clone(),
        ))
    }
}

/// It has no route: it is what becomes of a request that has none.
impl HttpCall for Refused {}
