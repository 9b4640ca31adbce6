//! `sys/quotas/…`: QuotaService as Vault's clients know it.

use serde_json::json;
use tenure_proto::v1;

use super::{
    HttpCall,
    body::{Input, not_offered},
    envelope::Reply,
    part::Part,
    route::{Route, delete, list, read, write},
    seconds,
};
use crate::error::Error;

const RATE: &str = "/v1/sys/quotas/rate-limit/{name}";
const COUNT: &str = "/v1/sys/quotas/lease-count/{name}";

fn name(input: &Input) -> String {
    input.capture().unwrap_or_default().to_owned()
}

/// A whole number; 0 if there is none.
fn number(input: &mut Input, field: &'static str) -> Result<u64, Error> {
    let asked = input.fields.integer(field)?.unwrap_or_default();
    u64::try_from(asked).map_err(|_| Error::invalid_argument(format!("{field}: negative")))
}

/// Quotas by the role of a login come with the logins that have one.
fn no_role(input: &mut Input) -> Result<(), Error> {
    // What clients send along, as they read it.
    for known in ["type", "name"] {
        input.fields.text(known)?;
    }
    match input.fields.text("role")?.as_str() {
        "" => Ok(()),
        _ => Err(not_offered("quotas of a role")),
    }
}

impl HttpCall for v1::WriteRateLimitRequest {
    const ROUTES: &'static [Route] = &[write(RATE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        no_role(input)?;
        // 0 is how clients write "no block".
        let block = input.fields.duration("block_interval")?;
        let limit = v1::RateLimit {
            name: name(input),
            path: input.fields.text("path")?,
            rate: number(input, "rate")?,
            interval: input.fields.duration("interval")?,
            block_interval: block.filter(|block| block.seconds > 0),
        };
        Ok(Self { limit: Some(limit) })
    }
}

impl HttpCall for v1::ReadRateLimitRequest {
    const ROUTES: &'static [Route] = &[read(RATE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let limit = answer.limit.unwrap_or_default();
        Reply::data(json!({
            "name": limit.name,
            "type": "rate-limit",
            "path": limit.path,
            "role": "",
            "rate": limit.rate,
            "interval": seconds(limit.interval.as_ref()),
            "block_interval": seconds(limit.block_interval.as_ref()),
        }))
    }
}

impl HttpCall for v1::ListRateLimitsRequest {
    const ROUTES: &'static [Route] = &[list("/v1/sys/quotas/rate-limit")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.part = Part::of(&input.query)?;
        Ok(Self::default())
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let names = answer.limits.into_iter().map(|limit| limit.name);
        Reply::list(names, &input.part, Vec::new())
    }
}

impl HttpCall for v1::DeleteRateLimitRequest {
    const ROUTES: &'static [Route] = &[delete(RATE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }
}

impl HttpCall for v1::WriteQuotaConfigRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/quotas/config")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let fields = &mut input.fields;
        if fields.flag("enable_rate_limit_audit_logging")? == Some(true) {
            return Err(not_offered("audit records of what a rate limit refuses"));
        }
        let is_set = fields.has("rate_limit_exempt_paths");
        let paths = fields.texts("rate_limit_exempt_paths")?;
        Ok(Self {
            rate_limit_exempt_paths: is_set.then_some(v1::QuotaPaths { paths }),
            enable_rate_limit_response_headers: fields
                .flag("enable_rate_limit_response_headers")?,
        })
    }
}

impl HttpCall for v1::ReadQuotaConfigRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/quotas/config")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data(json!({
            "rate_limit_exempt_paths": answer.rate_limit_exempt_paths,
            "enable_rate_limit_response_headers": answer.enable_rate_limit_response_headers,
            "enable_rate_limit_audit_logging": false,
        }))
    }
}

impl HttpCall for v1::WriteLeaseCountRequest {
    const ROUTES: &'static [Route] = &[write(COUNT)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        no_role(input)?;
        let quota = v1::LeaseCountQuota {
            name: name(input),
            path: input.fields.text("path")?,
            max_leases: number(input, "max_leases")?,
            ..v1::LeaseCountQuota::default()
        };
        Ok(Self { quota: Some(quota) })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let warning = "what is there already is being counted: until that is done, the quota refuses by \
             what it has counted so far";
        Reply::done_with(
            answer
                .counting
                .then(|| warning.to_owned())
                .into_iter()
                .collect(),
        )
    }
}

impl HttpCall for v1::ReadLeaseCountRequest {
    const ROUTES: &'static [Route] = &[read(COUNT)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        let quota = answer.quota.unwrap_or_default();
        Reply::data(json!({
            "name": quota.name,
            "type": "lease-count",
            "path": quota.path,
            "role": "",
            "max_leases": quota.max_leases,
            "counter": quota.count,
            "counting": quota.counting,
        }))
    }
}

impl HttpCall for v1::ListLeaseCountsRequest {
    const ROUTES: &'static [Route] = &[list("/v1/sys/quotas/lease-count")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.part = Part::of(&input.query)?;
        Ok(Self::default())
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let names = answer.quotas.into_iter().map(|quota| quota.name);
        Reply::list(names, &input.part, Vec::new())
    }
}

impl HttpCall for v1::DeleteLeaseCountRequest {
    const ROUTES: &'static [Route] = &[delete(COUNT)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }
}
