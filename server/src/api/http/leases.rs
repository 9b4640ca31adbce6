//! `sys/leases/…`: LeaseService as Vault's clients know it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1;
use tonic::Code;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    part::Part,
    route::{Route, list, read, write},
    seconds, time,
};
use crate::{api::grpc::child, error::Error};

const FORCE: &str = "/v1/sys/leases/revoke-force/{prefix...}";
const ALL: &str = "/v1/sys/leases";

impl HttpCall for v1::GrantLeaseRequest {
    /// Ours alone: a client puts a resource of its own on lease.
    const ROUTES: &'static [Route] = &[write("/v1/sys/leases/grant/{path...}")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let path = input.capture().unwrap_or_default().to_owned();
        let payload = STANDARD.decode(input.fields.text("payload")?);
        Ok(Self {
            path,
            payload: payload.map_err(|_| Error::invalid_argument("payload: not base64"))?,
            ttl: input.fields.duration("ttl")?,
            renewable: input.fields.flag("renewable")?,
            request_id: String::new(),
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let duration = seconds(answer.lease_duration.as_ref());
        Reply::lease(answer.lease_id, duration, answer.renewable, answer.warnings)
    }
}

impl HttpCall for v1::LookupLeaseRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/leases/lookup")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let lease_id = input.fields.text("lease_id")?;
        Ok(Self { lease_id })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let lease = answer.lease.unwrap_or_default();
        let path = lease.lease_id.rsplit_once('/').map(|(path, _)| path);
        let mut data = json!({
            "id": lease.lease_id,
            "path": path,
            "issue_time": time(lease.issue_time.as_ref()),
            "expire_time": time(lease.expire_time.as_ref()),
            "last_renewal": time(lease.last_renewal_time.as_ref()),
            "renewable": lease.renewable,
            "ttl": seconds(lease.ttl.as_ref()),
        });
        if let Some(payload) = lease.payload {
            data["payload"] = Value::String(STANDARD.encode(payload));
        }
        Reply::data(data)
    }
}

impl HttpCall for v1::RenewLeaseRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/leases/renew"),
        write("/v1/sys/leases/renew/{lease_id...}"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            lease_id: input.capture_or_text("lease_id")?,
            increment: input.fields.duration("increment")?,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let duration = seconds(answer.lease_duration.as_ref());
        Reply::lease(answer.lease_id, duration, answer.renewable, answer.warnings)
    }
}

impl HttpCall for v1::RevokeLeaseRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/leases/revoke"),
        write("/v1/sys/leases/revoke/{lease_id...}"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        // Revoking is one commit: it is done when it is answered, asked to wait or not.
        input.is_async = input.fields.flag("sync")? == Some(false);
        let lease_id = input.capture_or_text("lease_id")?;
        Ok(Self { lease_id })
    }

    fn to_reply(_answer: Self::Answer, input: &Input) -> Reply {
        revoked(input)
    }
}

impl HttpCall for v1::RevokePrefixRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/leases/revoke-prefix/{prefix...}"),
        write(FORCE),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.is_async = input.fields.flag("sync")? == Some(false);
        Ok(Self {
            prefix: input.capture().unwrap_or_default().to_owned(),
            force: input.pattern == FORCE,
        })
    }

    fn to_reply(_answer: Self::Answer, input: &Input) -> Reply {
        revoked(input)
    }
}

/// Revoking is one commit, done when it is answered. Who asked not to wait hears what it expects.
fn revoked(input: &Input) -> Reply {
    match input.is_async {
        true => Reply::started(Vec::new()),
        false => Reply::done(),
    }
}

impl HttpCall for v1::ListLeasesRequest {
    const ROUTES: &'static [Route] = &[
        list("/v1/sys/leases/lookup"),
        list("/v1/sys/leases/lookup/{prefix...}"),
        read(ALL),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        if input.pattern != ALL {
            input.part = Part::of(&input.query)?;
        }
        let irrevocable = match (input.pattern, input.query.get("type")) {
            (ALL, Some("irrevocable")) => true,
            // As with the peers, there is nothing else to see here.
            (ALL, None | Some("")) => return Err(Error::new(Code::NotFound, "NO_ROUTE", "")),
            (ALL, Some(_)) => return Err(Error::invalid_argument("type: unknown")),
            _ => false,
        };
        Ok(Self {
            prefix: input.capture().unwrap_or_default().to_owned(),
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            page_token: String::new(),
            irrevocable,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        if input.pattern == ALL {
            let ids = answer
                .leases
                .iter()
                .map(|lease| json!({ "lease_id": lease.lease_id }));
            let leases: Vec<_> = ids.collect();
            return Reply::data(json!({ "lease_count": leases.len(), "leases": leases }));
        }
        let prefix = input.capture().unwrap_or_default();
        let ids = answer.leases.iter().map(|lease| lease.lease_id.as_str());
        let below = ids.filter_map(|id| child(prefix, id));
        Reply::list(below, &input.part, Vec::new())
    }
}

impl HttpCall for v1::CountLeasesRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/leases/count")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let irrevocable = match input.query.get("type") {
            None | Some("") => false,
            Some("irrevocable") => true,
            Some(_) => return Err(Error::invalid_argument("type: unknown")),
        };
        let by = match input.query.get("by") {
            None | Some("") => v1::CountLeasesBy::Unspecified,
            Some("token") => v1::CountLeasesBy::Token,
            Some("path") => v1::CountLeasesBy::Path,
            Some("role") => v1::CountLeasesBy::Role,
            Some(_) => return Err(Error::invalid_argument("by: token, path or role")),
        };
        Ok(Self {
            prefix: input.query.get("prefix").unwrap_or_default().to_owned(),
            page_token: String::new(),
            by: by.into(),
            irrevocable,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let counts = answer
            .groups
            .into_iter()
            .map(|group| (group.key, group.count.into()));
        let counts: Map<String, Value> = counts.collect();
        Reply::data(json!({ "lease_count": answer.count, "counts": counts }))
    }
}

/// Streams are for gRPC alone.
impl HttpCall for v1::KeepAliveRequest {}
impl HttpCall for v1::WatchRequest {}
