//! Table `shares_backup`: the shares of the last rekey that was to be kept, each encrypted to the
//! PGP key of its holder: nobody here can read them.
//!
//! Key: which shares (one byte). Value: sealed [`SharesBackup`]. Lifetime: from the moment when
//! they are in force until they are deleted or others are kept.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::token::Shares;

/// The table.
pub enum SharesBackups {}

/// Shares that were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharesBackup {
    /// Of the rekey that made them.
    pub nonce: String,
    /// They, in their order.
    pub shares: Vec<EncryptedShare>,
}

/// A share that was encrypted to a PGP key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedShare {
    /// Fingerprint of the key, in hex.
    pub fingerprint: String,
    /// The OpenPGP message.
    pub message: Vec<u8>,
}

impl Table for SharesBackups {
    const ID: u8 = 59;
    const NAME: &'static str = "shares_backup";
    const SEALED: bool = true;
    type Key = Shares;
    type Value = SharesBackup;

    fn write_key(of: &Shares, out: &mut Vec<u8>) {
        out.push(match of {
            Shares::Root => 1,
            Shares::Recovery => 2,
        });
    }

    fn read_key(bytes: &[u8]) -> Option<Shares> {
        match bytes {
            [1] => Some(Shares::Root),
            [2] => Some(Shares::Recovery),
            _ => None,
        }
    }

    fn encode(value: &SharesBackup) -> Zeroizing<Vec<u8>> {
        let shares = value.shares.iter().map(|share| proto::EncryptedShare {
            fingerprint: share.fingerprint.clone(),
            message: share.message.clone(),
        });
        let plain = proto::SharesBackup {
            format: FORMAT,
            nonce: value.nonce.clone(),
            shares: shares.collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<SharesBackup> {
        let plain = proto::SharesBackup::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let shares = plain.shares.into_iter().map(|share| EncryptedShare {
            fingerprint: share.fingerprint,
            message: share.message,
        });
        Some(SharesBackup {
            nonce: plain.nonce,
            shares: shares.collect(),
        })
    }
}
