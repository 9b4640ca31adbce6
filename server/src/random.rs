//! The one source of randomness that the server hands to `core`.

use tenure_core::random::Random;

/// Randomness of aws-lc, seeded by the system.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // The trait must not return without randomness: keys and tokens would be guessable.
        // aws-lc fails only when the system's own source does.
        if aws_lc_rs::rand::fill(bytes).is_err() {
            tracing::error!("the system has no randomness: stopping");
            std::process::abort();
        }
    }
}
