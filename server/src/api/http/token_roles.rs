//! `auth/token/roles/…`, `sys/auth/token/tune` and the tidying of tokens and leases, as Vault's
//! clients know them.

use prost_types::Duration;
use serde_json::json;
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1;

use super::{
    HttpCall,
    body::{Fields, Input, not_offered},
    envelope::Reply,
    part::Part,
    route::{Route, delete, list, read, write},
    seconds,
};
use crate::error::Error;

const ROLE: &str = "/v1/auth/token/roles/{role}";
const TUNE: &str = "/v1/sys/auth/token/tune";

fn name(input: &Input) -> String {
    input.capture().unwrap_or_default().to_owned()
}

/// Names: a list, or one text with commas between them. `None`: there is no such field.
fn texts(fields: &mut Fields, field: &'static str) -> Result<Option<v1::Texts>, Error> {
    let Some(texts) = fields.given_texts(field)? else {
        return Ok(None);
    };
    let values = texts
        .iter()
        .flat_map(|text| text.split(','))
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    Ok(Some(v1::Texts {
        values: values.collect(),
    }))
}

/// A time under its name or the one that it had before.
fn time(
    fields: &mut Fields,
    field: &'static str,
    before: &'static str,
) -> Result<Option<Duration>, Error> {
    let (new, old) = (fields.duration(field)?, fields.duration(before)?);
    Ok(new.or(old))
}

impl HttpCall for v1::WriteTokenRoleRequest {
    const ROUTES: &'static [Route] = &[write(ROLE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let name = name(input);
        let fields = &mut input.fields;
        let aliases = texts(fields, "allowed_entity_aliases")?.unwrap_or_default();
        if !aliases.values.is_empty() {
            return Err(not_offered("entity aliases"));
        }
        let bound = texts(fields, "token_bound_cidrs")?;
        let bound_before = texts(fields, "bound_cidrs")?;
        let suffix = fields.given_texts("path_suffix")?;
        use v1::RoleTokenType as Kind;
        Ok(Self {
            name,
            allowed_policies: texts(fields, "allowed_policies")?,
            disallowed_policies: texts(fields, "disallowed_policies")?,
            allowed_policies_glob: texts(fields, "allowed_policies_glob")?,
            disallowed_policies_glob: texts(fields, "disallowed_policies_glob")?,
            orphan: fields.flag("orphan")?,
            renewable: fields.flag("renewable")?,
            path_suffix: suffix.map(|texts| texts.concat()),
            period: time(fields, "token_period", "period")?,
            explicit_max_ttl: time(fields, "token_explicit_max_ttl", "explicit_max_ttl")?,
            num_uses: fields.count("token_num_uses")?,
            bound_cidrs: bound.or(bound_before),
            token_type: match fields.text("token_type")?.as_str() {
                "" => Kind::Unspecified,
                "service" => Kind::Service,
                "batch" => Kind::Batch,
                "default" | "default-service" => Kind::DefaultService,
                "default-batch" => Kind::DefaultBatch,
                _ => {
                    let message =
                        "token_type: must be service, batch, default-service or default-batch";
                    return Err(Error::invalid_argument(message));
                }
            }
            .into(),
            no_default_policy: fields.flag("token_no_default_policy")?,
        })
    }
}

impl HttpCall for v1::ReadTokenRoleRequest {
    const ROUTES: &'static [Route] = &[read(ROLE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        use v1::RoleTokenType as Kind;
        let role = answer.role.unwrap_or_default();
        let mut data = json!({
            "name": role.name,
            "allowed_policies": role.allowed_policies,
            "disallowed_policies": role.disallowed_policies,
            "allowed_policies_glob": role.allowed_policies_glob,
            "disallowed_policies_glob": role.disallowed_policies_glob,
            "orphan": role.orphan,
            "renewable": role.renewable,
            "path_suffix": role.path_suffix,
            "token_period": seconds(role.period.as_ref()),
            "token_explicit_max_ttl": seconds(role.explicit_max_ttl.as_ref()),
            // As they were called before.
            "period": seconds(role.period.as_ref()),
            "explicit_max_ttl": seconds(role.explicit_max_ttl.as_ref()),
            "token_num_uses": role.num_uses.unwrap_or(0),
            "token_no_default_policy": role.no_default_policy,
            "token_type": match Kind::try_from(role.token_type) {
                Ok(Kind::Service) => "service",
                Ok(Kind::Batch) => "batch",
                Ok(Kind::DefaultBatch) => "default-batch",
                _ => "default-service",
            },
        });
        if !role.bound_cidrs.is_empty() {
            data["token_bound_cidrs"] = role.bound_cidrs.into();
        }
        Reply::data(data)
    }
}

impl HttpCall for v1::DeleteTokenRoleRequest {
    const ROUTES: &'static [Route] = &[delete(ROLE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self { name: name(input) })
    }
}

impl HttpCall for v1::ListTokenRolesRequest {
    const ROUTES: &'static [Route] = &[list("/v1/auth/token/roles")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.part = Part::of(&input.query)?;
        Ok(Self {
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            page_token: String::new(),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        Reply::list(answer.names, &input.part, Vec::new())
    }
}

impl HttpCall for v1::TuneTokensRequest {
    const ROUTES: &'static [Route] = &[write(TUNE)];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        // "system" is how the peers say 0.
        let mut lifetime = |field| match input.fields.take_text(field, "system") {
            true => Ok(Some(Duration::default())),
            false => input.fields.duration(field),
        };
        Ok(Self {
            default_lease_ttl: lifetime("default_lease_ttl")?,
            max_lease_ttl: lifetime("max_lease_ttl")?,
        })
    }
}

impl HttpCall for v1::GetTokenTuningRequest {
    const ROUTES: &'static [Route] = &[read(TUNE)];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data(json!({
            "default_lease_ttl": seconds(answer.default_lease_ttl.as_ref()),
            "max_lease_ttl": seconds(answer.max_lease_ttl.as_ref()),
            "description": "tokens",
            "force_no_cache": false,
            "token_type": "default-service",
        }))
    }
}

impl HttpCall for v1::TidyTokensRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/tidy")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::started(answer.warnings)
    }
}

impl HttpCall for v1::TidyLeasesRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/leases/tidy")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::started(answer.warnings)
    }
}
