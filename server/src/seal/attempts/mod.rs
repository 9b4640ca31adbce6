//! What a quorum of key holders is about to do: make shares anew, make a root token. An attempt
//! lives in the memory of the active node alone; it ends with that node's being active, or
//! when nobody advances it.
//!
//! **Invariant:** nothing is done before enough right shares of those in force were given in one
//! attempt; a wrong set is reported without telling which share was wrong. No lock is held
//! while something is read or committed.

mod generate_root;
mod in_force;
mod proof;
mod rekey;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tenure_core::{
    barrier::shamir::Share,
    random,
    state::{SealConfigs, View},
    token::Shares,
};
use tonic::Code;

pub use self::{
    generate_root::{GenerateRootStatus, Generated},
    proof::ProofStatus,
    rekey::{RekeyPlan, RekeyStatus, Rekeyed},
};
use super::ROOT_KEY_BYTES;
use crate::{
    error::Error,
    limits::{ATTEMPT_IDLE_MS_MAX, STRANGERS_ATTEMPT_MS_MAX},
    pipeline::{Asker, Pipeline},
    random::SystemRandom,
};

/// The attempts of this node.
#[derive(Default)]
pub struct Attempts(Mutex<Held>);

#[derive(Default)]
struct Held {
    root: Option<rekey::Attempt>,
    recovery: Option<rekey::Attempt>,
    token: Option<generate_root::Attempt>,
    /// The last rekey that was put in force, for who lost its answer.
    made: Option<rekey::Made>,
}

impl Held {
    fn rekey(&mut self, of: Shares) -> &mut Option<rekey::Attempt> {
        match of {
            Shares::Root => &mut self.root,
            Shares::Recovery => &mut self.recovery,
        }
    }
}

impl Attempts {
    /// Ends all attempts: this node is active no more, or sealed.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }

    /// The attempts, without those that nobody advanced.
    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.root.take_if(|attempt| attempt.is_idle());
        held.recovery.take_if(|attempt| attempt.is_idle());
        held.token.take_if(|attempt| attempt.given.is_idle());
        held.made.take_if(|made| made.is_over());
        held
    }
}

/// Shares that are given one by one.
struct Given {
    nonce: String,
    shares: Vec<Share>,
    /// Whether enough were given and they are being judged.
    is_judged: bool,
    touched: Instant,
    /// When who has no token that may began it.
    begun_by_stranger: Option<Instant>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            nonce: hex::encode(random::array::<16>(&mut SystemRandom)),
            shares: Vec::new(),
            is_judged: false,
            touched: Instant::now(),
            begun_by_stranger: None,
        }
    }
}

impl Given {
    fn begun_by(asker: &Asker<'_>) -> Self {
        Self {
            begun_by_stranger: (!asker.permitted).then(Instant::now),
            ..Self::default()
        }
    }

    fn is_idle(&self) -> bool {
        let idle = self.touched.elapsed() >= Duration::from_millis(ATTEMPT_IDLE_MS_MAX);
        // Whoever can begin one must not be able to keep others from it.
        let held = self.begun_by_stranger.is_some_and(|begun| {
            begun.elapsed() >= Duration::from_millis(STRANGERS_ATTEMPT_MS_MAX)
        });
        !self.is_judged && (idle || held)
    }

    /// Whether another attempt may take its place: a stranger's gives way to those who may.
    fn gives_way_to(&self, asker: &Asker<'_>) -> bool {
        asker.permitted && self.begun_by_stranger.is_some() && !self.is_judged
    }

    fn progress(&self) -> u8 {
        u8::try_from(self.shares.len()).unwrap_or(u8::MAX)
    }

    fn check_nonce(&self, nonce: &str) -> Result<(), Error> {
        if self.nonce == nonce {
            return Ok(());
        }
        let message = "nonce: not that of the attempt that is under way";
        Err(Error::new(Code::InvalidArgument, "WRONG_NONCE", message))
    }

    /// What is being judged, or committed, takes no share and can't be given up.
    fn check_not_judged(&self) -> Result<(), Error> {
        if !self.is_judged {
            return Ok(());
        }
        let message = "enough shares were given, and they are being judged";
        Err(Error::new(
            Code::FailedPrecondition,
            "BEING_JUDGED",
            message,
        ))
    }

    /// Takes a share. The one that makes `needed` takes all of them out, to be judged.
    fn add(&mut self, share: Share, nonce: &str, needed: u8) -> Result<Option<Vec<Share>>, Error> {
        self.check_nonce(nonce)?;
        self.check_not_judged()?;
        check_length(&share, needed)?;
        // The same share again is no progress.
        if !self.shares.contains(&share) {
            self.touched = Instant::now();
            self.shares.push(share);
        }
        if self.shares.len() < usize::from(needed) {
            return Ok(None);
        }
        self.is_judged = true;
        Ok(Some(std::mem::take(&mut self.shares)))
    }

    /// The shares were judged, and the attempt goes on.
    fn judged(&mut self) {
        self.is_judged = false;
        self.touched = Instant::now();
    }

    /// Whether this caller may give the attempt up: with a token that may, or with its nonce, which
    /// strangers aren't shown.
    fn check_cancel(&self, asker: &Asker<'_>, nonce: &str) -> Result<(), Error> {
        if asker.permitted || nonce == self.nonce {
            return self.check_not_judged();
        }
        let message = "without a token that may, an attempt is cancelled with its nonce";
        Err(Error::new(Code::InvalidArgument, "WRONG_NONCE", message))
    }
}

/// A share of a key of which `threshold` shares are needed.
pub(super) fn check_length(share: &Share, threshold: u8) -> Result<(), Error> {
    let bytes = if threshold == 1 {
        ROOT_KEY_BYTES
    } else {
        ROOT_KEY_BYTES + 1
    };
    if share.expose().len() == bytes {
        return Ok(());
    }
    let message = format!("share: a share of this cluster has {bytes} bytes");
    Err(Error::new(Code::InvalidArgument, "INVALID_SHARE", message))
}

fn no_attempt() -> Error {
    let message = "no such attempt is under way on the active node: begin one";
    Error::new(Code::FailedPrecondition, "NO_ATTEMPT", message)
}

fn under_way() -> Error {
    let message = "an attempt is under way: end it or cancel it first";
    Error::new(Code::FailedPrecondition, "ATTEMPT_UNDER_WAY", message)
}

impl Pipeline {
    /// How many shares are needed today.
    async fn shares_needed(&self, asker: &Asker<'_>) -> Result<u8, Error> {
        let pinned = self.pin(true, asker.deadline).await?;
        let keys = self.keys.get().ok_or_else(Error::sealed)?;
        let view = View::new(&pinned.state, &keys.barrier);
        let config = view.get::<SealConfigs>(&())?;
        Ok(config.ok_or_else(Error::not_initialized)?.value.threshold)
    }
}
