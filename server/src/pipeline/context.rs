//! Who calls, from where, and until when. Identity is the token alone.

use std::net::IpAddr;

use bytes::Bytes;
use tenure_core::types::TokenId;
use tokio::time::Instant;
use tonic::{Request, metadata::MetadataMap};

use super::Opening;
use crate::{
    config::OpenCalls,
    error::Error,
    listen::{Deadline, RequestId},
    seal::address_of,
};

/// What a call carries beside its message.
pub struct Context {
    token: Option<TokenId>,
    /// Until when the caller waits.
    pub deadline: Instant,
    /// Address and port of the caller, also where a standby passed the call on: for the audit, and
    /// for tokens that are bound to networks.
    pub remote: String,
    /// Id of the request, as it is in the logs.
    pub trace_id: String,
    /// Whether a standby passed it on: then it isn't passed on again.
    pub forwarded: bool,
    /// Calls that the listener takes from callers without a token, too.
    pub open_calls: OpenCalls,
    /// How it is to be served.
    pub manner: Manner,
}

/// How a call is to be served, beside what it says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// All pages of a list as one answer: one use of the token, and one state.
    pub whole: bool,
    /// By this node or not at all: a standby that would have to pass it on refuses.
    pub stays: bool,
}

impl Context {
    /// Reads what a client's request carries.
    ///
    /// # Errors
    /// A token that can't be one.
    pub fn of<T>(request: &Request<T>, manner: Manner) -> Result<Self, Error> {
        let extensions = request.extensions();
        let remote = request
            .remote_addr()
            .map_or_else(String::new, |address| address.to_string());
        let trace_id = extensions
            .get::<RequestId>()
            .map_or_else(String::new, ToString::to_string);
        Ok(Self {
            token: token_of(request.metadata())?,
            // The edge gives every request one.
            deadline: extensions
                .get::<Deadline>()
                .map_or_else(Instant::now, |deadline| deadline.0),
            remote,
            trace_id,
            forwarded: false,
            manner,
            open_calls: extensions.get().copied().unwrap_or_default(),
        })
    }

    /// What a standby passed on.
    ///
    /// # Errors
    /// A token that can't be one.
    pub fn forwarded(
        token: &[u8],
        remote: String,
        trace_id: String,
        deadline: Instant,
        whole: bool,
        open_calls: OpenCalls,
    ) -> Result<Self, Error> {
        let token = match token {
            [] => None,
            bytes => Some(parse(
                std::str::from_utf8(bytes).map_err(|_| Error::invalid_token())?,
            )?),
        };
        Ok(Self {
            token,
            deadline,
            remote,
            trace_id,
            forwarded: true,
            manner: Manner {
                whole,
                stays: false,
            },
            open_calls,
        })
    }

    /// The caller's token.
    ///
    /// # Errors
    /// None was shown.
    pub fn token(&self) -> Result<&TokenId, Error> {
        self.token.as_ref().ok_or_else(Error::invalid_token)
    }

    /// Where the caller calls from: what its token may be bound to. `None` for what isn't an address.
    pub fn address(&self) -> Option<IpAddr> {
        address_of(&self.remote)
    }

    /// Whether a call of this kind needs no token here.
    pub fn opens(&self, opening: Option<Opening>) -> bool {
        match opening {
            None => false,
            Some(Opening::Rekey) => self.open_calls.rekey,
            Some(Opening::GenerateRoot) => self.open_calls.generate_root,
        }
    }

    /// The token as it is passed on; empty when none was shown.
    pub fn token_bytes(&self) -> Bytes {
        self.token.as_ref().map_or_else(Bytes::new, |token| {
            Bytes::copy_from_slice(token.expose().as_bytes())
        })
    }
}

/// `x-vault-token`, or `authorization: Bearer …`. Any scheme but Bearer is no token.
fn token_of(metadata: &MetadataMap) -> Result<Option<TokenId>, Error> {
    let text = |key| metadata.get(key).map(|value| value.to_str());
    if let Some(value) = text("x-vault-token") {
        let value = value.map_err(|_| Error::invalid_token())?;
        // Clients that have none send it empty.
        if !value.is_empty() {
            return parse(value).map(Some);
        }
    }
    let Some(value) = text("authorization") else {
        return Ok(None);
    };
    let value = value.map_err(|_| Error::invalid_token())?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            parse(token.trim()).map(Some)
        }
        _ => Ok(None),
    }
}

fn parse(text: &str) -> Result<TokenId, Error> {
    TokenId::parse(text).map_err(|_| Error::invalid_token())
}
