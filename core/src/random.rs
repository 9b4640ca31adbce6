//! Randomness comes in through one small door; core never draws its own.

use zeroize::Zeroizing;

/// A source of cryptographically secure random bytes.
pub trait Random {
    /// Fills `bytes`. A source that can't must not return (the process can't go on).
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The characters of token ids and accessors.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `N` random bytes.
pub fn array<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// A uniform number below `bound`, without the bias of a remainder. `bound` of 0 gives 0.
pub fn below(random: &mut dyn Random, bound: u8) -> u8 {
    if bound == 0 {
        return 0;
    }
    // The largest multiple of `bound` that fits: what lies above is drawn again.
    let limit = 256 / u16::from(bound) * u16::from(bound);
    loop {
        let [byte] = array(random);
        if u16::from(byte) < limit {
            return byte % bound;
        }
    }
}

/// Bytes that are drawn at once for characters: enough for most ids, since each draw has its price.
const DRAWN_BYTES: usize = 32;

/// Appends `count` uniform base62 characters to `text`.
pub fn push_base62(random: &mut dyn Random, count: usize, text: &mut String) {
    // The largest multiple of the alphabet that fits into a byte: what lies above would favour
    // its first characters.
    let limit = 256 / BASE62.len() * BASE62.len();
    let end = text.len() + count;
    while text.len() < end {
        let drawn = Zeroizing::new(array::<DRAWN_BYTES>(random));
        let fair = drawn.iter().map(|byte| usize::from(*byte));
        let fair = fair.filter(|byte| *byte < limit).take(end - text.len());
        text.extend(fair.map(|byte| char::from(BASE62[byte % BASE62.len()])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRandom;

    #[test]
    fn below_is_uniform_and_in_bounds() {
        let mut random = TestRandom::new(1);
        let mut counts = [0u32; 62];
        for _ in 0..62_000 {
            counts[usize::from(below(&mut random, 62))] += 1;
        }
        // 1000 expected each; 5 standard deviations are about 160.
        assert!(
            counts.iter().all(|&count| (840..1160).contains(&count)),
            "{counts:?}"
        );
        assert_eq!(below(&mut random, 1), 0);
        assert_eq!(below(&mut random, 0), 0);
        assert!(below(&mut random, 255) < 255);
    }

    #[test]
    fn base62_has_the_length_and_alphabet() {
        let mut text = String::from("x.");
        push_base62(&mut TestRandom::new(2), 24, &mut text);
        assert_eq!(text.len(), 26);
        assert!(text[2..].bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    #[test]
    fn base62_is_uniform_and_as_long_as_asked() {
        let mut random = TestRandom::new(3);
        let mut text = String::new();
        for length in 0..200 {
            let before = text.len();
            push_base62(&mut random, length, &mut text);
            assert_eq!(text.len(), before + length);
        }
        push_base62(&mut random, 62_000 - text.len(), &mut text);
        for character in BASE62 {
            let count = text.bytes().filter(|b| b == character).count();
            // As above.
            assert!((840..1160).contains(&count), "{count}");
        }
    }
}
