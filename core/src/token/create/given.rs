//! What a new token is given, by what is asked for and by its role. It writes nothing.

use std::num::NonZeroU32;

use super::CreateRequest;
use crate::{
    state::{RoleTokenType, TokenRoleRecord},
    token::{
        Context, Create, CreatePath, Permit, Precondition, TokenError, TokenType, role,
        ttl::{Grant, Terms, cap, grant, least},
        tuning::bounds,
    },
    types::{
        Cidrs, Expiry, PolicySet, Ttl, TtlRequest,
        limits::{BATCH_TTL_SECONDS_MAX, TOKEN_USES_MAX},
    },
};

/// The role that the token is made with.
pub(super) fn role_of(
    permit: &Permit<'_, Create<'_>>,
) -> Result<Option<TokenRoleRecord>, TokenError> {
    let CreatePath::Role(name) = &permit.action.0 else {
        return Ok(None);
    };
    let row = role::load(permit.context.view, name)?;
    Ok(Some(row.ok_or(Precondition::NoRole)?.value))
}

/// The request path, with what the role puts behind it.
pub(super) fn path_of(path: &CreatePath, role: Option<&TokenRoleRecord>) -> String {
    let path = path.text();
    match role.and_then(|role| role.path_suffix.as_ref()) {
        Some(suffix) => format!("{path}/{suffix}"),
        None => path.into_owned(),
    }
}

/// How often it can be used: as often as is asked for, and no more often than the role says.
pub(super) fn uses(
    request: &CreateRequest,
    role: Option<&TokenRoleRecord>,
) -> Result<Option<NonZeroU32>, TokenError> {
    let asked = request.num_uses;
    if asked.is_some_and(|uses| uses.get() > TOKEN_USES_MAX) {
        let problem = format!("at most {TOKEN_USES_MAX}");
        return Err(TokenError::argument("num_uses", problem));
    }
    let given = role.and_then(|role| role.num_uses);
    Ok(match (asked, given) {
        (Some(asked), Some(given)) => Some(asked.min(given)),
        (asked, given) => asked.or(given),
    })
}

/// Its kind. Where the role leaves no choice, another wish is passed over with a warning: command
/// lines ask for "service" without being told to.
pub(super) fn kind(
    request: &CreateRequest,
    role: Option<&TokenRoleRecord>,
) -> (TokenType, Vec<String>) {
    let asked = request.token_type;
    let fixed = match role.map(|role| role.token_type) {
        None | Some(RoleTokenType::DefaultService) => {
            return (asked.unwrap_or(TokenType::Service), Vec::new());
        }
        Some(RoleTokenType::DefaultBatch) => {
            return (asked.unwrap_or(TokenType::Batch), Vec::new());
        }
        Some(RoleTokenType::Service) => TokenType::Service,
        Some(RoleTokenType::Batch) => TokenType::Batch,
    };
    let other = asked.is_some_and(|asked| asked != fixed);
    let warning = other.then(|| "the role decides the type of its tokens".to_owned());
    (fixed, warning.into_iter().collect())
}

/// What no batch token has.
pub(super) fn check_batch(
    request: &CreateRequest,
    policies: &PolicySet,
    uses: Option<NonZeroU32>,
    role: Option<&TokenRoleRecord>,
) -> Result<(), TokenError> {
    let role_time = |time: fn(&TokenRoleRecord) -> Option<Ttl>| role.and_then(time).is_some();
    let period = request.period.asked().is_some() || role_time(|role| role.period);
    let max = request.explicit_max_ttl.asked().is_some() || role_time(|role| role.explicit_max_ttl);
    for (field, set) in [
        ("id", request.id.is_some()),
        ("num_uses", uses.is_some()),
        ("period", period),
        ("explicit_max_ttl", max),
        ("policies", policies.is_root()),
    ] {
        if set {
            let problem = match field {
                "policies" => "a batch token can't be root",
                _ => "a batch token has none",
            };
            return Err(TokenError::argument(field, problem));
        }
    }
    Ok(())
}

/// Its life, and the longest one that was asked for. What a role gives isn't the token's own: it is
/// read from the role at each renewal.
pub(super) fn granted(
    context: Context<'_>,
    kind: TokenType,
    request: &CreateRequest,
    role: Option<&TokenRoleRecord>,
    root: bool,
) -> Result<(Grant, Option<Ttl>), TokenError> {
    let bounds = bounds(context)?;
    let given = |time: fn(&TokenRoleRecord) -> Option<Ttl>| role.and_then(time);
    let both = |asked: TtlRequest, given| TtlRequest::new(least(asked.asked(), given));
    let terms = Terms {
        ttl: request.ttl,
        explicit_max: both(
            request.explicit_max_ttl,
            given(|role| role.explicit_max_ttl),
        ),
        period: both(request.period, given(|role| role.period)),
        root,
    };
    let mut grant = grant(&bounds, terms, context.now);
    if kind == TokenType::Batch {
        let most = Ttl::from_seconds(BATCH_TTL_SECONDS_MAX).unwrap_or_default();
        let ttl = cap(
            "TTL of a batch token",
            grant.ttl.unwrap_or(most),
            most,
            &mut grant.warnings,
        );
        grant.ttl = Some(ttl);
        grant.expiry = Expiry::At(context.now.saturating_add(ttl));
    }
    let own_max = request.explicit_max_ttl.asked();
    Ok((grant, own_max.map(|asked| asked.min(bounds.max_ttl()))))
}

/// Networks that it may be used from: the role's, or else, without `sudo`, the parent's. What is
/// asked for must lie within them.
pub(super) fn bound_cidrs(
    permit: &Permit<'_, Create<'_>>,
    request: &CreateRequest,
    role: Option<&TokenRoleRecord>,
) -> Result<Cidrs, TokenError> {
    let given = role.map(|role| role.bound_cidrs.clone());
    let outer = match given.filter(|given| !given.is_empty()) {
        Some(given) => given,
        None if permit.has_sudo() => Cidrs::default(),
        None => permit.caller.entry.record.bound_cidrs.clone(),
    };
    let asked = &request.bound_cidrs;
    if asked.is_empty() {
        return Ok(outer);
    }
    if !outer.cover(asked) {
        let problem = "they must lie within those of the role or the parent";
        return Err(TokenError::argument("bound_cidrs", problem));
    }
    Ok(asked.clone())
}
