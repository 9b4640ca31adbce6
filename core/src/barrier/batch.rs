//! The key of batch tokens: what it seals is the token itself, kept by its holder alone. It never
//! rotates, and never sees what a token says.

use zeroize::Zeroizing;

use super::aead::{AeadError, AeadKey, KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use crate::{
    random::{Random, array},
    types::Secret,
};

/// First byte of a sealed token: the layout, the cipher and what is inside.
const FORMAT: u8 = 1;
/// What it is bound to beside the format, so that nothing else that this key may ever seal passes
/// for a token. The key is the cluster's own, so that no other cluster's does, either.
const CONTEXT: &[u8] = b"tenure batch token v1";
/// What a sealed token has more than what it says.
pub const BATCH_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// Seals and opens batch tokens.
pub struct BatchKey(AeadKey);

impl BatchKey {
    pub(super) fn new(key: &Secret<[u8; KEY_BYTES]>) -> Result<Self, AeadError> {
        AeadKey::new(key.expose()).map(Self)
    }

    /// `[format][nonce][ciphertext and tag]`. `None`: the cipher refuses, which it has no reason to.
    pub fn seal(&self, plain: &[u8], random: &mut dyn Random) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = array(random);
        let mut out = Vec::with_capacity(BATCH_OVERHEAD_BYTES + plain.len());
        out.push(FORMAT);
        out.extend_from_slice(&nonce);
        self.0.seal(&nonce, CONTEXT, plain, &mut out).ok()?;
        Some(out)
    }

    /// What a sealed token says; `None` for anything that this key didn't seal so. The caller
    /// bounds the length.
    pub fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&format, rest) = sealed.split_first()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if format != FORMAT {
            return None;
        }
        self.0.open(nonce, CONTEXT, ciphertext).ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        barrier::{Barrier, Keyring},
        testing::TestRandom,
        types::{Secret, UnixMillis},
    };

    use super::BatchKey;

    /// Tokens of this form are in the hands of their holders: they open for as long as they live.
    #[test]
    fn the_form_of_a_sealed_token_is_frozen() {
        let key = BatchKey::new(&Secret::new([7; 32])).unwrap();
        let sealed = "01c15c0289ec2d0a9167ec8e65a18debbe5e5532fbeea293f80d0a61d58e2fb92e128ee3944ae1950c9e4d661fe7";
        let sealed = hex::decode(sealed).unwrap();
        let mut random = TestRandom::new(1);
        assert_eq!(key.seal(b"token", &mut random).unwrap(), sealed);
        assert_eq!(key.open(&sealed).unwrap().as_slice(), b"token");
    }

    #[test]
    fn only_what_the_key_sealed_opens() {
        let mut random = TestRandom::new(1);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        let barrier = Barrier::new(&keyring).unwrap();
        let sealed = barrier.batch().seal(b"token", &mut random).unwrap();
        assert_eq!(barrier.batch().open(&sealed).unwrap().as_slice(), b"token");
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(barrier.batch().open(&forged).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(barrier.batch().open(&sealed[..length]).is_none());
        }
        let other = Keyring::generate(UnixMillis::new(0), &mut random);
        assert!(
            Barrier::new(&other)
                .unwrap()
                .batch()
                .open(&sealed)
                .is_none()
        );
        // A rotated barrier opens what was sealed before, and the other way round.
        let rotated = Barrier::new(&keyring.rotated(UnixMillis::new(1), 1, &mut random)).unwrap();
        assert!(rotated.batch().open(&sealed).is_some());
        let newer = rotated.batch().seal(b"token", &mut random).unwrap();
        assert!(barrier.batch().open(&newer).is_some());
        // What the barrier seals for a place is no token.
        let stored = barrier.seal(b"place", b"token", &mut random).unwrap();
        assert!(barrier.batch().open(&stored).is_none());
    }
}
