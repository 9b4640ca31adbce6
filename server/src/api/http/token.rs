//! `auth/token/…`: TokenService as Vault's clients know it.

use serde_json::{Value, json};
use tenure_core::types::limits::PAGE_ROWS_MAX;
use tenure_proto::v1;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    null_if_empty, num_uses,
    part::Part,
    route::{Route, list, read, write},
    seconds, time,
};
use crate::error::Error;

const CREATE_ORPHAN: &str = "/v1/auth/token/create-orphan";
const CREATE_WITH_ROLE: &str = "/v1/auth/token/create/{role}";

impl HttpCall for v1::CreateTokenRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/auth/token/create"),
        write(CREATE_ORPHAN),
        write(CREATE_WITH_ROLE),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let role = match input.pattern {
            CREATE_WITH_ROLE => input.capture().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let fields = &mut input.fields;
        if !fields.text("entity_alias")?.is_empty() {
            let message = "entity_alias: only with a role that allows it";
            return Err(Error::invalid_argument(message));
        }
        let id = fields.text("id")?;
        // `lease` is what ttl was called before.
        let (ttl, lease) = (fields.duration("ttl")?, fields.duration("lease")?);
        let no_parent = fields.flag("no_parent")?.unwrap_or(false);
        Ok(Self {
            id: (!id.is_empty()).then_some(id),
            policies: fields.texts("policies")?,
            meta: fields.text_map("meta")?.into_iter().collect(),
            display_name: fields.text("display_name")?,
            // 0 is how the peers say "without limit".
            num_uses: fields.count("num_uses")?.filter(|uses| *uses > 0),
            no_parent,
            orphan: input.pattern == CREATE_ORPHAN,
            role,
            no_default_policy: fields.flag("no_default_policy")?.unwrap_or(false),
            renewable: fields.flag("renewable")?,
            ttl: ttl.or(lease),
            explicit_max_ttl: fields.duration("explicit_max_ttl")?,
            period: fields.duration("period")?,
            r#type: match fields.text("type")?.as_str() {
                "" => v1::TokenType::Unspecified.into(),
                "service" => v1::TokenType::Service.into(),
                "batch" => v1::TokenType::Batch.into(),
                _ => {
                    let message = "type: must be service or batch";
                    return Err(Error::invalid_argument(message));
                }
            },
            request_id: String::new(),
            bound_cidrs: fields.texts("bound_cidrs")?,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        auth(answer.auth)
    }
}

fn token_type(number: i32) -> &'static str {
    match v1::TokenType::try_from(number) {
        Ok(v1::TokenType::Batch) => "batch",
        _ => "service",
    }
}

fn auth(auth: Option<v1::Auth>) -> Reply {
    let auth = auth.unwrap_or_default();
    let value = json!({
        "client_token": auth.client_token,
        "accessor": auth.accessor,
        "policies": auth.policies,
        "token_policies": auth.policies,
        "metadata": null_if_empty(json!(auth.meta)),
        "lease_duration": seconds(auth.lease_duration.as_ref()),
        "renewable": auth.renewable,
        "entity_id": "",
        "token_type": token_type(auth.r#type),
        "orphan": auth.orphan,
        "mfa_requirement": null,
        "num_uses": num_uses(auth.num_uses),
    });
    Reply::auth(value, auth.warnings)
}

fn token(token: Option<v1::TokenInfo>) -> Reply {
    let token = token.unwrap_or_default();
    let mut data = json!({
        "accessor": token.accessor,
        "creation_time": token.creation_time.map_or(0, |at| at.seconds),
        "creation_ttl": seconds(token.creation_ttl.as_ref()),
        "display_name": token.display_name,
        "entity_id": token.entity_id,
        "expire_time": time(token.expire_time.as_ref()),
        "explicit_max_ttl": seconds(token.explicit_max_ttl.as_ref()),
        "id": token.id,
        "issue_time": time(token.issue_time.as_ref()),
        "meta": null_if_empty(json!(token.meta)),
        "num_uses": num_uses(token.num_uses),
        "orphan": token.orphan,
        "path": token.path,
        "policies": token.policies,
        "renewable": token.renewable,
        "ttl": seconds(token.ttl.as_ref()),
        "type": token_type(token.r#type),
    });
    // These are there only when they say something.
    let mut also = |name: &str, value: Value| data[name] = value;
    if let Some(at) = &token.last_renewal_time {
        also("last_renewal", time(Some(at)));
        also("last_renewal_time", at.seconds.into());
    }
    if let Some(period) = &token.period {
        also("period", period.seconds.into());
    }
    if !token.role.is_empty() {
        also("role", token.role.into());
    }
    if !token.bound_cidrs.is_empty() {
        also("bound_cidrs", token.bound_cidrs.into());
    }
    Reply::data(data)
}

impl HttpCall for v1::LookupTokenRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/auth/token/lookup"),
        read("/v1/auth/token/lookup"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let mut token = input.fields.text("token")?;
        if token.is_empty() {
            token = input.query.get("token").unwrap_or_default().to_owned();
        }
        if token.is_empty() {
            // None named: the caller's own. Without one, the pipeline refuses.
            token = input.own_token.clone().unwrap_or_default();
        }
        Ok(Self { token })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        token(answer.token)
    }
}

impl HttpCall for v1::LookupSelfRequest {
    const ROUTES: &'static [Route] = &[
        read("/v1/auth/token/lookup-self"),
        write("/v1/auth/token/lookup-self"),
    ];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        token(answer.token)
    }
}

impl HttpCall for v1::LookupAccessorRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/lookup-accessor")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let accessor = input.fields.text("accessor")?;
        Ok(Self { accessor })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        token(answer.token)
    }
}

impl HttpCall for v1::RenewTokenRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/renew")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            token: input.fields.text("token")?,
            increment: input.fields.duration("increment")?,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        auth(answer.auth)
    }
}

impl HttpCall for v1::RenewSelfRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/renew-self")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let increment = input.fields.duration("increment")?;
        Ok(Self { increment })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        auth(answer.auth)
    }
}

impl HttpCall for v1::RenewAccessorRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/renew-accessor")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            accessor: input.fields.text("accessor")?,
            increment: input.fields.duration("increment")?,
        })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        auth(answer.auth)
    }
}

impl HttpCall for v1::RevokeTokenRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/revoke")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let token = input.fields.text("token")?;
        Ok(Self { token })
    }
}

impl HttpCall for v1::RevokeSelfRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/revoke-self")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }
}

impl HttpCall for v1::RevokeOrphanRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/revoke-orphan")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let token = input.fields.text("token")?;
        Ok(Self { token })
    }
}

impl HttpCall for v1::RevokeAccessorRequest {
    const ROUTES: &'static [Route] = &[write("/v1/auth/token/revoke-accessor")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let accessor = input.fields.text("accessor")?;
        Ok(Self { accessor })
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::done_with(answer.warnings)
    }
}

impl HttpCall for v1::ListAccessorsRequest {
    const ROUTES: &'static [Route] = &[list("/v1/auth/token/accessors")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        input.part = Part::of(&input.query)?;
        Ok(Self {
            page_size: u32::try_from(PAGE_ROWS_MAX).unwrap_or(u32::MAX),
            ..Self::default()
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let accessors = answer.tokens.into_iter().map(|token| token.accessor);
        Reply::list(accessors, &input.part, Vec::new())
    }
}
