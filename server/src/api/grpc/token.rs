//! TokenService.

use std::num::NonZeroU32;

use tenure_core::{
    barrier::AccessorHash,
    policy::{Number, Parameters, Value},
    token::{
        self, Create, CreatePath, CreateRequest, Filter, ListTokens, Lookup, Renew, Revoke,
        RevokeOrphan, Target, TokenInfo, authorize,
    },
    types::{Accessor, Meta, PolicyName, PolicySet, TokenId, TtlRequest, UnixMillis},
};
use tenure_proto::v1;

use super::{
    Services,
    convert::{duration, page_rows, page_start, page_token, timestamp, ttl},
    token_role::{cidrs, role_name},
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

serve! {
    v1::token_service_server::TokenService:
    create_token: CreateTokenRequest -> CreateTokenResponse,
    lookup_token: LookupTokenRequest -> LookupTokenResponse,
    lookup_self: LookupSelfRequest -> LookupSelfResponse,
    lookup_accessor: LookupAccessorRequest -> LookupAccessorResponse,
    renew_token: RenewTokenRequest -> RenewTokenResponse,
    renew_self: RenewSelfRequest -> RenewSelfResponse,
    renew_accessor: RenewAccessorRequest -> RenewAccessorResponse,
    revoke_token: RevokeTokenRequest -> RevokeTokenResponse,
    revoke_self: RevokeSelfRequest -> RevokeSelfResponse,
    revoke_orphan: RevokeOrphanRequest -> RevokeOrphanResponse,
    revoke_accessor: RevokeAccessorRequest -> RevokeAccessorResponse,
    list_accessors: ListAccessorsRequest -> ListAccessorsResponse,
    write_token_role: WriteTokenRoleRequest -> WriteTokenRoleResponse,
    read_token_role: ReadTokenRoleRequest -> ReadTokenRoleResponse,
    delete_token_role: DeleteTokenRoleRequest -> DeleteTokenRoleResponse,
    list_token_roles: ListTokenRolesRequest -> ListTokenRolesResponse,
    tune_tokens: TuneTokensRequest -> TuneTokensResponse,
    get_token_tuning: GetTokenTuningRequest -> GetTokenTuningResponse,
    tidy_tokens: TidyTokensRequest -> TidyTokensResponse,
}

impl Call for v1::CreateTokenRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/CreateToken";
    const ACCESS: Access = Access::Write;
    type Answer = v1::CreateTokenResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        // Authorize before validate: a stranger learns nothing about its request.
        let request = create_request(self);
        let parameters = request.as_ref().map_or_else(
            |_| Parameters::default(),
            |request| parameters(request, self.renewable),
        );
        let action = Create(create_path(self)?, parameters);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = token::create(&permit, request.clone()?, &mut scope.random())?;
        let created = plan.response;
        let auth = v1::Auth {
            client_token: created.id.expose().to_owned(),
            warnings: created.warnings,
            ..auth(&created.info)
        };
        Ok(Planned {
            txn: plan.txn,
            answer: v1::CreateTokenResponse { auth: Some(auth) },
        })
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

/// What policies see of a request: what is asked for, as it will be taken, times in whole
/// seconds. Names are canonical by now, so that another spelling is no other value.
fn parameters(request: &CreateRequest, renewable: Option<bool>) -> Parameters<'_> {
    let mut parameters = Parameters::default();
    if let Some(id) = &request.id {
        parameters.push("id", id.expose().into());
    }
    if !request.policies.is_empty() {
        let names = request.policies.iter().map(|name| name.as_str().into());
        parameters.push("policies", Value::List(names.collect()));
    }
    let mut meta = request.meta.iter().peekable();
    if meta.peek().is_some() {
        let meta = meta.map(|(name, value)| (name.into(), value.into()));
        parameters.push("meta", Value::Map(meta.collect()));
    }
    if !request.display_name.is_empty() {
        parameters.push("display_name", request.display_name.as_str().into());
    }
    if let Some(uses) = request.num_uses {
        parameters.push("num_uses", Value::Number(Number::whole(uses.get().into())));
    }
    for (name, set) in [
        ("no_parent", request.no_parent),
        ("no_default_policy", request.no_default_policy),
    ] {
        if set {
            parameters.push(name, Value::Bool(true));
        }
    }
    if let Some(renewable) = renewable {
        parameters.push("renewable", Value::Bool(renewable));
    }
    for (name, time) in [
        ("ttl", request.ttl),
        ("explicit_max_ttl", request.explicit_max_ttl),
        ("period", request.period),
    ] {
        if let Some(ttl) = time.asked() {
            parameters.push(name, Value::Number(Number::whole(ttl.as_seconds().into())));
        }
    }
    if request.token_type == Some(token::TokenType::Batch) {
        parameters.push("type", "batch".into());
    }
    if !request.bound_cidrs.is_empty() {
        let nets = request.bound_cidrs.texts();
        let nets = nets.map(|net| Value::Text(net.into()));
        parameters.push("bound_cidrs", Value::List(nets.collect()));
    }
    parameters
}

/// At which path it is made: what policies are asked about.
fn create_path(wire: &v1::CreateTokenRequest) -> Result<CreatePath, Error> {
    match (wire.role.as_str(), wire.orphan) {
        ("", false) => Ok(CreatePath::Child),
        ("", true) => Ok(CreatePath::Orphan),
        (role, false) => role_name("role", role).map(CreatePath::Role),
        (_, true) => Err(Error::invalid_argument(
            "orphan: with a role, the role says whether its tokens are orphans",
        )),
    }
}

fn create_request(wire: &v1::CreateTokenRequest) -> Result<CreateRequest, Error> {
    let id = wire.id.as_deref().map(TokenId::custom).transpose();
    let num_uses = match wire.num_uses {
        None => None,
        Some(uses) => Some(NonZeroU32::new(uses).ok_or_else(|| {
            Error::invalid_argument("num_uses: at least 1; leave it out for no limit")
        })?),
    };
    let meta = wire.meta.iter().map(|(k, v)| (k.clone(), v.clone()));
    Ok(CreateRequest {
        id: id.map_err(|error| Error::invalid_argument(format!("id: {error}")))?,
        policies: PolicySet::parse(wire.policies.iter().map(String::as_str))
            .map_err(|error| Error::invalid_argument(format!("policies: {error}")))?,
        no_default_policy: wire.no_default_policy,
        no_parent: wire.no_parent,
        meta: Meta::new(meta).map_err(|error| Error::invalid_argument(format!("meta: {error}")))?,
        display_name: wire.display_name.clone(),
        num_uses,
        renewable: wire.renewable.unwrap_or(true),
        ttl: ttl("ttl", wire.ttl.as_ref())?,
        explicit_max_ttl: ttl("explicit_max_ttl", wire.explicit_max_ttl.as_ref())?,
        period: ttl("period", wire.period.as_ref())?,
        token_type: match v1::TokenType::try_from(wire.r#type) {
            Ok(v1::TokenType::Unspecified) => None,
            Ok(v1::TokenType::Service) => Some(token::TokenType::Service),
            Ok(v1::TokenType::Batch) => Some(token::TokenType::Batch),
            Err(_) => return Err(Error::invalid_argument("type: unknown")),
        },
        bound_cidrs: cidrs("bound_cidrs", &wire.bound_cidrs)?,
    })
}

/// A call that looks at a token.
macro_rules! lookup {
    ($($method:literal $request:ident -> $response:ident: $target:expr;)*) => {$(
        impl Call for v1::$request {
            const METHOD: &'static str = concat!("/tenure.v1.TokenService/", $method);
            const ACCESS: Access = Access::Read;
            type Answer = v1::$response;

            fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
                let target: fn(&Self) -> Result<Target, Error> = $target;
                let permit = authorize(scope.context, scope.caller, Lookup(target(self)?))?;
                let token = Some(info(token::lookup(&permit)?));
                Ok(Planned::answer(v1::$response { token }))
            }
        }
    )*};
}

lookup! {
    "LookupToken" LookupTokenRequest -> LookupTokenResponse: |call| by_id(&call.token);
    "LookupSelf" LookupSelfRequest -> LookupSelfResponse: |_| Ok(Target::Caller);
    "LookupAccessor" LookupAccessorRequest -> LookupAccessorResponse:
        |call| by_accessor(&call.accessor);
}

/// A call that renews a token.
macro_rules! renew {
    ($($method:literal $request:ident -> $response:ident: $target:expr;)*) => {$(
        impl Call for v1::$request {
            const METHOD: &'static str = concat!("/tenure.v1.TokenService/", $method);
            const ACCESS: Access = Access::Write;
            type Answer = v1::$response;

            fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
                let target: fn(&Self) -> Result<Target, Error> = $target;
                let increment: TtlRequest = ttl("increment", self.increment.as_ref())?;
                let action = Renew(target(self)?, increment);
                let permit = authorize(scope.context, scope.caller, action)?;
                let plan = token::renew(&permit, &mut scope.random())?;
                let renewed = plan.response;
                let id = renewed.info.id.as_ref().map(|id| id.expose().to_owned());
                let auth = v1::Auth {
                    client_token: id.unwrap_or_default(),
                    warnings: renewed.warnings,
                    ..auth(&renewed.info)
                };
                Ok(Planned {
                    txn: plan.txn,
                    answer: v1::$response { auth: Some(auth) },
                })
            }
        }
    )*};
}

renew! {
    "RenewToken" RenewTokenRequest -> RenewTokenResponse: |call| by_id(&call.token);
    "RenewSelf" RenewSelfRequest -> RenewSelfResponse: |_| Ok(Target::Caller);
    "RenewAccessor" RenewAccessorRequest -> RenewAccessorResponse:
        |call| by_accessor(&call.accessor);
}

/// A call that ends a token.
macro_rules! revoke {
    ($($method:literal $request:ident -> $response:ident: $rule:ident, $action:ident, $target:expr, $answer:expr;)*) => {$(
        impl Call for v1::$request {
            const METHOD: &'static str = concat!("/tenure.v1.TokenService/", $method);
            const ACCESS: Access = Access::Write;
            type Answer = v1::$response;

            fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
                let target: fn(&Self) -> Result<Target, Error> = $target;
                let answer: fn(Vec<String>) -> v1::$response = $answer;
                let permit = authorize(scope.context, scope.caller, $action(target(self)?))?;
                let plan = token::$rule(&permit, &mut scope.random())?;
                Ok(Planned {
                    txn: plan.txn,
                    answer: answer(plan.response.warnings),
                })
            }
        }
    )*};
}

revoke! {
    "RevokeToken" RevokeTokenRequest -> RevokeTokenResponse:
        revoke, Revoke, |call| by_id(&call.token), |_| v1::RevokeTokenResponse {};
    "RevokeSelf" RevokeSelfRequest -> RevokeSelfResponse:
        revoke, Revoke, |_| Ok(Target::Caller), |_| v1::RevokeSelfResponse {};
    "RevokeOrphan" RevokeOrphanRequest -> RevokeOrphanResponse:
        revoke_orphan, RevokeOrphan, |call| by_id(&call.token), |_| v1::RevokeOrphanResponse {};
    "RevokeAccessor" RevokeAccessorRequest -> RevokeAccessorResponse:
        revoke, Revoke, |call| by_accessor(&call.accessor),
        |warnings| v1::RevokeAccessorResponse { warnings };
}

impl Call for v1::ListAccessorsRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/ListAccessors";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListAccessorsResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ListTokens)?;
        let after = page_start(&self.page_token, AccessorHash::from_slice)?;
        let limit = page_rows(self.page_size);
        let page = token::list(&permit, &filter(self)?, after.as_ref(), limit)?;
        Ok(Planned::answer(v1::ListAccessorsResponse {
            tokens: page.tokens.into_iter().map(summary).collect(),
            next_page_token: page_token(page.next.as_ref().map(|next| next.as_bytes().as_slice())),
        }))
    }

    pages_of!(tokens);
}

fn filter(call: &v1::ListAccessorsRequest) -> Result<Filter, Error> {
    let role = match call.role.as_str() {
        "" => None,
        role => Some(role_name("role", role)?),
    };
    let policy = match call.policy.as_str() {
        "" => None,
        name => Some(
            PolicyName::parse(name)
                .map_err(|error| Error::invalid_argument(format!("policy: {error}")))?,
        ),
    };
    let before = call.expires_before.as_ref().map(moment).transpose()?;
    Ok(Filter {
        role,
        policy,
        name_prefix: call.display_name_prefix.clone(),
        orphan: call.orphan,
        ends_before: before,
    })
}

/// A moment of a request; one before the epoch is the epoch.
fn moment(at: &prost_types::Timestamp) -> Result<UnixMillis, Error> {
    let wrong = || Error::invalid_argument("expires_before: not a time");
    let seconds = u64::try_from(at.seconds.max(0)).map_err(|_| wrong())?;
    let ms = u64::try_from(at.nanos).map_err(|_| wrong())? / 1_000_000;
    let ms = seconds
        .checked_mul(1_000)
        .and_then(|all| all.checked_add(ms));
    ms.map(UnixMillis::new).ok_or_else(wrong)
}

fn accessor(info: &TokenInfo) -> String {
    let accessor = info.accessor.as_ref();
    accessor.map_or_else(String::new, |accessor| accessor.as_str().to_owned())
}

fn role(info: &TokenInfo) -> String {
    let role = info.role.as_ref();
    role.map_or_else(String::new, |role| role.as_str().to_owned())
}

fn kind(info: &TokenInfo) -> i32 {
    match info.kind {
        token::TokenType::Service => v1::TokenType::Service.into(),
        token::TokenType::Batch => v1::TokenType::Batch.into(),
    }
}

pub(super) fn by_id(text: &str) -> Result<Target, Error> {
    if text.is_empty() {
        return Err(Error::invalid_argument("token: missing"));
    }
    // What can't be a token is told so, whoever asks: that says nothing of which tokens there are.
    TokenId::parse(text)
        .map(Target::Id)
        .map_err(|_| Error::invalid_argument("token: not a token"))
}

pub(super) fn by_accessor(text: &str) -> Result<Target, Error> {
    if text.is_empty() {
        return Err(Error::invalid_argument("accessor: missing"));
    }
    Accessor::parse(text)
        .map(Target::Accessor)
        .ok_or_else(|| Error::invalid_argument("accessor: not an accessor"))
}

fn policies(info: &TokenInfo) -> Vec<String> {
    info.policies
        .iter()
        .map(|name| name.as_str().to_owned())
        .collect()
}

/// Absent: not limited. 0: within its last use.
fn num_uses(info: &TokenInfo) -> Option<u32> {
    match info.num_uses {
        0 => None,
        uses => Some(u32::try_from(uses).unwrap_or(0)),
    }
}

/// All of a created or renewed token but its id.
fn auth(info: &TokenInfo) -> v1::Auth {
    v1::Auth {
        client_token: String::new(),
        accessor: accessor(info),
        policies: policies(info),
        meta: info
            .meta
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        lease_duration: info.ttl.map(duration),
        renewable: info.renewable,
        orphan: info.orphan,
        num_uses: num_uses(info),
        r#type: kind(info),
        warnings: Vec::new(),
    }
}

fn info(info: TokenInfo) -> v1::TokenInfo {
    v1::TokenInfo {
        id: info
            .id
            .as_ref()
            .map_or_else(String::new, |id| id.expose().to_owned()),
        accessor: accessor(&info),
        r#type: kind(&info),
        policies: policies(&info),
        path: info.path.clone(),
        meta: info
            .meta
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        display_name: info.display_name.as_str().to_owned(),
        num_uses: num_uses(&info),
        orphan: info.orphan,
        renewable: info.renewable,
        entity_id: String::new(),
        role: role(&info),
        bound_cidrs: info.bound_cidrs.texts().collect(),
        creation_time: Some(timestamp(info.creation_time)),
        issue_time: Some(timestamp(info.creation_time)),
        last_renewal_time: info.last_renewal.map(timestamp),
        expire_time: info.expiry.at().map(timestamp),
        ttl: info.ttl.map(duration),
        creation_ttl: info.creation_ttl.map(duration),
        explicit_max_ttl: info.explicit_max_ttl.map(duration),
        period: info.period.map(duration),
    }
}

fn summary(info: TokenInfo) -> v1::TokenSummary {
    v1::TokenSummary {
        accessor: accessor(&info),
        display_name: info.display_name.as_str().to_owned(),
        policies: policies(&info),
        path: info.path.clone(),
        role: role(&info),
        r#type: kind(&info),
        orphan: info.orphan,
        renewable: info.renewable,
        num_uses: num_uses(&info),
        creation_time: Some(timestamp(info.creation_time)),
        expire_time: info.expiry.at().map(timestamp),
        ttl: info.ttl.map(duration),
        period: info.period.map(duration),
    }
}
