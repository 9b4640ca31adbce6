//! The calls of LeaseService that are streams: what opens a Watch, what a message of KeepAlive
//! does, and events as clients see them.

use std::collections::BTreeSet;

use tenure_core::{
    event::{self, WatchLeases, Watched},
    lease::{self, RenewLease, RenewNothing},
    state::{About, Event, EventKind},
    token::authorize,
    types::{
        Accessor,
        limits::{LEASES_RENEWED_AT_ONCE_MAX, LEASES_RENEWED_BYTES_MAX},
    },
};
use tenure_proto::v1;
use tonic::Code;

use super::{
    convert::{duration, timestamp, ttl},
    lease::{lease_id, prefix},
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

impl Call for v1::WatchRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/Watch";
    const ACCESS: Access = Access::Here;
    /// The first message.
    type Answer = v1::WatchResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, watch_action(self)?)?;
        Watched::open(&permit)?;
        let view = scope.context.view;
        let revision = match self.start_revision {
            None => view.revision(),
            Some(start) => start
                .checked_sub(1)
                .ok_or_else(|| Error::invalid_argument("start_revision: revisions begin with 1"))?,
        };
        let floor = event::floor(view)?;
        if revision < floor {
            return Err(Error::compacted(floor + 1));
        }
        // Nobody was ever told of it here: this state shows all that anybody was. It is of another
        // cluster.
        if revision > view.revision() {
            return Err(Error::compacted(view.revision() + 1));
        }
        Ok(Planned::answer(v1::WatchResponse {
            events: Vec::new(),
            revision,
        }))
    }
}

/// What a request asks to watch.
pub fn watch_action(request: &v1::WatchRequest) -> Result<WatchLeases, Error> {
    let accessor = match request.accessor.as_str() {
        "" => None,
        text => Some(
            Accessor::parse(text).ok_or_else(|| Error::invalid_argument("accessor: not one"))?,
        ),
    };
    Ok(WatchLeases {
        prefix: prefix(&request.prefix)?,
        accessor,
    })
}

impl Call for v1::KeepAliveRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/KeepAlive";
    const ACCESS: Access = Access::Write;
    type Answer = v1::KeepAliveResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        if self.renewals.is_empty() || self.renewals.len() > LEASES_RENEWED_AT_ONCE_MAX {
            return Err(Error::invalid_argument(format!(
                "renewals: 1 to {LEASES_RENEWED_AT_ONCE_MAX} in a message"
            )));
        }
        let (mut planned, mut named) = (
            Planned::answer(v1::KeepAliveResponse::default()),
            BTreeSet::new(),
        );
        let mut bytes = 0;
        for renewal in &self.renewals {
            let id = renewal.lease_id.as_str();
            let renewed = if bytes >= LEASES_RENEWED_BYTES_MAX {
                let message = "the leases before it fill the commit: send it again";
                Err(Error::new(Code::ResourceExhausted, "NOT_TRIED", message))
            } else if named.insert(id) {
                renew(scope, renewal)
            } else {
                Err(Error::invalid_argument(
                    "lease_id: named before in the same message",
                ))
            };
            let result = match renewed {
                Ok((txn, result)) => {
                    bytes += txn.size_bytes();
                    planned.txn.append(txn);
                    result
                }
                Err(error) if is_of_the_lease(&error) => v1::LeaseRenewed {
                    lease_id: id.to_owned(),
                    reason: error.reason.to_owned(),
                    message: error.message,
                    ..v1::LeaseRenewed::default()
                },
                Err(error) => return Err(error),
            };
            planned.answer.results.push(result);
        }
        let denied = Error::permission_denied();
        if (planned.answer.results.iter()).all(|result| result.reason == denied.reason) {
            return Err(denied);
        }
        Ok(planned)
    }
}

/// Whether an error is about one lease, and not about the caller or the node.
fn is_of_the_lease(error: &Error) -> bool {
    matches!(
        error.code,
        Code::NotFound
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::ResourceExhausted
    )
}

fn renew(
    scope: &Scope<'_>,
    renewal: &v1::LeaseRenewal,
) -> Result<(tenure_core::state::Txn, v1::LeaseRenewed), Error> {
    let increment = ttl("increment", renewal.increment.as_ref());
    let read = lease_id(&renewal.lease_id).and_then(|id| Ok(RenewLease(id, increment?)));
    let action = match read {
        Ok(action) => action,
        Err(error) => {
            authorize(scope.context, scope.caller, RenewNothing)?;
            return Err(error);
        }
    };
    let permit = authorize(scope.context, scope.caller, action)?;
    let plan = lease::renew(&permit, &mut scope.random())?;
    let renewed = plan.response;
    let result = v1::LeaseRenewed {
        lease_id: renewed.info.id.text(),
        lease_duration: renewed.info.ttl.map(duration),
        expire_time: renewed.info.expire_time.map(timestamp),
        warnings: renewed.warnings,
        ..v1::LeaseRenewed::default()
    };
    Ok((plan.txn, result))
}

/// An event as clients see it.
pub fn event_on_wire(event: &Event, revision: u64) -> v1::LeaseEvent {
    use v1::lease_event::Subject;
    let kind = match event.kind {
        EventKind::Granted => v1::LeaseEventKind::Granted,
        EventKind::Renewed => v1::LeaseEventKind::Renewed,
        EventKind::Expired => v1::LeaseEventKind::Expired,
        EventKind::Revoked => v1::LeaseEventKind::Revoked,
    };
    let subject = match &event.about {
        About::Lease(id) => Subject::LeaseId(id.text()),
        About::Prefix(path) => Subject::Prefix(path.as_str().to_owned()),
        About::Token(accessor) => Subject::TokenAccessor(accessor.as_str().to_owned()),
    };
    v1::LeaseEvent {
        kind: kind.into(),
        revision,
        time: Some(timestamp(event.at)),
        expire_time: event.expires.map(timestamp),
        owner_accessor: event
            .owner
            .as_ref()
            .map_or_else(String::new, |owner| owner.as_str().to_owned()),
        subject: Some(subject),
    }
}
