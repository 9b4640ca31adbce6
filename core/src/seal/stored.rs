//! The root key under a key of 32 bytes that lies beside a node: the cipher of the provider
//! `static`. It never sees where that key comes from.

use zeroize::Zeroizing;

use crate::{
    barrier::{
        RootKey,
        aead::{AeadKey, KEY_BYTES, NONCE_BYTES},
    },
    random::{Random, array},
    types::Secret,
};

const CONTEXT: &[u8] = b"tenure stored root key v1";

/// The key does not open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key does not open the stored root key")]
pub struct StoredError;

/// Seals a root key: nonce, ciphertext and tag.
///
/// # Errors
/// The cipher refuses the key.
pub fn seal_stored(
    key: &Secret<[u8; KEY_BYTES]>,
    root: &RootKey,
    random: &mut dyn Random,
) -> Result<Vec<u8>, StoredError> {
    let nonce: [u8; NONCE_BYTES] = array(random);
    let mut out = nonce.to_vec();
    AeadKey::new(key.expose())
        .and_then(|key| key.seal(&nonce, CONTEXT, root.expose(), &mut out))
        .map_err(|_| StoredError)?;
    Ok(out)
}

/// Opens it again.
///
/// # Errors
/// Another key sealed it, or it was changed.
pub fn open_stored(key: &Secret<[u8; KEY_BYTES]>, sealed: &[u8]) -> Result<RootKey, StoredError> {
    let (nonce, ciphertext) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(StoredError)?;
    let opened: Zeroizing<Vec<u8>> = AeadKey::new(key.expose())
        .and_then(|key| key.open(nonce, CONTEXT, ciphertext))
        .map_err(|_| StoredError)?;
    RootKey::from_slice(&opened).ok_or(StoredError)
}
