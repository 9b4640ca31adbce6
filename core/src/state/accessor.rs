//! Table `accessor`: from an accessor to its token, and the order of listings.
//!
//! Key: the hash of the accessor. Value: sealed; the hash of the token, and the accessor
//! in clear, so that it can be listed. Lifetime: as the record of its token.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::{AccessorHash, TokenHash},
    types::Accessor,
};

/// The table.
pub enum Accessors {}

/// Where an accessor leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessorRecord {
    /// The accessor.
    pub accessor: Accessor,
    /// The token.
    pub token: TokenHash,
}

impl Table for Accessors {
    const ID: u8 = 17;
    const NAME: &'static str = "accessor";
    const SEALED: bool = true;
    type Key = AccessorHash;
    type Value = AccessorRecord;

    fn write_key(key: &AccessorHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<AccessorHash> {
        AccessorHash::from_slice(bytes)
    }

    fn encode(value: &AccessorRecord) -> Zeroizing<Vec<u8>> {
        let plain = proto::Accessor {
            format: FORMAT,
            accessor: value.accessor.as_str().into(),
            token_hash: value.token.as_bytes().to_vec(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<AccessorRecord> {
        let plain = proto::Accessor::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(AccessorRecord {
            accessor: Accessor::parse(&plain.accessor)?,
            token: TokenHash::from_slice(&plain.token_hash)?,
        })
    }
}
