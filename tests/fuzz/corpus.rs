//! A short run of the fuzz targets on any compiler: every seed of corpus/, and what becomes of it
//! when bytes are changed, cut, doubled and joined, by a fixed sequence.

#![allow(clippy::unwrap_used)]

mod targets;

use std::{fs, path::Path};

use tenure_tests::Random;

/// Changed inputs for each seed.
const CHANGES: usize = 2_000;
/// Longest input.
const BYTES_MAX: usize = 4_096;

/// Planted bug: a lease id that is shown with a second slash. Caught by a seed.
#[test]
fn seeds_and_what_becomes_of_them() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut seeds: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        seeds.sort();
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        let seeds: Vec<_> = seeds.iter().map(|seed| fs::read(seed).unwrap()).collect();
        // The same inputs at every run.
        let mut random = Random::new(1);
        for seed in &seeds {
            target(seed);
            for _ in 0..CHANGES {
                target(&changed(seed, &seeds, &mut random));
            }
        }
    }
}

fn changed(seed: &[u8], seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        match below(random, 6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(below(random, 256)).unwrap(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, b" /.{}\"\\\n*+0-\x00\xff"[below(random, 14)]),
            4 => bytes.extend_from_within(..at),
            _ => {
                let other = &seeds[below(random, seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[below(random, other.len() + 1)..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}
