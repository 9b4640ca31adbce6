//! Table `token_role`: what tokens are made like.
//!
//! Key: the keyed hash of the name. Value: sealed [`TokenRoleRecord`]. Lifetime: until the role is
//! deleted; the tokens that were made with it live on, and can't be renewed any more.

use std::num::NonZeroU32;

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::NameHash,
    types::{Cidrs, PolicyName, RoleName, Ttl},
};

/// The table.
pub enum TokenRoles {}

/// What a role says of the kind of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleTokenType {
    /// Service tokens, whatever is asked.
    Service,
    /// Batch tokens, whatever is asked.
    Batch,
    /// Service tokens unless asked otherwise.
    #[default]
    DefaultService,
    /// Batch tokens unless asked otherwise.
    DefaultBatch,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRoleRecord {
    /// Its name.
    pub name: RoleName,
    /// Policies that its tokens may have. (Not a set of policies as a token has it, in which `root`
    /// swallows the others.)
    pub allowed: Vec<PolicyName>,
    /// Policies that they may not.
    pub disallowed: Vec<PolicyName>,
    /// Patterns of policies that they may have, "*" for anything.
    pub allowed_globs: Vec<PolicyName>,
    /// Patterns of policies that they may not.
    pub disallowed_globs: Vec<PolicyName>,
    /// Whether they have no parent.
    pub orphan: bool,
    /// Whether they can be renewed.
    pub renewable: bool,
    /// What their path ends with.
    pub path_suffix: Option<RoleName>,
    /// Makes them periodic.
    pub period: Option<Ttl>,
    /// Their longest life.
    pub explicit_max_ttl: Option<Ttl>,
    /// How often they can be used.
    pub num_uses: Option<NonZeroU32>,
    /// Networks that they may be used from.
    pub bound_cidrs: Cidrs,
    /// Their kind.
    pub token_type: RoleTokenType,
    /// Whether they go without `default`.
    pub no_default_policy: bool,
}

impl TokenRoleRecord {
    /// A role that says nothing.
    pub fn new(name: RoleName) -> Self {
        Self {
            name,
            allowed: Vec::new(),
            disallowed: Vec::new(),
            allowed_globs: Vec::new(),
            disallowed_globs: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: None,
            period: None,
            explicit_max_ttl: None,
            num_uses: None,
            bound_cidrs: Cidrs::default(),
            token_type: RoleTokenType::default(),
            no_default_policy: false,
        }
    }
}

impl Table for TokenRoles {
    const ID: u8 = 49;
    const NAME: &'static str = "token_role";
    const SEALED: bool = true;
    type Key = NameHash;
    type Value = TokenRoleRecord;

    fn write_key(key: &NameHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NameHash> {
        NameHash::from_slice(bytes)
    }

    fn encode(value: &TokenRoleRecord) -> Zeroizing<Vec<u8>> {
        let names = |names: &[PolicyName]| names.iter().map(|name| name.as_str().into()).collect();
        let plain = proto::TokenRole {
            format: FORMAT,
            name: value.name.as_str().into(),
            allowed_policies: names(&value.allowed),
            disallowed_policies: names(&value.disallowed),
            allowed_policies_glob: names(&value.allowed_globs),
            disallowed_policies_glob: names(&value.disallowed_globs),
            orphan: value.orphan,
            renewable: value.renewable,
            path_suffix: value.path_suffix.as_ref().map(|part| part.as_str().into()),
            period_s: value.period.map(Ttl::as_seconds),
            explicit_max_ttl_s: value.explicit_max_ttl.map(Ttl::as_seconds),
            num_uses: value.num_uses.map(NonZeroU32::get),
            bound_cidrs: value.bound_cidrs.texts().collect(),
            token_type: match value.token_type {
                RoleTokenType::Service => 1,
                RoleTokenType::Batch => 2,
                RoleTokenType::DefaultService => 3,
                RoleTokenType::DefaultBatch => 4,
            },
            no_default_policy: value.no_default_policy,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<TokenRoleRecord> {
        let plain = proto::TokenRole::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let names = |names: &[String]| {
            let names = names.iter().map(|name| PolicyName::parse(name).ok());
            names.collect::<Option<Vec<_>>>()
        };
        let ttl = |seconds: Option<u64>| seconds.map(Ttl::from_seconds).transpose().ok();
        Some(TokenRoleRecord {
            name: RoleName::parse(&plain.name).ok()?,
            allowed: names(&plain.allowed_policies)?,
            disallowed: names(&plain.disallowed_policies)?,
            allowed_globs: names(&plain.allowed_policies_glob)?,
            disallowed_globs: names(&plain.disallowed_policies_glob)?,
            orphan: plain.orphan,
            renewable: plain.renewable,
            path_suffix: super::role(plain.path_suffix.as_deref())?,
            period: ttl(plain.period_s)?,
            explicit_max_ttl: ttl(plain.explicit_max_ttl_s)?,
            num_uses: plain.num_uses.map(NonZeroU32::try_from).transpose().ok()?,
            bound_cidrs: Cidrs::parse(plain.bound_cidrs.iter().map(String::as_str)).ok()?,
            token_type: match plain.token_type {
                1 => RoleTokenType::Service,
                2 => RoleTokenType::Batch,
                3 => RoleTokenType::DefaultService,
                4 => RoleTokenType::DefaultBatch,
                _ => return None,
            },
            no_default_policy: plain.no_default_policy,
        })
    }
}
