//! The part of TokenService that is about roles.

use std::num::NonZeroU32;

use tenure_core::{
    barrier::NameHash,
    policy::{Number, Parameters, Value},
    state::{RoleTokenType, TokenRoleRecord},
    token::{self, ManageRoles, RoleChange, authorize},
    types::{Cidrs, PolicyName, RoleName},
};
use tenure_proto::v1;

use super::convert::{duration, page_rows, page_start, page_token, ttl};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

impl Call for v1::WriteTokenRoleRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/WriteTokenRole";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteTokenRoleResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let name = role_name("name", &self.name)?;
        let exists = token::role_exists(scope.context, scope.caller, &name)?;
        // Authorize before validate: a stranger learns nothing about its request.
        let change = change(self);
        let parameters = change
            .as_ref()
            .map_or_else(|_| Parameters::default(), |change| parameters(self, change));
        let action = ManageRoles::Write(name.clone(), exists, parameters);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = token::write_role(&permit, name, change.clone()?, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::WriteTokenRoleResponse {},
        })
    }
}

impl Call for v1::ReadTokenRoleRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/ReadTokenRole";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadTokenRoleResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let name = role_name("name", &self.name)?;
        let action = ManageRoles::Read(name.clone());
        let permit = authorize(scope.context, scope.caller, action)?;
        let role = Some(shown(token::read_role(&permit, &name)?));
        Ok(Planned::answer(v1::ReadTokenRoleResponse { role }))
    }
}

impl Call for v1::DeleteTokenRoleRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/DeleteTokenRole";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeleteTokenRoleResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let name = role_name("name", &self.name)?;
        let action = ManageRoles::Delete(name.clone());
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = token::delete_role(&permit, &name)?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::DeleteTokenRoleResponse {},
        })
    }
}

impl Call for v1::ListTokenRolesRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/ListTokenRoles";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListTokenRolesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ManageRoles::List)?;
        let after = page_start(&self.page_token, NameHash::from_slice)?;
        let page = token::list_roles(&permit, after.as_ref(), page_rows(self.page_size))?;
        let names = page.names.iter().map(|name| name.as_str().to_owned());
        Ok(Planned::answer(v1::ListTokenRolesResponse {
            names: names.collect(),
            next_page_token: page_token(page.next.as_ref().map(|next| next.as_bytes().as_slice())),
        }))
    }

    pages_of!(names);
}

/// The name of a role.
pub(super) fn role_name(field: &str, text: &str) -> Result<RoleName, Error> {
    RoleName::parse(text).map_err(|error| Error::invalid_argument(format!("{field}: {error}")))
}

/// Networks.
pub(super) fn cidrs(field: &str, texts: &[String]) -> Result<Cidrs, Error> {
    Cidrs::parse(texts.iter().map(String::as_str))
        .map_err(|error| Error::invalid_argument(format!("{field}: {error}")))
}

/// What policies see of a role that is written: its fields that are set, under the peers' names. Lists
/// are seen as they will be taken, so that another spelling is no way around a rule; and as they were
/// sent, so that a rule in that very spelling holds, too.
fn parameters<'a>(call: &'a v1::WriteTokenRoleRequest, change: &'a RoleChange) -> Parameters<'a> {
    let mut parameters = Parameters::default();
    let list = |texts: Vec<String>| {
        let texts = texts.into_iter().map(|text| Value::Text(text.into()));
        Value::List(texts.collect())
    };
    let mut lists = |name, taken: Option<Vec<String>>, sent: &Option<v1::Texts>| {
        let (Some(taken), Some(sent)) = (taken, sent) else {
            return;
        };
        if taken != sent.values {
            parameters.push(name, list(sent.values.clone()));
        }
        parameters.push(name, list(taken));
    };
    for (name, names, sent) in [
        ("allowed_policies", &change.allowed, &call.allowed_policies),
        (
            "disallowed_policies",
            &change.disallowed,
            &call.disallowed_policies,
        ),
        (
            "allowed_policies_glob",
            &change.allowed_globs,
            &call.allowed_policies_glob,
        ),
        (
            "disallowed_policies_glob",
            &change.disallowed_globs,
            &call.disallowed_policies_glob,
        ),
    ] {
        let names = names.as_ref();
        let taken = names.map(|names| names.iter().map(ToString::to_string).collect());
        lists(name, taken, sent);
    }
    let nets = change.bound_cidrs.as_ref();
    let nets = nets.map(|nets| nets.texts().collect());
    lists("token_bound_cidrs", nets, &call.bound_cidrs);
    for (name, flag) in [
        ("orphan", change.orphan),
        ("renewable", change.renewable),
        ("token_no_default_policy", change.no_default_policy),
    ] {
        if let Some(flag) = flag {
            parameters.push(name, Value::Bool(flag));
        }
    }
    if let Some(suffix) = &change.path_suffix {
        let suffix = suffix.as_ref().map_or("", RoleName::as_str);
        parameters.push("path_suffix", suffix.into());
    }
    // Nothing is written as 0, as it is asked for.
    let number = |number: Option<i128>| Value::Number(Number::whole(number.unwrap_or(0)));
    for (name, time) in [
        ("token_period", change.period),
        ("token_explicit_max_ttl", change.explicit_max_ttl),
    ] {
        if let Some(time) = time {
            parameters.push(name, number(time.map(|time| time.as_seconds().into())));
        }
    }
    if let Some(uses) = change.num_uses {
        parameters.push("token_num_uses", number(uses.map(|uses| uses.get().into())));
    }
    if let Some(kind) = change.token_type {
        parameters.push("token_type", kind_name(kind).into());
    }
    parameters
}

fn change(call: &v1::WriteTokenRoleRequest) -> Result<RoleChange, Error> {
    let time = |field: &str, time: &Option<prost_types::Duration>| {
        let asked = time
            .as_ref()
            .map(|time| ttl(field, Some(time)))
            .transpose()?;
        Ok::<_, Error>(asked.map(|asked| asked.asked()))
    };
    let suffix = match call.path_suffix.as_deref() {
        None => None,
        Some("") => Some(None),
        Some(suffix) => Some(Some(role_name("path_suffix", suffix)?)),
    };
    let nets = call.bound_cidrs.as_ref();
    Ok(RoleChange {
        allowed: names("allowed_policies", &call.allowed_policies)?,
        disallowed: names("disallowed_policies", &call.disallowed_policies)?,
        allowed_globs: names("allowed_policies_glob", &call.allowed_policies_glob)?,
        disallowed_globs: names("disallowed_policies_glob", &call.disallowed_policies_glob)?,
        orphan: call.orphan,
        renewable: call.renewable,
        path_suffix: suffix,
        period: time("period", &call.period)?,
        explicit_max_ttl: time("explicit_max_ttl", &call.explicit_max_ttl)?,
        num_uses: call.num_uses.map(NonZeroU32::new),
        bound_cidrs: nets
            .map(|nets| cidrs("bound_cidrs", &nets.values))
            .transpose()?,
        token_type: kind(call.token_type)?,
        no_default_policy: call.no_default_policy,
    })
}

fn names(field: &str, texts: &Option<v1::Texts>) -> Result<Option<Vec<PolicyName>>, Error> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    let names = texts.values.iter().map(|text| PolicyName::parse(text));
    let names: Result<Vec<_>, _> = names.collect();
    let mut names = names.map_err(|error| Error::invalid_argument(format!("{field}: {error}")))?;
    names.sort();
    names.dedup();
    Ok(Some(names))
}

fn kind(number: i32) -> Result<Option<RoleTokenType>, Error> {
    use v1::RoleTokenType as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Unspecified) => Ok(None),
        Ok(Wire::Service) => Ok(Some(RoleTokenType::Service)),
        Ok(Wire::Batch) => Ok(Some(RoleTokenType::Batch)),
        Ok(Wire::DefaultService) => Ok(Some(RoleTokenType::DefaultService)),
        Ok(Wire::DefaultBatch) => Ok(Some(RoleTokenType::DefaultBatch)),
        Err(_) => Err(Error::invalid_argument("token_type: unknown")),
    }
}

/// The peers' words.
fn kind_name(kind: RoleTokenType) -> &'static str {
    match kind {
        RoleTokenType::Service => "service",
        RoleTokenType::Batch => "batch",
        RoleTokenType::DefaultService => "default-service",
        RoleTokenType::DefaultBatch => "default-batch",
    }
}

fn shown(role: TokenRoleRecord) -> v1::TokenRole {
    use v1::RoleTokenType as Wire;
    let names = |names: &[PolicyName]| names.iter().map(|name| name.as_str().into()).collect();
    v1::TokenRole {
        name: role.name.as_str().to_owned(),
        allowed_policies: names(&role.allowed),
        disallowed_policies: names(&role.disallowed),
        allowed_policies_glob: names(&role.allowed_globs),
        disallowed_policies_glob: names(&role.disallowed_globs),
        orphan: role.orphan,
        renewable: role.renewable,
        path_suffix: role
            .path_suffix
            .map_or_else(String::new, |suffix| suffix.as_str().to_owned()),
        period: role.period.map(duration),
        explicit_max_ttl: role.explicit_max_ttl.map(duration),
        num_uses: role.num_uses.map(NonZeroU32::get),
        bound_cidrs: role.bound_cidrs.texts().collect(),
        token_type: match role.token_type {
            RoleTokenType::Service => Wire::Service,
            RoleTokenType::Batch => Wire::Batch,
            RoleTokenType::DefaultService => Wire::DefaultService,
            RoleTokenType::DefaultBatch => Wire::DefaultBatch,
        }
        .into(),
        no_default_policy: role.no_default_policy,
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::policy::{Acl, Operation, parse};

    use super::*;

    /// A rule about a parameter sees what is done, however it is spelled.
    ///
    /// Planted bug: a name that is given twice, in two spellings, stands there twice. Caught. And a
    /// rule in a spelling that isn't the canonical one holds for who sends that.
    #[test]
    fn rules_see_a_role_as_it_will_be() {
        let rule = r#"path "auth/token/roles/*" {
            capabilities = ["create", "update"]
            denied_parameters = {
                allowed_policies = [["admin"], ["Root-Like", "a"]]
                token_bound_cidrs = [["10.0.0.0/8"]]
            }
        }"#;
        let acl = Acl::compile(&[&parse(rule).unwrap()], None);
        let texts = |texts: &[&str]| {
            let values = texts.iter().map(|text| (*text).to_owned()).collect();
            Some(v1::Texts { values })
        };
        let asking = |policies: &[&str], nets: &[&str]| {
            let call = v1::WriteTokenRoleRequest {
                name: "r".to_owned(),
                allowed_policies: texts(policies),
                bound_cidrs: texts(nets),
                ..Default::default()
            };
            let change = change(&call).ok().unwrap();
            let decided = acl.decide(
                "auth/token/roles/r",
                Operation::Create,
                Some(&parameters(&call, &change)),
            );
            decided.allowed()
        };
        assert!(asking(&["reader"], &["11.0.0.0/8"]));
        for spelled in [
            &["admin"][..],
            &["ADMIN"],
            &["\tAdmin "],
            &["admin", "Admin"],
            &["Root-Like", "a"],
        ] {
            assert!(!asking(spelled, &["11.0.0.0/8"]), "{spelled:?}");
        }
        for spelled in [&["10.0.0.0/8"][..], &["10.0.0.0/8", "10.0.0.0/8"]] {
            assert!(!asking(&["reader"], spelled), "{spelled:?}");
        }
    }
}
