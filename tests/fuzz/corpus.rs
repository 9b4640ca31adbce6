//! A short run of the fuzz targets on any compiler: every seed of corpus/, and what becomes of it
//! when bytes are changed, cut, doubled and joined, by a fixed sequence.

#![allow(clippy::unwrap_used)]

mod targets;

use std::{fs, path::Path};

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
        let mut sequence = Sequence(0x7e6e_7572_6500_0001);
        for seed in &seeds {
            target(seed);
            for _ in 0..CHANGES {
                target(&changed(seed, &seeds, &mut sequence));
            }
        }
    }
}

fn changed(seed: &[u8], seeds: &[Vec<u8>], sequence: &mut Sequence) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=sequence.below(4) {
        let at = sequence.below(bytes.len() + 1);
        match sequence.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << sequence.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(sequence.below(256)).unwrap(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, b" /.{}\"\\\n*+0-\x00\xff"[sequence.below(14)]),
            4 => bytes.extend_from_within(..at),
            _ => {
                let other = &seeds[sequence.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[sequence.below(other.len() + 1)..]);
            }
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

/// splitmix64: the same inputs at every run.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}
