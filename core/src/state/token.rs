//! Table `token`: what is known of a token.
//!
//! Key: the hash of its id (the id itself is stored nowhere). Value: sealed
//! [`TokenRecord`]. Lifetime: from creation until clean-up. That a record exists doesn't
//! mean that the token lives: its expiry, its ancestors and the tombstones decide.

use std::num::NonZeroU32;

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::TokenHash,
    types::{Accessor, Cidrs, DisplayName, Expiry, Meta, PolicySet, RoleName, Ttl, UnixMillis},
};

/// The table.
pub enum Tokens {}

/// A token. Everything but its uses and its expiry is fixed when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Handle for those who manage it. `None` for a batch token, of which no record is stored.
    pub accessor: Option<Accessor>,
    /// Hashes of the ancestors, oldest first, the parent last. Empty: an orphan.
    pub ancestors: Vec<TokenHash>,
    /// What it may do.
    pub policies: PolicySet,
    /// The request path that made it.
    pub path: String,
    /// Name for listings.
    pub display_name: DisplayName,
    /// Free-form data of its maker.
    pub meta: Meta,
    /// Uses that are left, if they are limited.
    pub uses_left: Option<NonZeroU32>,
    /// When it was made.
    pub created: UnixMillis,
    /// When it ends by itself.
    pub expiry: Expiry,
    /// What it was granted when it was made; `None` if it was made without an end.
    pub creation_ttl: Option<Ttl>,
    /// The longest life that its maker allows.
    pub explicit_max_ttl: Option<Ttl>,
    /// Each renewal gives it this long.
    pub period: Option<Ttl>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was renewed last.
    pub last_renewal: Option<UnixMillis>,
    /// The role that it was made with.
    pub role: Option<RoleName>,
    /// Networks that it may be used from.
    pub bound_cidrs: Cidrs,
}

impl Table for Tokens {
    const ID: u8 = 16;
    const NAME: &'static str = "token";
    const SEALED: bool = true;
    type Key = TokenHash;
    type Value = TokenRecord;

    fn write_key(key: &TokenHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<TokenHash> {
        TokenHash::from_slice(bytes)
    }

    fn encode(value: &TokenRecord) -> Zeroizing<Vec<u8>> {
        let end = match value.expiry {
            Expiry::Never => proto::expiry::End::Never(proto::Never {}),
            Expiry::At(at) => proto::expiry::End::AtMs(at.get()),
        };
        let entry = |(key, value): (&str, &str)| proto::MetaEntry {
            key: key.into(),
            value: value.into(),
        };
        let plain = proto::Token {
            format: FORMAT,
            accessor: value
                .accessor
                .as_ref()
                .map_or_else(String::new, |accessor| accessor.as_str().into()),
            ancestors: value
                .ancestors
                .iter()
                .map(|hash| hash.as_bytes().to_vec())
                .collect(),
            policies: value
                .policies
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            path: value.path.clone(),
            display_name: value.display_name.as_str().into(),
            meta: value.meta.iter().map(entry).collect(),
            uses_left: value.uses_left.map(NonZeroU32::get),
            created_ms: value.created.get(),
            expiry: Some(proto::Expiry { end: Some(end) }),
            creation_ttl_s: value.creation_ttl.map(Ttl::as_seconds),
            explicit_max_ttl_s: value.explicit_max_ttl.map(Ttl::as_seconds),
            period_s: value.period.map(Ttl::as_seconds),
            renewable: value.renewable,
            last_renewal_ms: value.last_renewal.map(UnixMillis::get),
            role: value.role.as_ref().map(|role| role.as_str().to_owned()),
            bound_cidrs: value.bound_cidrs.texts().collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<TokenRecord> {
        let plain = proto::Token::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let ttl = |seconds: Option<u64>| seconds.map(Ttl::from_seconds).transpose().ok();
        Some(TokenRecord {
            accessor: Some(Accessor::parse(&plain.accessor)?),
            ancestors: plain
                .ancestors
                .iter()
                .map(|b| TokenHash::from_slice(b))
                .collect::<Option<_>>()?,
            policies: PolicySet::parse(plain.policies.iter().map(String::as_str)).ok()?,
            path: plain.path,
            display_name: DisplayName::from_record(plain.display_name),
            meta: Meta::new(plain.meta.into_iter().map(|entry| (entry.key, entry.value))).ok()?,
            // A record that says 0 is corrupt: it must become neither "none" nor "unlimited".
            uses_left: plain.uses_left.map(NonZeroU32::try_from).transpose().ok()?,
            created: UnixMillis::new(plain.created_ms),
            expiry: match plain.expiry?.end? {
                proto::expiry::End::Never(_) => Expiry::Never,
                proto::expiry::End::AtMs(at) => Expiry::At(UnixMillis::new(at)),
            },
            creation_ttl: ttl(plain.creation_ttl_s)?,
            explicit_max_ttl: ttl(plain.explicit_max_ttl_s)?,
            period: ttl(plain.period_s)?,
            renewable: plain.renewable,
            last_renewal: plain.last_renewal_ms.map(UnixMillis::new),
            role: role(plain.role.as_deref())?,
            bound_cidrs: Cidrs::parse(plain.bound_cidrs.iter().map(String::as_str)).ok()?,
        })
    }
}

/// The name of a role that may be there.
pub(crate) fn role(text: Option<&str>) -> Option<Option<RoleName>> {
    text.map(RoleName::parse).transpose().ok()
}
