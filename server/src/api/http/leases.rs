//! `sys/leases/…`: LeaseService as Vault's clients know it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1;

use super::{
    HttpCall,
    body::{Input, not_offered},
    envelope::Reply,
    route::{Route, list, read, write},
    seconds, time,
};
use crate::error::Error;

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
        input.fields.flag("sync")?;
        let lease_id = input.capture_or_text("lease_id")?;
        Ok(Self { lease_id })
    }
}

impl HttpCall for v1::RevokePrefixRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/leases/revoke-prefix/{prefix...}")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.fields.flag("sync")?;
        let prefix = input.capture().unwrap_or_default().to_owned();
        Ok(Self { prefix })
    }
}

impl HttpCall for v1::ListLeasesRequest {
    const ROUTES: &'static [Route] = &[
        list("/v1/sys/leases/lookup"),
        list("/v1/sys/leases/lookup/{prefix...}"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            prefix: input.capture().unwrap_or_default().to_owned(),
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            page_token: String::new(),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let prefix = input.capture();
        let ids = answer.leases.iter().map(|lease| lease.lease_id.as_str());
        Reply::list(ids.filter_map(|id| child(prefix, id)))
    }
}

/// What lies directly under a prefix on the way to `id`; folders end in a slash.
fn child(prefix: Option<&str>, id: &str) -> Option<String> {
    let below = match prefix {
        None => id,
        Some(prefix) => id.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    Some(match below.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => below.to_owned(),
    })
}

impl HttpCall for v1::CountLeasesRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/leases/count")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        match input.query.get("type") {
            None | Some("") => {}
            Some("irrevocable") => return Err(not_offered("irrevocable leases")),
            Some(_) => return Err(Error::invalid_argument("type: unknown")),
        }
        Ok(Self {
            prefix: input.query.get("prefix").unwrap_or_default().to_owned(),
            page_token: String::new(),
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data(json!({ "lease_count": answer.count }))
    }
}

#[cfg(test)]
mod tests {
    use super::child;

    #[test]
    fn lists_show_what_lies_directly_below() {
        for (prefix, id, wanted) in [
            (None, "a/b/c", Some("a/")),
            (None, "a", Some("a")),
            (Some("a"), "a/b/c", Some("b/")),
            (Some("a/b"), "a/b/c", Some("c")),
            (Some("a"), "ab/c", None),
        ] {
            assert_eq!(child(prefix, id).as_deref(), wanted, "{prefix:?} {id}");
        }
    }
}
