//! Randomness comes in through one small door; core never draws its own.

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

/// Appends `count` uniform base62 characters to `text`.
pub fn push_base62(random: &mut dyn Random, count: usize, text: &mut String) {
    for _ in 0..count {
        let index = usize::from(below(random, 62));
        text.push(char::from(BASE62[index]));
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
}
