//! Table `cubbyhole`: all that a token keeps for itself.
//!
//! Key: the token's hash. Value: sealed [`CubbyholeRecord`]; one record, so that it goes with
//! the token's by one deletion, which needs no look. Lifetime: from the first write until the
//! token's record goes. One that is older than the token is that of another token, which had
//! the same chosen id: it counts as absent.

use std::collections::BTreeMap;

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::{
    barrier::TokenHash,
    types::{Path, Secret},
};

/// The table.
pub enum Cubbyholes {}

/// The secrets of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CubbyholeRecord {
    /// JSON text of one object for each path below the mount.
    pub secrets: BTreeMap<String, Secret<Vec<u8>>>,
}

impl Table for Cubbyholes {
    const ID: u8 = 46;
    const NAME: &'static str = "cubbyhole";
    const SEALED: bool = true;
    type Key = TokenHash;
    type Value = CubbyholeRecord;

    fn write_key(key: &TokenHash, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<TokenHash> {
        TokenHash::from_slice(bytes)
    }

    fn encode(value: &CubbyholeRecord) -> Zeroizing<Vec<u8>> {
        let secret = |(path, data): (&String, &Secret<Vec<u8>>)| proto::CubbyholeSecret {
            path: path.clone(),
            data: data.expose().clone(),
        };
        let plain = proto::Cubbyhole {
            format: FORMAT,
            secrets: value.secrets.iter().map(secret).collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<CubbyholeRecord> {
        let mut plain = proto::Cubbyhole::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let secret = |secret: &mut proto::CubbyholeSecret| {
            let path = std::mem::take(&mut secret.path);
            Path::parse(&path).ok()?;
            Some((path, Secret::new(std::mem::take(&mut secret.data))))
        };
        Some(CubbyholeRecord {
            secrets: plain
                .secrets
                .iter_mut()
                .map(secret)
                .collect::<Option<_>>()?,
        })
    }
}
