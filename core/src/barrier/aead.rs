//! XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>) over the AES-256-GCM of aws-lc-rs:
//! 192-bit nonces, so that random ones never meet and no counter has to be kept safe. It
//! never makes a nonce itself.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the authentication tag at the end of a ciphertext.
pub const TAG_BYTES: usize = 16;

const BLOCK_BYTES: usize = 16;

/// Sealing or opening failed. Why is not told: an attacker would learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data could not be authenticated")]
pub struct AeadError;

/// A key, with what every use of it shares computed once.
pub struct AeadKey {
    block: EncryptingKey,
    /// The CMAC subkey K1.
    k1: [u8; BLOCK_BYTES],
}

impl AeadKey {
    /// Takes in a key.
    pub fn new(key: &[u8; KEY_BYTES]) -> Result<Self, AeadError> {
        let unbound = UnboundCipherKey::new(&AES_256, key).map_err(|_| AeadError)?;
        let block = EncryptingKey::ecb(unbound).map_err(|_| AeadError)?;
        let mut k1 = [0; BLOCK_BYTES];
        encrypt_blocks(&block, &mut k1)?;
        double(&mut k1);
        Ok(Self { block, k1 })
    }

    /// Appends ciphertext and tag of `plaintext` to `out`. A nonce is used once.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AeadError> {
        let (key, nonce) = self.derive(nonce)?;
        let start = out.len();
        out.reserve(plaintext.len() + TAG_BYTES);
        out.extend_from_slice(plaintext);
        let sealed =
            key.seal_in_place_separate_tag(nonce, Aad::from(associated), &mut out[start..]);
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(_) => {
                out[start..].zeroize();
                out.truncate(start);
                return Err(AeadError);
            }
        }
        Ok(())
    }

    /// The plaintext, if this key sealed exactly this, under this nonce and for this
    /// associated data.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(AeadError)?;
        let (ciphertext, tag) = sealed.split_at(length);
        let (key, nonce) = self.derive(nonce)?;
        let mut plaintext = Zeroizing::new(vec![0; length]);
        key.open_separate_gather(
            nonce,
            Aad::from(associated),
            ciphertext,
            tag,
            &mut plaintext,
        )
        .map_err(|_| AeadError)?;
        Ok(plaintext)
    }

    /// The AES-256-GCM key and nonce that stand for this key and an extended nonce: a
    /// counter KDF with CMAC, which fits into two blocks.
    fn derive(&self, nonce: &[u8; NONCE_BYTES]) -> Result<(LessSafeKey, Nonce), AeadError> {
        let (context, rest) = nonce.split_at(12);
        let mut derived = Zeroizing::new([0; 2 * BLOCK_BYTES]);
        for (counter, block) in (1u8..).zip(derived.chunks_exact_mut(BLOCK_BYTES)) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(context);
            block
                .iter_mut()
                .zip(self.k1)
                .for_each(|(byte, k1)| *byte ^= k1);
        }
        encrypt_blocks(&self.block, derived.as_mut_slice())?;
        let key = UnboundKey::new(&AES_256_GCM, derived.as_slice()).map_err(|_| AeadError)?;
        let nonce = Nonce::try_assume_unique_for_key(rest).map_err(|_| AeadError)?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

impl Drop for AeadKey {
    fn drop(&mut self) {
        self.k1.zeroize();
    }
}

/// Each block for itself: the bare block cipher, which the KDF is made of.
fn encrypt_blocks(key: &EncryptingKey, blocks: &mut [u8]) -> Result<(), AeadError> {
    key.less_safe_encrypt(blocks, EncryptionContext::None)
        .map(drop)
        .map_err(|_| AeadError)
}

/// Doubling in GF(2^128), in constant time.
fn double(block: &mut [u8; BLOCK_BYTES]) {
    let value = u128::from_be_bytes(*block);
    let carry = (value >> 127) * 0b1000_0111;
    *block = ((value << 1) ^ carry).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; 24] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    fn seal(key: &[u8; 32], nonce: &[u8; 24], associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        AeadKey::new(key)
            .unwrap()
            .seal(nonce, associated, plaintext, &mut out)
            .unwrap();
        out
    }

    #[test]
    fn vectors_of_the_specification() {
        let sealed = seal(&[1; 32], NONCE, b"", b"XAES-256-GCM");
        assert_eq!(
            hex::encode(&sealed),
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
        );
        let key = AeadKey::new(&[1; 32]).unwrap();
        assert_eq!(hex::encode(key.k1), "e531954aca063d5b8d9c47a47d4cc6f0");
        assert_eq!(
            key.open(NONCE, b"", &sealed).unwrap().as_slice(),
            b"XAES-256-GCM"
        );

        let sealed = seal(&[3; 32], NONCE, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM");
        assert_eq!(
            hex::encode(&sealed),
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
        );
        let key = AeadKey::new(&[3; 32]).unwrap();
        assert_eq!(hex::encode(key.k1), "23810ec50edb99f374409466ed1f4b7b");
        assert!(key.open(NONCE, b"c2sp.org/XAES-256-GCM", &sealed).is_ok());
    }

    /// The accumulated test of the specification: random inputs drawn from one SHAKE-128
    /// stream, all ciphertexts hashed by another.
    fn accumulated(iterations: usize) -> String {
        let mut stream = Shake128::default();
        let first: [u8; 16] = Shake128::default().squeeze_array();
        assert_eq!(hex::encode(first), "7f9c2ba4e88f827d616045507605853e");
        let mut hash = Shake128::default();
        for _ in 0..iterations {
            let (key, nonce) = (stream.squeeze_array::<32>(), stream.squeeze_array::<24>());
            let [length] = stream.squeeze_array();
            let plaintext = stream.squeeze(usize::from(length));
            let [length] = stream.squeeze_array();
            let associated = stream.squeeze(usize::from(length));
            let sealed = seal(&key, &nonce, &associated, &plaintext);
            hash.absorb(&sealed);
            let opened = AeadKey::new(&key)
                .unwrap()
                .open(&nonce, &associated, &sealed)
                .unwrap();
            assert_eq!(opened.as_slice(), plaintext);
        }
        hex::encode(hash.squeeze(32))
    }

    #[test]
    fn accumulated_10_000() {
        let expected = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939";
        assert_eq!(accumulated(10_000), expected);
    }

    #[test]
    #[ignore = "the long form of the same: make core-full"]
    fn accumulated_1_000_000() {
        let expected = "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15";
        assert_eq!(accumulated(1_000_000), expected);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let key = AeadKey::new(&[7; 32]).unwrap();
        let sealed = seal(&[7; 32], NONCE, b"place", b"value");
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(NONCE, b"place", &forged).is_err());
        }
        for bit in 0..NONCE.len() * 8 {
            let mut nonce = *NONCE;
            nonce[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&nonce, b"place", &sealed).is_err());
        }
        assert!(key.open(NONCE, b"elsewhere", &sealed).is_err());
        assert!(key.open(NONCE, b"place", &sealed[..TAG_BYTES - 1]).is_err());
        assert!(key.open(NONCE, b"place", b"").is_err());
    }

    /// SHAKE-128, written down for the accumulated test alone.
    #[derive(Default)]
    struct Shake128 {
        state: [u64; 25],
        position: usize,
        squeezing: bool,
    }

    impl Shake128 {
        const RATE: usize = 168;

        fn xor(&mut self, position: usize, byte: u8) {
            self.state[position / 8] ^= u64::from(byte) << (8 * (position % 8));
        }

        fn absorb(&mut self, bytes: &[u8]) {
            assert!(!self.squeezing);
            for &byte in bytes {
                self.xor(self.position, byte);
                self.position += 1;
                if self.position == Self::RATE {
                    self.permute();
                    self.position = 0;
                }
            }
        }

        fn squeeze(&mut self, count: usize) -> Vec<u8> {
            if !self.squeezing {
                self.xor(self.position, 0x1f);
                self.xor(Self::RATE - 1, 0x80);
                self.permute();
                (self.position, self.squeezing) = (0, true);
            }
            let mut out = Vec::with_capacity(count);
            for _ in 0..count {
                if self.position == Self::RATE {
                    self.permute();
                    self.position = 0;
                }
                out.push(self.state[self.position / 8].to_le_bytes()[self.position % 8]);
                self.position += 1;
            }
            out
        }

        fn squeeze_array<const N: usize>(&mut self) -> [u8; N] {
            self.squeeze(N).try_into().unwrap()
        }

        /// Keccak-f[1600].
        fn permute(&mut self) {
            let a = &mut self.state;
            let mut lfsr = 1u8;
            for _ in 0..24 {
                let c: [u64; 5] =
                    std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ a[x + 5 * y]));
                for (i, lane) in a.iter_mut().enumerate() {
                    *lane ^= c[(i + 4) % 5] ^ c[(i + 1) % 5].rotate_left(1);
                }
                let (mut x, mut y, mut last) = (1, 0, a[1]);
                for t in 0..24u32 {
                    (x, y) = (y, (2 * x + 3 * y) % 5);
                    let rotated = last.rotate_left((t + 1) * (t + 2) / 2 % 64);
                    last = std::mem::replace(&mut a[x + 5 * y], rotated);
                }
                for row in a.chunks_exact_mut(5) {
                    let old: [u64; 5] = std::array::from_fn(|x| row[x]);
                    for x in 0..5 {
                        row[x] = old[x] ^ (!old[(x + 1) % 5] & old[(x + 2) % 5]);
                    }
                }
                for j in 0..7 {
                    if lfsr & 1 == 1 {
                        a[0] ^= 1 << ((1u32 << j) - 1);
                    }
                    lfsr = (lfsr << 1) ^ (0x71 * (lfsr >> 7));
                }
            }
        }
    }
}
