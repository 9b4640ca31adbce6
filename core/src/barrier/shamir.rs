//! Shamir's secret sharing over GF(2^8), polynomial 0x11B, in constant time and without
//! lookup tables: neither the secret nor the shares choose a branch or an address.
//!
//! A share is the values of all polynomials at its x, followed by x itself (the layout of
//! Vault). Coefficients may be zero: leaving them out would make some shares say something
//! about the secret. It never tells which share of a wrong set is wrong.

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::{
    random::{Random, below},
    types::Secret,
};

/// One share. A single share of a secret that isn't split is the secret.
pub type Share = Secret<Vec<u8>>;

/// Why a secret can't be split that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// No shares, or more shares needed than there are.
    #[error("the threshold is at least 1 and at most the number of shares")]
    Threshold,
    /// Every single share would be the secret.
    #[error("a threshold of 1 needs exactly 1 share")]
    ThresholdOne,
    /// Nothing to split.
    #[error("an empty secret can't be split")]
    Empty,
}

/// Why shares can't be combined. A wrong share among right-looking ones isn't found here:
/// the result is then another secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// No shares, or too short ones.
    #[error("a share is missing or too short")]
    Short,
    /// Shares of different lengths.
    #[error("the shares have different lengths")]
    Lengths,
    /// The same x twice.
    #[error("two shares are the same")]
    Duplicate,
    /// An x that no share has.
    #[error("a share has an impossible coordinate")]
    ZeroX,
    /// More shares than can exist.
    #[error("there are more shares than can exist")]
    TooMany,
}

/// Splits `secret` into `shares`, of which any `threshold` give it back and fewer tell
/// nothing.
pub fn split(
    secret: &[u8],
    shares: u8,
    threshold: u8,
    random: &mut dyn Random,
) -> Result<Vec<Share>, SplitError> {
    check_split(shares, threshold)?;
    if secret.is_empty() {
        return Err(SplitError::Empty);
    }
    if shares == 1 {
        return Ok(vec![Secret::new(secret.to_vec())]);
    }
    // Row by row: the coefficients of x^1, then of x^2 …, one for each byte of the secret.
    let mut coefficients = Zeroizing::new(vec![0; secret.len() * (usize::from(threshold) - 1)]);
    random.fill(&mut coefficients);
    let xs = distinct_xs(usize::from(shares), random);
    let share = |x: u8| {
        // The full length at once: growing would leave a copy behind.
        let mut share = Vec::with_capacity(secret.len() + 1);
        share.resize(secret.len(), 0);
        // Horner's rule, from the highest power down.
        for row in coefficients
            .chunks_exact(secret.len())
            .rev()
            .chain([secret])
        {
            for (y, &coefficient) in share.iter_mut().zip(row) {
                *y = mul(*y, x) ^ coefficient;
            }
        }
        share.push(x);
        Secret::new(share)
    };
    Ok(xs.into_iter().map(share).collect())
}

/// Whether a secret can be split into so many shares with such a threshold.
pub fn check_split(shares: u8, threshold: u8) -> Result<(), SplitError> {
    if threshold == 0 || threshold > shares {
        return Err(SplitError::Threshold);
    }
    if threshold == 1 && shares > 1 {
        return Err(SplitError::ThresholdOne);
    }
    Ok(())
}

/// The secret that these shares give: with all of them right and enough of them, the one
/// that was split. A single share is taken as an unsplit secret.
pub fn combine(shares: &[Share]) -> Result<Secret<Vec<u8>>, CombineError> {
    let first = shares.first().ok_or(CombineError::Short)?.expose();
    if shares.len() > usize::from(u8::MAX) {
        return Err(CombineError::TooMany);
    }
    if shares.len() == 1 {
        return if first.is_empty() {
            Err(CombineError::Short)
        } else {
            Ok(Secret::new(first.clone()))
        };
    }
    if shares
        .iter()
        .any(|share| share.expose().len() != first.len())
    {
        return Err(CombineError::Lengths);
    }
    let length = first
        .len()
        .checked_sub(1)
        .filter(|&n| n > 0)
        .ok_or(CombineError::Short)?;
    let xs = Zeroizing::new(
        shares
            .iter()
            .map(|share| share.expose()[length])
            .collect::<Vec<u8>>(),
    );
    check_xs(&xs)?;
    let mut secret = vec![0; length];
    for (i, share) in shares.iter().enumerate() {
        let weight = weight_at_zero(&xs, i);
        for (byte, &y) in secret.iter_mut().zip(share.expose()) {
            *byte ^= mul(weight, y);
        }
    }
    Ok(Secret::new(secret))
}

/// Compares all pairs, whatever it finds.
fn check_xs(xs: &[u8]) -> Result<(), CombineError> {
    let (mut zero, mut twice) = (Choice::from(0), Choice::from(0));
    for (i, x) in xs.iter().enumerate() {
        zero |= x.ct_eq(&0);
        for other in &xs[..i] {
            twice |= x.ct_eq(other);
        }
    }
    if zero.into() {
        return Err(CombineError::ZeroX);
    }
    if twice.into() {
        return Err(CombineError::Duplicate);
    }
    Ok(())
}

/// The Lagrange weight of share `i` at x = 0: the product of x_j / (x_j - x_i).
fn weight_at_zero(xs: &[u8], i: usize) -> u8 {
    let mut weight = 1;
    for (j, &x) in xs.iter().enumerate() {
        if j != i {
            weight = mul(weight, mul(x, inverse(x ^ xs[i])));
        }
    }
    weight
}

/// Distinct x from 1 to 255, in random order: which shares exist says nothing about how
/// many there are.
fn distinct_xs(count: usize, random: &mut dyn Random) -> Vec<u8> {
    let mut xs: Vec<u8> = (1..=u8::MAX).collect();
    for i in 0..count {
        let left = u8::MAX - u8::try_from(i).unwrap_or(u8::MAX);
        xs.swap(i, i + usize::from(below(random, left)));
    }
    xs.truncate(count);
    xs
}

/// Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, always eight steps.
fn mul(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..8 {
        // 0xff if the bit is set, else 0: masks instead of branches.
        let take = ((b >> bit) & 1).wrapping_neg();
        product ^= a & take;
        let overflow = (a >> 7).wrapping_neg();
        a = (a << 1) ^ (0x1b & overflow);
    }
    product
}

/// The inverse, as a^254; 0 gives 0.
fn inverse(a: u8) -> u8 {
    // 254 = 0b1111_1110: the product of a^2, a^4 … a^128.
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = mul(power, power);
        result = mul(result, power);
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestRandom;

    /// Multiplication as in a textbook: polynomials, then long division.
    fn naive_mul(a: u8, b: u8) -> u8 {
        let mut product: u16 = 0;
        for bit in 0..8 {
            if b & (1 << bit) != 0 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product & (1 << bit) != 0 {
                product ^= 0x11b << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn the_field_is_right_everywhere() {
        for a in 0..=u8::MAX {
            for b in 0..=u8::MAX {
                assert_eq!(mul(a, b), naive_mul(a, b), "{a} * {b}");
            }
            let expected = (0..=u8::MAX).find(|&b| naive_mul(a, b) == 1).unwrap_or(0);
            assert_eq!(inverse(a), expected, "1 / {a}");
        }
    }

    #[test]
    fn exactly_the_subsets_of_the_threshold_give_the_secret() {
        let mut random = TestRandom::new(11);
        let secret = b"sixteen bytes ok".as_slice();
        for n in 2..=6u8 {
            for t in 2..=n {
                let shares = split(secret, n, t, &mut random).unwrap();
                for subset in 1u32..1 << n {
                    let chosen: Vec<_> = (0..n)
                        .filter(|i| subset & (1 << i) != 0)
                        .map(|i| shares[usize::from(i)].clone())
                        .collect();
                    let enough = chosen.len() >= usize::from(t);
                    let combined = combine(&chosen).unwrap();
                    assert_eq!(
                        combined.expose() == secret,
                        enough,
                        "{t} of {n}, {subset:b}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_share_is_the_secret() {
        let shares = split(b"key", 1, 1, &mut TestRandom::new(1)).unwrap();
        assert_eq!(shares[0].expose(), b"key");
        assert_eq!(combine(&shares).unwrap().expose(), b"key");
    }

    #[test]
    fn impossible_splits_are_refused() {
        let split = |n, t| split(b"key", n, t, &mut TestRandom::new(1)).err();
        assert_eq!(split(0, 0), Some(SplitError::Threshold));
        assert_eq!(split(3, 0), Some(SplitError::Threshold));
        assert_eq!(split(3, 4), Some(SplitError::Threshold));
        assert_eq!(split(0, 1), Some(SplitError::Threshold));
        assert_eq!(split(3, 1), Some(SplitError::ThresholdOne));
        assert_eq!(split(255, 255), None);
        assert_eq!(
            super::split(b"", 3, 2, &mut TestRandom::new(1)).err(),
            Some(SplitError::Empty)
        );
    }

    #[test]
    fn impossible_shares_are_refused() {
        let share = |bytes: &[u8]| Secret::new(bytes.to_vec());
        let combine = |shares: &[&[u8]]| {
            combine(&shares.iter().map(|bytes| share(bytes)).collect::<Vec<_>>()).err()
        };
        assert_eq!(combine(&[]), Some(CombineError::Short));
        assert_eq!(combine(&[b""]), Some(CombineError::Short));
        assert_eq!(combine(&[b"a", b"b"]), Some(CombineError::Short));
        assert_eq!(combine(&[&[5, 1], &[6, 1]]), Some(CombineError::Duplicate));
        assert_eq!(combine(&[&[5, 1], &[5, 1]]), Some(CombineError::Duplicate));
        assert_eq!(combine(&[&[5, 1], &[6, 0]]), Some(CombineError::ZeroX));
        assert_eq!(combine(&[&[5, 1], &[6, 6, 2]]), Some(CombineError::Lengths));
        assert_eq!(combine(&[&[5, 1][..]; 256]), Some(CombineError::TooMany));
    }

    #[test]
    fn every_x_is_used_once_and_any_may_be() {
        let mut random = TestRandom::new(5);
        let all = split(b"k", 255, 255, &mut random).unwrap();
        let mut xs: Vec<u8> = all.iter().map(|share| share.expose()[1]).collect();
        xs.sort_unstable();
        assert_eq!(xs, (1..=255).collect::<Vec<u8>>());
        assert_eq!(combine(&all).unwrap().expose(), b"k");
    }

    /// Pearson's statistic against equal frequencies.
    fn chi_square(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (count as f64 - expected).powi(2) / expected)
            .sum()
    }

    /// Fewer shares than the threshold look the same whatever the secret: each byte of
    /// them is uniform, zero and the secret itself included, and so is every pair.
    #[test]
    fn shares_below_the_threshold_tell_nothing() {
        // 255 degrees of freedom: mean 255, standard deviation 22.6. Six of them leave one
        // chance in a billion.
        let bound = 255.0 + 6.0 * 22.6;
        let mut random = TestRandom::new(0x5eed);
        for secret in [0u8, 1, 0x53, 0xff] {
            let mut single = [vec![0u64; 256], vec![0; 256]];
            let mut pair = vec![0u64; 256];
            let mut xs = vec![0u64; 255];
            for _ in 0..100_000 {
                let shares = split(&[secret], 3, 3, &mut random).unwrap();
                let y = |i: usize| shares[i].expose()[0];
                single[0][usize::from(y(0))] += 1;
                single[1][usize::from(y(1))] += 1;
                pair[usize::from(y(0) & 0xf0 | y(1) >> 4)] += 1;
                xs[usize::from(shares[0].expose()[1]) - 1] += 1;
            }
            for counts in [&single[0], &single[1], &pair, &xs] {
                let statistic = chi_square(counts);
                assert!(statistic < bound, "secret {secret}: {statistic}");
            }
        }
    }

    /// The statistic must catch what it is there for: coefficients that are never zero,
    /// a flaw that real libraries had.
    #[test]
    fn the_statistic_catches_missing_zero_coefficients() {
        let mut random = TestRandom::new(0xbad);
        let mut counts = vec![0u64; 256];
        for _ in 0..100_000 {
            let coefficient = 1 + below(&mut random, 255);
            let x = 1 + below(&mut random, 255);
            counts[usize::from(0x53 ^ mul(coefficient, x))] += 1;
        }
        assert!(chi_square(&counts) > 255.0 + 6.0 * 22.6);
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_gives_the_secret(
            secret in prop::collection::vec(any::<u8>(), 1..64),
            n in 2u8..20,
            t in 2u8..20,
            seed: u64,
        ) {
            prop_assume!(t <= n);
            let mut random = TestRandom::new(seed);
            let mut shares = split(&secret, n, t, &mut random).unwrap();
            prop_assert!(shares.iter().all(|share| share.expose().len() == secret.len() + 1));
            for i in 0..shares.len() {
                let other = usize::from(below(&mut random, n));
                shares.swap(i, other);
            }
            let combined = combine(&shares[..usize::from(t)]).unwrap();
            prop_assert_eq!(combined.expose(), &secret);
        }
    }
}
