//! Table `policy`: the texts of the policies.
//!
//! Key: the keyed hash of the name. Value: sealed; the name, so that it can be listed, and the
//! text as it was written. Lifetime: until the policy is deleted. `default` without a row has
//! its built-in text; `root` never has one.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{barrier::NameHash, types::PolicyName};

/// The table.
pub enum Policies {}

/// A policy as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Its name.
    pub name: PolicyName,
    /// Its text, as it was written. A text that was kept was parsed before.
    pub text: String,
}

impl Table for Policies {
    const ID: u8 = 48;
    const NAME: &'static str = "policy";
    const SEALED: bool = true;
    type Key = NameHash;
    type Value = PolicyRecord;

    fn write_key(key: &NameHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NameHash> {
        NameHash::from_slice(bytes)
    }

    fn encode(value: &PolicyRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::Policy {
            format: FORMAT,
            name: value.name.as_str().to_owned(),
            text: value.text.clone(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<PolicyRecord> {
        let plain = proto::Policy::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(PolicyRecord {
            name: PolicyName::parse(&plain.name).ok()?,
            text: plain.text,
        })
    }
}
