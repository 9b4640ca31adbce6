//! Creation of tokens. A child never gets more than its parent has, unless who asks
//! has `sudo`; root, only from root.

use std::num::NonZeroU32;

use super::{
    Context, Create, Denied, Entry, Permit, Plan, Precondition, TokenError, TokenInfo,
    ttl::{Terms, grant},
};
use crate::{
    barrier::TokenHash,
    policy, quota,
    random::Random,
    state::{
        AccessorRecord, Accessors, Due, DueKind, TimeIndex, TokenChildren, TokenRecord, Tokens, Txn,
    },
    types::{
        Accessor, DisplayName, Expiry, Meta, PolicyName, PolicySet, TokenId, TtlRequest,
        limits::{DISPLAY_NAME_BYTES_MAX, TOKEN_ANCESTORS_MAX, TOKEN_USES_MAX},
    },
};

const CREATE_PATH: &str = "auth/token/create";
const ROOT_PATH: &str = "auth/token/root";

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// Stored, renewable, revocable.
    #[default]
    Service,
    /// A sealed blob that is stored nowhere.
    Batch,
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// An id of the caller's choice.
    pub id: Option<TokenId>,
    /// What it may do; empty: what its parent may.
    pub policies: PolicySet,
    /// Whether `default` is left out.
    pub no_default_policy: bool,
    /// Whether it has no parent.
    pub no_parent: bool,
    /// Free-form data.
    pub meta: Meta,
    /// Name for listings.
    pub display_name: String,
    /// How often it can be used; `None`: without limit.
    pub num_uses: Option<NonZeroU32>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// How long it lives.
    pub ttl: TtlRequest,
    /// How long it lives at most, renewals included.
    pub explicit_max_ttl: TtlRequest,
    /// Makes it periodic: each renewal gives it this long.
    pub period: TtlRequest,
    /// Its kind.
    pub token_type: TokenType,
}

impl Default for CreateRequest {
    fn default() -> Self {
        Self {
            id: None,
            policies: PolicySet::default(),
            no_default_policy: false,
            no_parent: false,
            meta: Meta::default(),
            display_name: String::new(),
            num_uses: None,
            renewable: true,
            ttl: TtlRequest::Default,
            explicit_max_ttl: TtlRequest::Default,
            period: TtlRequest::Default,
            token_type: TokenType::Service,
        }
    }
}

/// A new token.
#[derive(Clone, Debug)]
pub struct CreatedToken {
    /// The id: shown now, and never again.
    pub id: TokenId,
    /// The token.
    pub info: TokenInfo,
    /// What was given otherwise than it was asked for.
    pub warnings: Vec<String>,
}

/// Creates a token for the caller.
pub fn create(
    permit: &Permit<'_, Create<'_>>,
    request: CreateRequest,
    random: &mut dyn Random,
) -> Result<Plan<CreatedToken>, TokenError> {
    let context = permit.context;
    let parent = &permit.caller.entry;
    check_privileges(permit, &request)?;
    if permit.caller.is_use_limited() {
        return Err(Precondition::UseLimitedParent.into());
    }
    if request
        .num_uses
        .is_some_and(|uses| uses.get() > TOKEN_USES_MAX)
    {
        return Err(TokenError::argument(
            "num_uses",
            format!("at most {TOKEN_USES_MAX}"),
        ));
    }
    let display_name = DisplayName::for_token(&request.display_name).ok_or_else(|| {
        TokenError::argument(
            "display_name",
            format!("at most {DISPLAY_NAME_BYTES_MAX} bytes"),
        )
    })?;
    let policies = child_policies(permit, &request)?;
    let mut unknown = Vec::new();
    for name in policies.iter() {
        if !policy::exists(context.view, name)? {
            unknown.push(format!("policy \"{name}\" does not exist"));
        }
    }
    let terms = Terms {
        ttl: request.ttl,
        explicit_max: request.explicit_max_ttl,
        period: request.period,
        root: policies.is_root(),
    };
    let grant = grant(context.ttl, terms, context.now);
    if grant.expiry == Expiry::Never && parent.record.expiry != Expiry::Never {
        return Err(Precondition::ExpiringRootParent.into());
    }
    let record = TokenRecord {
        accessor: Accessor::issue(random),
        ancestors: child_ancestors(parent, request.no_parent)?,
        policies,
        path: CREATE_PATH.to_owned(),
        display_name,
        meta: request.meta,
        uses_left: request.num_uses,
        created: context.now,
        expiry: grant.expiry,
        creation_ttl: grant.ttl,
        explicit_max_ttl: grant.explicit_max,
        period: grant.period,
        renewable: request.renewable && grant.expiry != Expiry::Never,
        last_renewal: None,
    };
    let mut warnings = grant.warnings;
    warnings.append(&mut unknown);
    plan(context, request.id, record, warnings, random)
}

/// A root token without an end, for init and generate-root: they answer for who may ask.
pub fn create_root(
    context: Context<'_>,
    id: Option<TokenId>,
    random: &mut dyn Random,
) -> Result<Plan<CreatedToken>, TokenError> {
    let record = TokenRecord {
        accessor: Accessor::issue(random),
        ancestors: Vec::new(),
        policies: PolicySet::root(),
        path: ROOT_PATH.to_owned(),
        display_name: DisplayName::root(),
        meta: Meta::default(),
        uses_left: None,
        created: context.now,
        expiry: Expiry::Never,
        creation_ttl: None,
        explicit_max_ttl: None,
        period: None,
        renewable: false,
        last_renewal: None,
    };
    plan(context, id, record, Vec::new(), random)
}

/// What needs `sudo` on the path.
fn check_privileges(
    permit: &Permit<'_, Create<'_>>,
    request: &CreateRequest,
) -> Result<(), TokenError> {
    if request.token_type == TokenType::Batch {
        return Err(TokenError::Unimplemented("batch tokens"));
    }
    if request.id.is_some() {
        permit.require_sudo("choose a token id")?;
    }
    if request.no_parent {
        permit.require_sudo("create a token without a parent")?;
    }
    if request.period.asked().is_some() {
        permit.require_sudo("create a periodic token")?;
    }
    Ok(())
}

/// Without `sudo` a child gets no policy that its parent hasn't; with it any but root, which
/// only root gives.
fn child_policies(
    permit: &Permit<'_, Create<'_>>,
    request: &CreateRequest,
) -> Result<PolicySet, TokenError> {
    let caller = &permit.caller;
    let own = &caller.entry.record.policies;
    let asked = if request.policies.is_empty() {
        own
    } else {
        &request.policies
    };
    if asked.is_root() && !caller.is_root() {
        return Err(Denied::RootOnly.into());
    }
    if !permit.has_sudo() && !asked.is_subset(own) {
        return Err(Denied::PoliciesNotSubset.into());
    }
    // `default` is a right, too: a parent without it can't give it.
    let may_default = permit.has_sudo() || own.contains(&PolicyName::default_policy());
    if request.no_default_policy || !may_default {
        return Ok(asked.clone());
    }
    asked
        .clone()
        .with_default()
        .map_err(|error| TokenError::argument("policies", error))
}

fn child_ancestors(parent: &Entry, no_parent: bool) -> Result<Vec<TokenHash>, TokenError> {
    if no_parent {
        return Ok(Vec::new());
    }
    if parent.ancestors.len() >= TOKEN_ANCESTORS_MAX {
        return Err(Precondition::TooDeep.into());
    }
    Ok(parent
        .ancestors
        .iter()
        .copied()
        .chain([parent.hash])
        .collect())
}

/// Writes the rows of a new token.
fn plan(
    context: Context<'_>,
    id: Option<TokenId>,
    record: TokenRecord,
    warnings: Vec<String>,
    random: &mut dyn Random,
) -> Result<Plan<CreatedToken>, TokenError> {
    let (view, barrier) = (context.view, context.view.barrier());
    let id = id.unwrap_or_else(|| TokenId::issue(random));
    let hash = barrier.token_hash(&id);
    // Even the remains of a dead token keep its id, until they are cleaned up.
    if view.get::<Tokens>(&hash)?.is_some() {
        return Err(TokenError::argument("id", "a token with this id exists"));
    }
    let mut txn = Txn::default();
    quota::admit_token(view, &mut txn, &record.path)?;
    txn.insert::<Tokens>(barrier, &hash, &record, random)?;
    let accessor = AccessorRecord {
        accessor: record.accessor.clone(),
        token: hash,
    };
    txn.insert::<Accessors>(
        barrier,
        &barrier.accessor_hash(&record.accessor),
        &accessor,
        random,
    )?;
    if let Some(parent) = record.ancestors.last() {
        txn.insert::<TokenChildren>(barrier, &(*parent, hash), &(), random)?;
    }
    if let Expiry::At(at) = record.expiry {
        txn.insert::<TimeIndex>(
            barrier,
            &Due {
                at,
                kind: DueKind::Token(hash),
            },
            &(),
            random,
        )?;
    }
    let entry = Entry {
        hash,
        created: 0,
        ancestors: record.ancestors.clone(),
        record,
    };
    let info = TokenInfo::new(&entry, Some(id.clone()), context.now);
    Ok(Plan {
        txn,
        response: CreatedToken { id, info, warnings },
    })
}
