//! Keys of GnuPG (`keys/`, public parts alone) and such as are made here, whose private part opens what
//! was encrypted.

use pgp::{
    composed::{
        ArmorOptions, EncryptionCaps, KeyType, Message, SecretKeyParamsBuilder, SignedSecretKey,
        SubkeyParamsBuilder,
    },
    crypto::ecc_curve::ECCCurve,
    ser::Serialize,
};
use tenure_core::types::UnixMillis;

use super::*;

const SIGNS: &[u8] = include_bytes!("keys/signs.asc");
const ENDS: &[u8] = include_bytes!("keys/ends.asc");
const REVOKED: &[u8] = include_bytes!("keys/revoked.asc");
const SUBKEY_REVOKED: &[u8] = include_bytes!("keys/oldsub.asc");
const RSA: &[u8] = include_bytes!("keys/rsa.asc");
/// When they were made: 2026-11-22, in seconds.
const MADE: u64 = 1_795_340_000;
const YEAR: u64 = 365 * 86_400;

fn at(seconds: u64) -> UnixMillis {
    UnixMillis::new(seconds * 1_000)
}

fn parse(key: &[u8]) -> Result<PgpKey, PgpError> {
    PgpKey::parse(key, at(MADE + 86_400))
}

/// A key pair: one part signs, another one encrypts.
fn pair(of: KeyType) -> SignedSecretKey {
    let mut subkey = SubkeyParamsBuilder::default();
    subkey.key_type(of).can_encrypt(EncryptionCaps::All);
    let mut params = SecretKeyParamsBuilder::default();
    params
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_encrypt(EncryptionCaps::None)
        .primary_user_id("holder <holder@example.com>".into())
        .subkeys(vec![subkey.build().unwrap()]);
    params.build().unwrap().generate(OsRng).unwrap()
}

fn open(pair: &SignedSecretKey, message: &[u8]) -> Vec<u8> {
    let message = Message::from_bytes(message).unwrap();
    let mut opened = message.decrypt(&"".into(), pair).unwrap();
    opened.as_data_vec().unwrap()
}

#[test]
fn who_has_the_private_key_reads_it() {
    let types = [
        KeyType::ECDH(ECCCurve::Curve25519Legacy),
        KeyType::ECDH(ECCCurve::P256),
        KeyType::Rsa(2048),
    ];
    for of in types {
        let pair = pair(of);
        let public = pair.to_public_key();
        let mut binary = Vec::new();
        public.to_writer(&mut binary).unwrap();
        let armored = public.to_armored_bytes(ArmorOptions::default()).unwrap();
        for given in [binary, armored] {
            // It was made just now.
            let key = PgpKey::parse(&given, UnixMillis::new(0)).unwrap();
            assert_eq!(key.fingerprint(), format!("{:x}", pair.fingerprint()));
            let message = key.encrypt(b"hvs.canary").unwrap();
            assert!(!message.windows(10).any(|part| part == b"hvs.canary"));
            assert_eq!(open(&pair, &message), b"hvs.canary");
            assert_ne!(message, key.encrypt(b"hvs.canary").unwrap());
        }
    }
}

#[test]
fn shares_are_shown_as_hex_digits_in_their_order() {
    let pairs = [(); 2].map(|()| pair(KeyType::ECDH(ECCCurve::Curve25519Legacy)));
    let keys = pairs.each_ref().map(|pair| {
        let public = pair.to_public_key();
        let armored = public.to_armored_bytes(ArmorOptions::default()).unwrap();
        PgpKey::parse(&armored, UnixMillis::new(0)).unwrap()
    });
    let shares = || vec![Secret::new(vec![0x0a, 1]), Secret::new(vec![0xff, 2])];
    let shown = super::shown(&keys, shares()).unwrap();
    assert_eq!(open(&pairs[0], shown[0].expose()), b"0a01");
    assert_eq!(open(&pairs[1], shown[1].expose()), b"ff02");
    let bare = super::shown(&[], shares()).unwrap();
    assert_eq!(bare[0].expose(), &[0x0a, 1]);
}

#[test]
fn keys_that_are_not_meant_or_not_valid_any_more_are_refused() {
    let refused = |key: &[u8]| parse(key).err();
    assert_eq!(refused(SIGNS), Some(PgpError::NoEncryption));
    assert_eq!(refused(REVOKED), Some(PgpError::NotValid));
    assert_eq!(refused(SUBKEY_REVOKED), Some(PgpError::NoEncryption));
    assert!(parse(RSA).is_ok());
    let rsa = parse(RSA).unwrap();
    assert_eq!(
        rsa.fingerprint(),
        "15eacfddeecfd0408a0aef1c829e167f3c94f175"
    );
    assert!(parse(ENDS).is_ok());
    let later = PgpKey::parse(ENDS, at(MADE + 2 * YEAR + 7 * 86_400));
    assert_eq!(later.err(), Some(PgpError::NotValid));
    // A subkey that another key has bound is no part of this one.
    let [mut key, other] =
        [RSA, ENDS].map(|key| SignedPublicKey::from_reader_single(key).unwrap().0);
    key.public_subkeys = other.public_subkeys;
    let mut grafted = Vec::new();
    key.to_writer(&mut grafted).unwrap();
    assert_eq!(refused(&grafted), Some(PgpError::NoEncryption));
}

#[test]
fn what_is_no_public_key_is_refused() {
    let secret = pair(KeyType::ECDH(ECCCurve::Curve25519Legacy));
    let mut private = Vec::new();
    secret.to_writer(&mut private).unwrap();
    for garbage in [b"".as_slice(), b"x", b"\x99", &[0xff; 300], &private] {
        assert_eq!(parse(garbage).err(), Some(PgpError::Malformed));
    }
    let long = vec![0x99; PGP_KEY_BYTES_MAX + 1];
    assert_eq!(parse(&long).err(), Some(PgpError::TooLong));
    let (mut key, _) = SignedPublicKey::from_reader_single(RSA).unwrap();
    let user = &mut key.details.users[0];
    user.signatures = vec![user.signatures[0].clone(); PGP_SIGNATURES_MAX];
    let mut many = Vec::new();
    key.to_writer(&mut many).unwrap();
    assert!(matches!(
        parse(&many).err(),
        Some(PgpError::TooManySignatures | PgpError::TooLong)
    ));
}

/// No cut and no flipped bit panics; a key that is accepted all the same is the same one.
#[test]
fn damaged_keys_do_not_panic() {
    let (key, _) = SignedPublicKey::from_reader_single(ENDS).unwrap();
    let mut binary = Vec::new();
    key.to_writer(&mut binary).unwrap();
    let right = parse(&binary).unwrap();
    for end in 0..binary.len() {
        let _ = parse(&binary[..end]);
    }
    for at in 0..binary.len() * 8 {
        let mut damaged = binary.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        if let Ok(key) = parse(&damaged) {
            assert_eq!(key.fingerprint(), right.fingerprint(), "bit {at}");
        }
    }
}

#[tokio::test]
async fn there_is_one_key_for_each_share() {
    let keys = |count| vec![RSA.to_vec(); count];
    let read = async |count, shares| keys_of("pgp_keys", keys(count), shares, at(MADE)).await;
    assert_eq!(read(2, 2).await.unwrap().len(), 2);
    assert!(read(0, 2).await.unwrap().is_empty());
    for (count, shares) in [(1, 2), (3, 2), (1, 0)] {
        let error = read(count, shares).await.err().unwrap();
        assert_eq!(error.code, tonic::Code::InvalidArgument);
    }
    let mixed = vec![RSA.to_vec(), b"garbage".to_vec()];
    let error = keys_of("pgp_keys", mixed, 2, at(MADE)).await.err().unwrap();
    assert!(error.message.contains("number 2"), "{}", error.message);
}
