//! Table `event`: what happened to leases and tokens, for those who watch.
//!
//! Key: the revision of the transaction that did it, big endian; the sequencer puts it in
//! ([`Txn::tell`](super::Txn::tell)), so that events lie in the order of their commits. One row
//! for each transaction that has any. Value: sealed list of [`Event`], for the table and not for
//! its key, which isn't known yet when it is sealed; the row's own revision must be that of its
//! key. Lifetime: bounded by bytes and by time (`event_mark`), not by what the events are about.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::TokenHash,
    types::{Accessor, LeaseId, Path, UnixMillis},
};

/// The table.
pub enum Events {}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Put on lease.
    Granted,
    /// Given another end.
    Renewed,
    /// Ended by its time.
    Expired,
    /// Ended by a call, or with what it belongs to.
    Revoked,
}

/// What it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A lease.
    Lease(LeaseId),
    /// All leases under a prefix.
    Prefix(Path),
    /// A token, with all that depends on it.
    Token(Accessor),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To what.
    pub about: About,
    /// Cluster time of the call or of the clean-up.
    pub at: UnixMillis,
    /// The token that the lease belongs to, or the token itself; `None` for a prefix.
    pub token: Option<TokenHash>,
    /// Accessor of the token that the lease belongs to, where it was at hand.
    pub owner: Option<Accessor>,
    /// When the lease ends by itself; of a grant and of a renewal.
    pub expires: Option<UnixMillis>,
}

const GRANTED: u32 = 1;
const RENEWED: u32 = 2;
const EXPIRED: u32 = 3;
const REVOKED: u32 = 4;

impl Events {
    /// The keys after a revision.
    pub fn range_after(revision: u64) -> (bytes::Bytes, bytes::Bytes) {
        let (start, end) = super::range_of::<Self>(&[]);
        match revision.checked_add(1) {
            Some(next) => (super::key_of::<Self>(&next).max(start), end),
            None => (end.clone(), end),
        }
    }

    /// The keys up to a revision, it included.
    pub fn range_to(revision: u64) -> (bytes::Bytes, bytes::Bytes) {
        let (start, _) = super::range_of::<Self>(&[]);
        (start, Self::range_after(revision).0)
    }
}

impl Event {
    fn to_proto(&self) -> proto::Event {
        let mut event = proto::Event {
            kind: match self.kind {
                EventKind::Granted => GRANTED,
                EventKind::Renewed => RENEWED,
                EventKind::Expired => EXPIRED,
                EventKind::Revoked => REVOKED,
            },
            at_ms: self.at.get(),
            token_hash: self.token.map(|hash| hash.as_bytes().to_vec()),
            owner: self.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            expires_ms: self.expires.map(UnixMillis::get),
            about: None,
        };
        event.about = Some(match &self.about {
            About::Lease(id) => proto::event::About::Lease(proto::LeaseName {
                path: id.path().as_str().to_owned(),
                suffix: id.suffix().to_owned(),
            }),
            About::Prefix(path) => proto::event::About::Prefix(path.as_str().to_owned()),
            About::Token(accessor) => proto::event::About::Token(accessor.as_str().to_owned()),
        });
        event
    }

    fn of_proto(event: proto::Event) -> Option<Self> {
        let kind = match event.kind {
            GRANTED => EventKind::Granted,
            RENEWED => EventKind::Renewed,
            EXPIRED => EventKind::Expired,
            REVOKED => EventKind::Revoked,
            _ => return None,
        };
        let about = match event.about? {
            proto::event::About::Lease(name) => {
                About::Lease(LeaseId::of(Path::parse(&name.path).ok()?, &name.suffix).ok()?)
            }
            proto::event::About::Prefix(path) => About::Prefix(Path::parse(&path).ok()?),
            proto::event::About::Token(accessor) => About::Token(Accessor::parse(&accessor)?),
        };
        let token = match event.token_hash {
            Some(hash) => Some(TokenHash::from_slice(&hash)?),
            None => None,
        };
        let owner = match event.owner {
            Some(owner) => Some(Accessor::parse(&owner)?),
            None => None,
        };
        Some(Self {
            kind,
            about,
            at: UnixMillis::new(event.at_ms),
            token,
            owner,
            expires: event.expires_ms.map(UnixMillis::new),
        })
    }
}

impl Table for Events {
    const ID: u8 = 60;
    const NAME: &'static str = "event";
    const SEALED: bool = true;
    const AT_REVISION: bool = true;
    type Key = u64;
    type Value = Vec<Event>;

    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u64> {
        bytes.try_into().ok().map(u64::from_be_bytes)
    }

    fn encode(value: &Vec<Event>) -> Zeroizing<Vec<u8>> {
        let plain = proto::Events {
            format: FORMAT,
            events: value.iter().map(Event::to_proto).collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Vec<Event>> {
        let plain = proto::Events::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        plain.events.into_iter().map(Event::of_proto).collect()
    }
}
