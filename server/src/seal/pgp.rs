//! Key shares and root tokens under OpenPGP public keys: only who has the private key reads what is
//! shown. Nothing here decrypts or signs, and no private key ever comes here.

use std::sync::Arc;

use pgp::{
    composed::{Deserializable, MessageBuilder, SignedPublicKey, SignedPublicSubKey},
    crypto::sym::SymmetricKeyAlgorithm,
    packet::{PublicKey, PublicSubkey, Signature, SignatureType},
    types::{EncryptionKey, KeyDetails, Tag},
};
use rand_core::OsRng;
use tenure_core::{
    barrier::shamir::Share,
    types::{Secret, UnixMillis},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    error::Error,
    limits::{PGP_CHECKS_MAX, PGP_KEY_BYTES_MAX, PGP_SIGNATURES_MAX},
};

/// A public key that something can be encrypted to.
pub struct PgpKey {
    to: Recipient,
    /// Of the whole key, in hex.
    fingerprint: String,
}

/// The part of a key that is meant for encryption.
enum Recipient {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

/// Why a key can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgpError {
    /// Too long.
    #[error("a PGP key has at most {PGP_KEY_BYTES_MAX} bytes")]
    TooLong,
    /// More signatures than anybody needs.
    #[error("a PGP key has at most {PGP_SIGNATURES_MAX} signatures here: export a minimal one")]
    TooManySignatures,
    /// It can't be read.
    #[error("not an OpenPGP public key, binary or armored")]
    Malformed,
    /// Its owner has revoked it, it has expired, or it doesn't vouch for itself.
    #[error("the PGP key is revoked or expired, or has no valid signature of its own")]
    NotValid,
    /// No part of it is valid and meant for encryption.
    #[error("the PGP key has no valid part that is meant for encryption")]
    NoEncryption,
    /// Encrypting to it failed.
    #[error("nothing can be encrypted to the PGP key")]
    Failed,
}

impl PgpKey {
    /// Reads a key and finds its newest part that is meant for encryption and valid now.
    ///
    /// # Errors
    /// There is none, or it isn't a key at all.
    pub fn parse(bytes: &[u8], now: UnixMillis) -> Result<Self, PgpError> {
        if bytes.len() > PGP_KEY_BYTES_MAX {
            return Err(PgpError::TooLong);
        }
        let (key, _) =
            SignedPublicKey::from_reader_single(bytes).map_err(|_| PgpError::Malformed)?;
        if signatures(&key) > PGP_SIGNATURES_MAX {
            return Err(PgpError::TooManySignatures);
        }
        let own = own_signature(&key, now)
            .filter(|own| !is_over(own, &key, now))
            .ok_or(PgpError::NotValid)?;
        let subkeys = key.public_subkeys.iter();
        let subkey = subkeys
            .filter(|subkey| encrypts(&key, subkey, now))
            .max_by_key(|subkey| subkey.created_at().as_secs());
        let to = match subkey {
            Some(subkey) => Recipient::Subkey(subkey.key.clone()),
            None if is_meant(own) && key.algorithm().can_encrypt() => {
                Recipient::Primary(key.primary_key.clone())
            }
            None => return Err(PgpError::NoEncryption),
        };
        let fingerprint = hex::encode(key.fingerprint().as_bytes());
        let key = Self { to, fingerprint };
        // Told now, and not once shares were given.
        key.encrypt(b"a trial")?;
        Ok(key)
    }

    /// Its fingerprint, in hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// An OpenPGP message that says this.
    ///
    /// # Errors
    /// The key refuses it.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, PgpError> {
        match &self.to {
            Recipient::Primary(key) => encrypt_to(key, plain),
            Recipient::Subkey(key) => encrypt_to(key, plain),
        }
    }
}

fn encrypt_to(key: &impl EncryptionKey, plain: &[u8]) -> Result<Vec<u8>, PgpError> {
    // Wiped when the message is made.
    let plain = bytes::Bytes::from_owner(Zeroizing::new(plain.to_vec()));
    let mut message =
        MessageBuilder::from_bytes("", plain).seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    message
        .encrypt_to_key(OsRng, key)
        .map_err(|_| PgpError::Failed)?;
    message.to_vec(OsRng).map_err(|_| PgpError::Failed)
}

fn signatures(key: &SignedPublicKey) -> usize {
    let details = &key.details;
    let users = details.users.iter().map(|user| user.signatures.len());
    let attributes = details.user_attributes.iter().map(|a| a.signatures.len());
    let subkeys = key.public_subkeys.iter().map(|sub| sub.signatures.len());
    let direct = details.direct_signatures.len() + details.revocation_signatures.len();
    direct + users.chain(attributes).chain(subkeys).sum::<usize>()
}

/// The newest signature by which the key vouches for itself. `None`: there is none, or it is revoked.
fn own_signature(key: &SignedPublicKey, now: UnixMillis) -> Option<&Signature> {
    let (primary, details) = (&key.primary_key, &key.details);
    let mut revocations = details.revocation_signatures.iter();
    if revocations.any(|signature| signature.verify_key(primary).is_ok()) {
        return None;
    }
    let direct = details.direct_signatures.iter();
    let direct = direct.filter(|signature| signature.verify_key(primary).is_ok());
    let of_users = details.users.iter().filter_map(|user| {
        let by_itself = |signature: &&Signature| {
            let verified = signature.verify_certification(primary, Tag::UserId, &user.id);
            verified.is_ok()
        };
        let of = |is: fn(&Signature) -> bool| {
            let signatures = user
                .signatures
                .iter()
                .filter(move |signature| is(signature));
            newest(signatures.filter(by_itself))
        };
        let certified = of(Signature::is_certification)?;
        let revoked = of(|signature| signature.typ() == Some(SignatureType::CertRevocation));
        let is_revoked = revoked.is_some_and(|revoked| made_at(revoked) >= made_at(certified));
        (!is_revoked).then_some(certified)
    });
    let all = direct.chain(of_users);
    newest(all.filter(|signature| !has_run_out(signature, now)))
}

fn made_at(signature: &Signature) -> Option<u32> {
    signature.created().map(|at| at.as_secs())
}

/// Whether the signature itself has expired.
fn has_run_out(signature: &Signature, now: UnixMillis) -> bool {
    let life = signature
        .signature_expiration_time()
        .map_or(0, |life| life.as_secs());
    let end = u64::from(made_at(signature).unwrap_or_default()) + u64::from(life);
    life > 0 && end <= now.as_seconds()
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| made_at(signature))
}

/// Whether what this signature is about has expired.
fn is_over(signature: &Signature, of: &impl KeyDetails, now: UnixMillis) -> bool {
    let life = signature
        .key_expiration_time()
        .map_or(0, |life| life.as_secs());
    let end = u64::from(of.created_at().as_secs()) + u64::from(life);
    life > 0 && end <= now.as_seconds()
}

fn is_meant(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.encrypt_comms() || flags.encrypt_storage()
}

fn encrypts(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: UnixMillis) -> bool {
    let is_valid = |signature: &&Signature| {
        let binds = signature.verify_subkey_binding(&key.primary_key, &subkey.key);
        binds.is_ok()
    };
    let of = |kind| {
        let signatures = subkey.signatures.iter();
        signatures.filter(move |signature| signature.typ() == Some(kind))
    };
    if !subkey.algorithm().can_encrypt()
        || of(SignatureType::SubkeyRevocation).any(|signature| is_valid(&signature))
    {
        return false;
    }
    let bindings = of(SignatureType::SubkeyBinding).filter(is_valid);
    let binding = newest(bindings.filter(|binding| !has_run_out(binding, now)));
    binding.is_some_and(|binding| is_meant(binding) && !is_over(binding, subkey, now))
}

/// Checking signatures is work that strangers may ask for: never much of it at a time.
static CHECKS: Semaphore = Semaphore::const_new(PGP_CHECKS_MAX);

/// Checks that there are no keys, or one for each share.
///
/// # Errors
/// There is another number of them.
pub fn check_count(field: &str, given: &[Vec<u8>], shares: u8) -> Result<(), Error> {
    if given.is_empty() || given.len() == usize::from(shares) {
        return Ok(());
    }
    let message = format!("{field}: there must be one for each share");
    Err(Error::invalid_argument(message))
}

/// Reads the keys that a request gives in `field`: none, or one for each of `shares`.
///
/// # Errors
/// Another number of them, or one that can't be used: the message says which.
pub async fn keys_of(
    field: &'static str,
    given: Vec<Vec<u8>>,
    shares: u8,
    now: UnixMillis,
) -> Result<Arc<[PgpKey]>, Error> {
    check_count(field, &given, shares)?;
    if given.is_empty() {
        return Ok(Arc::default());
    }
    let _checking = CHECKS.acquire().await;
    // Signatures are checked: not where other calls wait for it.
    let read = tokio::task::spawn_blocking(move || {
        let keys = given.iter().enumerate().map(|(index, key)| {
            PgpKey::parse(key, now).map_err(|error| {
                Error::invalid_argument(format!("{field}: number {}: {error}", index + 1))
            })
        });
        keys.collect()
    });
    // It breaks off where the parser does.
    let broken = || Error::invalid_argument(format!("{field}: {}", PgpError::Malformed));
    read.await.unwrap_or_else(|_| Err(broken()))
}

/// The one key that a request gives in `field`; `None` for no bytes.
///
/// # Errors
/// It can't be used.
pub async fn key_of(
    field: &'static str,
    given: Vec<u8>,
    now: UnixMillis,
) -> Result<Option<PgpKey>, Error> {
    if given.is_empty() {
        return Ok(None);
    }
    let _checking = CHECKS.acquire().await;
    let read = tokio::task::spawn_blocking(move || PgpKey::parse(&given, now));
    let read = read.await.unwrap_or(Err(PgpError::Malformed));
    let key = read.map_err(|error| Error::invalid_argument(format!("{field}: {error}")))?;
    Ok(Some(key))
}

/// Shares as they are shown: each under its key, as hex digits; as they are where there are no keys.
///
/// # Errors
/// A key refuses it.
pub fn shown(keys: &[PgpKey], shares: Vec<Share>) -> Result<Vec<Share>, Error> {
    if keys.is_empty() {
        return Ok(shares);
    }
    let pairs = keys.iter().zip(&shares);
    pairs
        .map(|(key, share)| {
            let digits = Zeroizing::new(hex::encode(share.expose()));
            let message = key.encrypt(digits.as_bytes());
            message
                .map(Secret::new)
                .map_err(|error| Error::internal(error.to_string()))
        })
        .collect()
}

/// Fingerprints of the keys, in hex.
pub fn fingerprints(keys: &[PgpKey]) -> Vec<String> {
    keys.iter().map(|key| key.fingerprint.clone()).collect()
}

#[cfg(test)]
mod tests;
