//! Table `lease`: what is on lease.
//!
//! Key: the hashes of the id's segments, each keyed by the one before, so that all leases
//! under a prefix lie together and no name is shown. Value: sealed [`LeaseRecord`].
//! Lifetime: from the grant until clean-up. That a record exists doesn't mean that the lease
//! lives: its expiry, its token and the tombstones decide. The token's ancestors aren't
//! repeated here: the token's own record names them, and without it the lease is dead.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::{Barrier, NameChain, TokenHash},
    types::{DisplayName, LeaseId, Path, RoleName, Secret, Ttl, UnixMillis},
};

/// The table.
pub enum Leases {}

/// A lease. Everything but its expiry is fixed when it is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Its id.
    pub id: LeaseId,
    /// What was put on lease.
    pub payload: Secret<Vec<u8>>,
    /// The token that it belongs to.
    pub token: TokenHash,
    /// When it was granted.
    pub created: UnixMillis,
    /// When it ends by itself.
    pub expires: UnixMillis,
    /// What it was granted at first.
    pub creation_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was renewed last.
    pub last_renewal: Option<UnixMillis>,
    /// What is to be known of its token, if that is a batch token.
    pub batch: Option<BatchOwner>,
}

impl LeaseRecord {
    /// The tokens that it is listed under: its own, and the parent of a batch token, with which it
    /// is cleared away.
    pub fn owners(&self) -> impl Iterator<Item = TokenHash> {
        let parent = self.batch.as_ref().and_then(|batch| batch.parent);
        [self.token].into_iter().chain(parent)
    }

    /// The path that it is listed under: that which made its batch token.
    pub fn made_at(&self, barrier: &Barrier) -> Option<NameChain> {
        let batch = self.batch.as_ref()?;
        Some(barrier.name_chain(batch.path.split('/')))
    }
}

/// A batch token that a lease belongs to. Nothing else is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOwner {
    /// Its parent; `None`: an orphan.
    pub parent: Option<TokenHash>,
    /// The path that made it.
    pub path: String,
    /// Its name.
    pub display_name: DisplayName,
    /// When it ends.
    pub expires: UnixMillis,
    /// Revision that it counts as made at.
    pub created_revision: u64,
    /// The role that it was made with.
    pub role: Option<RoleName>,
}

impl Table for Leases {
    const ID: u8 = 23;
    const NAME: &'static str = "lease";
    const SEALED: bool = true;
    type Key = NameChain;
    type Value = LeaseRecord;

    fn write_key(key: &NameChain, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NameChain> {
        NameChain::from_slice(bytes)
    }

    fn encode(value: &LeaseRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::Lease {
            format: FORMAT,
            path: value.id.path().as_str().into(),
            suffix: value.id.suffix().into(),
            payload: value.payload.expose().clone(),
            token_hash: value.token.as_bytes().to_vec(),
            created_ms: value.created.get(),
            expires_ms: value.expires.get(),
            creation_ttl_s: value.creation_ttl.as_seconds(),
            renewable: value.renewable,
            last_renewal_ms: value.last_renewal.map(UnixMillis::get),
            batch: value.batch.as_ref().map(|batch| proto::BatchOwner {
                parent: batch.parent.map(|parent| parent.as_bytes().to_vec()),
                path: batch.path.clone(),
                display_name: batch.display_name.as_str().into(),
                expires_ms: batch.expires.get(),
                created_revision: batch.created_revision,
                role: batch.role.as_ref().map(|role| role.as_str().into()),
            }),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<LeaseRecord> {
        let mut plain = proto::Lease::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(LeaseRecord {
            id: LeaseId::of(Path::parse(&plain.path).ok()?, &plain.suffix).ok()?,
            payload: Secret::new(std::mem::take(&mut plain.payload)),
            token: TokenHash::from_slice(&plain.token_hash)?,
            created: UnixMillis::new(plain.created_ms),
            expires: UnixMillis::new(plain.expires_ms),
            creation_ttl: Ttl::from_seconds(plain.creation_ttl_s).ok()?,
            renewable: plain.renewable,
            last_renewal: plain.last_renewal_ms.map(UnixMillis::new),
            batch: match plain.batch.take() {
                None => None,
                Some(mut batch) => Some(BatchOwner {
                    parent: parent(batch.parent.as_deref())?,
                    path: std::mem::take(&mut batch.path),
                    display_name: DisplayName::from_record(std::mem::take(&mut batch.display_name)),
                    expires: UnixMillis::new(batch.expires_ms),
                    created_revision: batch.created_revision,
                    role: super::role(batch.role.as_deref())?,
                }),
            },
        })
    }
}

/// The hash of a parent that may be there.
pub(crate) fn parent(bytes: Option<&[u8]>) -> Option<Option<TokenHash>> {
    match bytes {
        None => Some(None),
        Some(bytes) => TokenHash::from_slice(bytes).map(Some),
    }
}
