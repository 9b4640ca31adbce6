//! Table `token_lease`: the leases of tokens, by their ids, so that tokens are found by the path
//! that made them.
//!
//! Key: the hashes of the id's segments, as those of leases. Value: sealed; the hash of the token,
//! whose record says all else. Lifetime: as the record of its token.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::barrier::{NameChain, TokenHash};

/// The table.
pub enum TokenLeases {}

impl Table for TokenLeases {
    const ID: u8 = 50;
    const NAME: &'static str = "token_lease";
    const SEALED: bool = true;
    type Key = NameChain;
    type Value = TokenHash;

    fn write_key(key: &NameChain, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NameChain> {
        NameChain::from_slice(bytes)
    }

    fn encode(value: &TokenHash) -> Zeroizing<Vec<u8>> {
        let plain = proto::TokenLease {
            format: FORMAT,
            token_hash: value.as_bytes().to_vec(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<TokenHash> {
        let plain = proto::TokenLease::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        TokenHash::from_slice(&plain.token_hash)
    }
}
