//! Table `kv_version`: the data of each version of kv version 2.
//!
//! Key: as that of table `secret`, then the version, big-endian. Value: sealed; JSON text of
//! one object. Lifetime: until the version is pruned or destroyed, or its metadata deleted.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::{
    SecretKey,
    secret::{read_secret_key, write_secret_key},
    table::{FORMAT, Table, known_format},
};
use crate::types::Secret;

/// The table.
pub enum KvVersions {}

/// A version of a secret.
pub type KvVersionKey = (SecretKey, u64);

impl Table for KvVersions {
    const ID: u8 = 44;
    const NAME: &'static str = "kv_version";
    const SEALED: bool = true;
    type Key = KvVersionKey;
    type Value = Secret<Vec<u8>>;

    fn write_key((secret, version): &KvVersionKey, out: &mut Vec<u8>) {
        write_secret_key(secret, out);
        out.extend_from_slice(&version.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<KvVersionKey> {
        let (secret, version) = bytes.split_last_chunk()?;
        Some((read_secret_key(secret)?, u64::from_be_bytes(*version)))
    }

    fn encode(value: &Secret<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let plain = proto::KvVersion {
            format: FORMAT,
            data: value.expose().clone(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Secret<Vec<u8>>> {
        let mut plain = proto::KvVersion::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(Secret::new(std::mem::take(&mut plain.data)))
    }
}
