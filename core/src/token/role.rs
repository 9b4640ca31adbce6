//! Token roles: what tokens are made like by those who may use the role, whatever they may
//! themselves. Writing, reading, deleting, listing. A role acts on the tokens that it made, too:
//! its period and explicit maximum are read at each renewal.

use std::num::NonZeroU32;

use super::{Action, Ask, Caller, Context, Permit, Plan, Precondition, TokenError};
use crate::{
    barrier::{Barrier, NameHash},
    policy::{Operation, Parameters},
    random::Random,
    state::{
        ReadError, RoleTokenType, Row, RowCounts, Table, TokenRoleRecord, TokenRoles, Txn, View,
        key_of, range_of, successor,
    },
    types::{
        Cidrs, PolicyName, RoleName, Ttl,
        limits::{PAGE_ROWS_MAX, POLICIES_MAX, TOKEN_ROLES_MAX, TOKEN_USES_MAX},
    },
};

/// Handle token roles.
pub enum ManageRoles<'a> {
    /// Write a role, with these parameters; whether there is one of this name.
    Write(RoleName, bool, Parameters<'a>),
    /// Read a role.
    Read(RoleName),
    /// Delete a role.
    Delete(RoleName),
    /// List the names of all roles.
    List,
}

impl Action for ManageRoles<'_> {
    fn ask(&self) -> Ask<'_> {
        let at = |name: &RoleName| format!("auth/token/roles/{name}");
        match self {
            Self::Write(name, exists, parameters) => {
                let operation = match exists {
                    true => Operation::Update,
                    false => Operation::Create,
                };
                Ask {
                    parameters: parameters.clone(),
                    ..Ask::new(operation, at(name))
                }
            }
            Self::Read(name) => Ask::new(Operation::Read, at(name)),
            Self::Delete(name) => Ask::new(Operation::Delete, at(name)),
            Self::List => Ask::new(Operation::List, "auth/token/roles"),
        }
    }
}

/// What is to become of a role; `None` leaves it as it is, and in a new role as nothing was said.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// Policies that its tokens may have, sorted, each once, as all four lists.
    pub allowed: Option<Vec<PolicyName>>,
    /// Policies that they may not.
    pub disallowed: Option<Vec<PolicyName>>,
    /// Patterns of policies that they may have.
    pub allowed_globs: Option<Vec<PolicyName>>,
    /// Patterns of policies that they may not.
    pub disallowed_globs: Option<Vec<PolicyName>>,
    /// Whether they have no parent.
    pub orphan: Option<bool>,
    /// Whether they can be renewed.
    pub renewable: Option<bool>,
    /// What their path ends with; inner `None`: nothing.
    pub path_suffix: Option<Option<RoleName>>,
    /// Makes them periodic; inner `None`: not.
    pub period: Option<Option<Ttl>>,
    /// Their longest life; inner `None`: as long as any token's.
    pub explicit_max_ttl: Option<Option<Ttl>>,
    /// How often they can be used; inner `None`: without limit.
    pub num_uses: Option<Option<NonZeroU32>>,
    /// Networks that they may be used from.
    pub bound_cidrs: Option<Cidrs>,
    /// Their kind.
    pub token_type: Option<RoleTokenType>,
    /// Whether they go without `default`.
    pub no_default_policy: Option<bool>,
}

/// The row of a role.
fn key_of_role(barrier: &Barrier, name: &RoleName) -> NameHash {
    // No path has a segment with a control character: a role and a path of the same name look
    // different on disk.
    let roles = barrier.name_hash(&NameHash::ROOT, "\0token role");
    barrier.name_hash(&roles, name.as_str())
}

/// The role of this name. The view counts it as read.
pub(super) fn load(view: &View<'_>, name: &RoleName) -> Result<Option<Row<TokenRoles>>, ReadError> {
    view.get::<TokenRoles>(&key_of_role(view.barrier(), name))
}

/// Whether a write of a role of this name changes one that is there: what policies are asked depends
/// on it. For who may neither create nor update it nothing is looked at: the time that it takes
/// would tell.
pub fn role_exists(
    context: Context<'_>,
    caller: &Caller,
    name: &RoleName,
) -> Result<bool, TokenError> {
    let acl = context.acls.of(context.view, caller.policies())?;
    let path = format!("auth/token/roles/{name}");
    let may = |operation| acl.decide(&path, operation, None).into_permit().is_ok();
    if !may(Operation::Create) && !may(Operation::Update) {
        return Ok(true);
    }
    let key = key_of_role(context.view.barrier(), name);
    Ok(context.view.mod_revision::<TokenRoles>(&key)?.is_some())
}

/// Writes a role, new or changed.
pub fn write_role(
    permit: &Permit<'_, ManageRoles<'_>>,
    name: RoleName,
    change: RoleChange,
    random: &mut dyn Random,
) -> Result<Plan<()>, TokenError> {
    let view = permit.context.view;
    let barrier = view.barrier();
    let key = key_of_role(barrier, &name);
    let found = view.get::<TokenRoles>(&key)?;
    let before = found.as_ref().map(|row| row.value.clone());
    let role = changed(before.unwrap_or_else(|| TokenRoleRecord::new(name)), change);
    check(&role)?;
    let mut txn = Txn::default();
    match found {
        None => {
            let rows = RowCounts::of::<TokenRoles>(view)?;
            if rows >= TOKEN_ROLES_MAX {
                return Err(Precondition::TooManyRoles.into());
            }
            txn.insert_plain::<RowCounts>(&TokenRoles::ID, &(rows + 1))?;
            txn.insert::<TokenRoles>(barrier, &key, &role, random)?;
        }
        Some(row) => {
            let row = Row { value: role, ..row };
            txn.update::<TokenRoles>(barrier, &row, random)?;
        }
    }
    Ok(Plan { txn, response: () })
}

fn changed(role: TokenRoleRecord, change: RoleChange) -> TokenRoleRecord {
    let names = |new: Option<Vec<PolicyName>>, old: Vec<PolicyName>| new.unwrap_or(old);
    TokenRoleRecord {
        name: role.name,
        allowed: names(change.allowed, role.allowed),
        disallowed: names(change.disallowed, role.disallowed),
        allowed_globs: names(change.allowed_globs, role.allowed_globs),
        disallowed_globs: names(change.disallowed_globs, role.disallowed_globs),
        orphan: change.orphan.unwrap_or(role.orphan),
        renewable: change.renewable.unwrap_or(role.renewable),
        path_suffix: change.path_suffix.unwrap_or(role.path_suffix),
        period: change.period.unwrap_or(role.period),
        explicit_max_ttl: change.explicit_max_ttl.unwrap_or(role.explicit_max_ttl),
        num_uses: change.num_uses.unwrap_or(role.num_uses),
        bound_cidrs: change.bound_cidrs.unwrap_or(role.bound_cidrs),
        token_type: change.token_type.unwrap_or(role.token_type),
        no_default_policy: change.no_default_policy.unwrap_or(role.no_default_policy),
    }
}

fn check(role: &TokenRoleRecord) -> Result<(), TokenError> {
    for (field, names) in [
        ("allowed_policies", &role.allowed),
        ("disallowed_policies", &role.disallowed),
        ("allowed_policies_glob", &role.allowed_globs),
        ("disallowed_policies_glob", &role.disallowed_globs),
    ] {
        if names.len() > POLICIES_MAX {
            let problem = format!("at most {POLICIES_MAX}");
            return Err(TokenError::argument(field, problem));
        }
    }
    if role
        .num_uses
        .is_some_and(|uses| uses.get() > TOKEN_USES_MAX)
    {
        let problem = format!("at most {TOKEN_USES_MAX}");
        return Err(TokenError::argument("token_num_uses", problem));
    }
    // A role whose every use fails is found out when it is written.
    if matches!(
        role.token_type,
        RoleTokenType::Batch | RoleTokenType::DefaultBatch
    ) {
        let never = "batch tokens have none";
        for (field, set) in [
            ("token_period", role.period.is_some()),
            ("token_explicit_max_ttl", role.explicit_max_ttl.is_some()),
            ("token_num_uses", role.num_uses.is_some()),
        ] {
            if set {
                return Err(TokenError::argument(field, never));
            }
        }
    }
    Ok(())
}

/// Shows a role.
pub fn read_role(
    permit: &Permit<'_, ManageRoles<'_>>,
    name: &RoleName,
) -> Result<TokenRoleRecord, TokenError> {
    let row = load(permit.context.view, name)?;
    row.map(|row| row.value).ok_or(TokenError::RoleNotFound)
}

/// Deletes a role. One that doesn't exist is deleted already. Its tokens live on, and can't be
/// renewed any more.
pub fn delete_role(
    permit: &Permit<'_, ManageRoles<'_>>,
    name: &RoleName,
) -> Result<Plan<()>, TokenError> {
    let view = permit.context.view;
    let key = key_of_role(view.barrier(), name);
    let mut txn = Txn::default();
    if view.mod_revision::<TokenRoles>(&key)?.is_some() {
        let rows = RowCounts::of::<TokenRoles>(view)?;
        txn.insert_plain::<RowCounts>(&TokenRoles::ID, &rows.saturating_sub(1))?;
        txn.delete::<TokenRoles>(&key);
    }
    Ok(Plan { txn, response: () })
}

/// A page of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleNames {
    /// Names in storage order.
    pub names: Vec<RoleName>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<NameHash>,
}

/// Lists the names, a page at a time: those after `after`, at most `limit` of them.
pub fn list_roles(
    permit: &Permit<'_, ManageRoles<'_>>,
    after: Option<&NameHash>,
    limit: usize,
) -> Result<RoleNames, TokenError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let (mut start, end) = range_of::<TokenRoles>(&[]);
    if let Some(after) = after {
        start = successor(&key_of::<TokenRoles>(after));
    }
    let view = permit.context.view;
    let rows = view.scan::<TokenRoles>((start, end.clone()), limit)?;
    // A page may be shorter than asked for where roles are large: only an empty rest tells the end.
    let next = match rows.last() {
        None => None,
        Some(last) => {
            let rest = (successor(&key_of::<TokenRoles>(&last.key)), end);
            let more = !view.scan::<TokenRoles>(rest, 1)?.is_empty();
            Some(last.key).filter(|_| more)
        }
    };
    let names = rows.into_iter().map(|row| row.value.name).collect();
    Ok(RoleNames { names, next })
}
