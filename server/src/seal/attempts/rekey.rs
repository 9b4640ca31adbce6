//! Shares made anew: begun, and advanced by the shares in force. What becomes of them then,
//! `in_force` and `proof` say.

use std::{sync::Arc, time::Duration};

use tenure_core::{
    barrier::shamir::{self, Share},
    seal::has_shares,
    state::View,
    token::Shares,
    types::UnixMillis,
};
use tokio::time::Instant;

use super::{Given, no_attempt, proof::Proof, under_way};
use crate::{
    error::Error,
    limits::REKEY_ANSWER_KEPT_MS,
    pipeline::{Asker, Pipeline},
    seal::pgp::{self, PgpKey},
};

/// What a rekey is asked to make.
#[derive(Clone, Debug, Default)]
pub struct RekeyPlan {
    /// Number of new shares.
    pub shares: u8,
    /// How many of them give the new key.
    pub threshold: u8,
    /// Whether they must be proven before they are in force.
    pub verify: bool,
    /// OpenPGP public keys to show them under, one for each; or none.
    pub pgp_keys: Vec<Vec<u8>>,
    /// Whether they are kept, encrypted.
    pub backup: bool,
}

/// What a rekey makes.
#[derive(Clone)]
pub(super) struct Plan {
    /// Number of new shares; 0 where a provider keeps the key.
    pub(super) shares: u8,
    pub(super) threshold: u8,
    pub(super) verify: bool,
    pub(super) pgp: Arc<[PgpKey]>,
    pub(super) backup: bool,
}

impl RekeyPlan {
    fn of_shares(&self) -> Result<(), Error> {
        shamir::check_split(self.shares, self.threshold)
            .map_err(|error| Error::invalid_argument(error.to_string()))?;
        if self.backup && self.pgp_keys.is_empty() {
            let message = "backup: only encrypted shares are kept: give pgp_keys";
            return Err(Error::invalid_argument(message));
        }
        Ok(())
    }

    /// A key that a provider keeps has no shares: some clients say so with one of one.
    fn of_provider(&self) -> Result<(), Error> {
        let is_whole = matches!((self.shares, self.threshold), (0, 0) | (1, 1));
        if is_whole && !self.verify && !self.backup && self.pgp_keys.is_empty() {
            return Ok(());
        }
        let message = "a provider keeps the root key of this cluster, which has no shares: none can be \
             asked for, proven, encrypted or kept";
        Err(Error::invalid_argument(message))
    }
}

/// A rekey under way.
pub(super) struct Attempt {
    pub(super) plan: Plan,
    pub(super) given: Given,
    pub(super) proof: Option<Proof>,
}

impl Attempt {
    pub(super) fn is_idle(&self) -> bool {
        match &self.proof {
            Some(proof) => proof.given.is_idle(),
            None => self.given.is_idle(),
        }
    }
}

/// How far a rekey is.
#[derive(Clone, Debug, Default)]
pub struct RekeyStatus {
    /// Whether one is under way.
    pub started: bool,
    /// Its nonce.
    pub nonce: String,
    /// Number of new shares.
    pub shares: u8,
    /// How many of them give the new key.
    pub threshold: u8,
    /// Shares given.
    pub progress: u8,
    /// Shares needed.
    pub required: u8,
    /// Whether the new shares must be proven.
    pub verify: bool,
    /// The nonce of that proof, once it is due.
    pub proof_nonce: String,
    /// Fingerprints of the PGP keys that they are shown under.
    pub fingerprints: Vec<String>,
    /// Whether they are kept, encrypted.
    pub backup: bool,
}

impl RekeyStatus {
    /// What this caller may see of it: who has the nonces can spoil the attempt.
    fn seen_by(mut self, asker: &Asker<'_>) -> Self {
        if !asker.permitted {
            self.nonce.clear();
            self.proof_nonce.clear();
        }
        self
    }
}

/// What a share led to.
#[derive(Clone)]
pub struct Rekeyed {
    /// How far it is.
    pub status: RekeyStatus,
    /// The new shares as they are shown, once they are made.
    pub shares: Option<Vec<Share>>,
    /// Whether it isn't known that they are in force.
    pub in_doubt: bool,
}

/// A rekey that was put in force. The call that did it may be repeated: nobody else has the shares.
pub(super) struct Made {
    of: Shares,
    nonce: String,
    /// The share that completed the quorum: who repeats the call has it, who only saw the nonce
    /// hasn't.
    last: Share,
    answer: Rekeyed,
    at: Instant,
}

impl Made {
    pub(super) fn new(of: Shares, nonce: &str, last: Share, answer: &Rekeyed) -> Self {
        Self {
            of,
            nonce: nonce.to_owned(),
            last,
            answer: answer.clone(),
            at: Instant::now(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at.elapsed() >= Duration::from_millis(REKEY_ANSWER_KEPT_MS)
    }

    fn again(&self, of: Shares, share: &Share, nonce: &str) -> Option<Rekeyed> {
        let is_same = self.of == of && self.nonce == nonce && self.last == *share;
        is_same.then(|| self.answer.clone())
    }
}

fn status_of(attempt: Option<&Attempt>, required: u8) -> RekeyStatus {
    let Some(attempt) = attempt else {
        return RekeyStatus {
            required,
            ..RekeyStatus::default()
        };
    };
    RekeyStatus {
        started: true,
        nonce: attempt.given.nonce.clone(),
        shares: attempt.plan.shares,
        threshold: attempt.plan.threshold,
        progress: attempt.given.progress(),
        required,
        verify: attempt.plan.verify,
        proof_nonce: attempt
            .proof
            .as_ref()
            .map_or_else(String::new, |proof| proof.given.nonce.clone()),
        fingerprints: pgp::fingerprints(&attempt.plan.pgp),
        backup: attempt.plan.backup,
    }
}

impl Pipeline {
    /// Begins a rekey.
    ///
    /// # Errors
    /// An impossible split, a PGP key that can't be used, no such shares in this cluster, or one is
    /// under way.
    pub async fn start_rekey(
        &self,
        of: Shares,
        plan: RekeyPlan,
        asker: &Asker<'_>,
    ) -> Result<RekeyStatus, Error> {
        let is_taken = |slot: &Option<Attempt>| {
            let attempt = slot.as_ref();
            attempt.is_some_and(|attempt| !attempt.given.gives_way_to(asker))
        };
        if is_taken(self.attempts.held().rekey(of)) {
            return Err(under_way());
        }
        let plan = self.rekey_plan(of, plan, asker).await?;
        let required = self.shares_needed(asker).await?;
        let mut held = self.attempts.held();
        let slot = held.rekey(of);
        if is_taken(slot) {
            return Err(under_way());
        }
        let (shares, threshold) = (plan.shares, plan.threshold);
        let attempt = slot.insert(Attempt {
            plan,
            given: Given::begun_by(asker),
            proof: None,
        });
        tracing::info!(?of, shares, threshold, "a rekey has begun");
        Ok(status_of(Some(attempt), required))
    }

    /// Checks what is asked for, and reads its PGP keys.
    async fn rekey_plan(
        &self,
        of: Shares,
        plan: RekeyPlan,
        asker: &Asker<'_>,
    ) -> Result<Plan, Error> {
        let (has_shares, now): (bool, UnixMillis) = {
            let pinned = self.pin(true, asker.deadline).await?;
            let keys = self.keys.get().ok_or_else(Error::sealed)?;
            let view = View::new(&pinned.state, &keys.barrier);
            (has_shares(&view, of)?, pinned.now)
        };
        if has_shares {
            plan.of_shares()?;
        } else {
            plan.of_provider()?;
        }
        pgp::check_count("pgp_keys", &plan.pgp_keys, plan.shares)?;
        for _ in &plan.pgp_keys {
            self.share_rate.spend(asker.remote, asker.permitted)?;
        }
        Ok(Plan {
            shares: if has_shares { plan.shares } else { 0 },
            threshold: if has_shares { plan.threshold } else { 0 },
            verify: plan.verify,
            pgp: pgp::keys_of("pgp_keys", plan.pgp_keys, plan.shares, now).await?,
            backup: plan.backup,
        })
    }

    /// How far a rekey is.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn rekey_status(&self, of: Shares, asker: &Asker<'_>) -> Result<RekeyStatus, Error> {
        let required = self.shares_needed(asker).await?;
        let status = status_of(self.attempts.held().rekey(of).as_ref(), required);
        Ok(status.seen_by(asker))
    }

    /// Gives a rekey up. Nothing happens if there is none.
    ///
    /// # Errors
    /// The caller may not.
    pub fn cancel_rekey(&self, of: Shares, nonce: &str, asker: &Asker<'_>) -> Result<(), Error> {
        let mut held = self.attempts.held();
        let slot = held.rekey(of);
        if let Some(attempt) = slot {
            attempt.given.check_cancel(asker, nonce)?;
            *slot = None;
            tracing::info!(?of, "a rekey was cancelled");
        }
        Ok(())
    }

    /// Takes a share in force; with the last one, makes the new shares.
    ///
    /// # Errors
    /// No attempt, another nonce, a share that can't be one, or shares that don't give the key.
    pub async fn update_rekey(
        &self,
        of: Shares,
        share: Share,
        nonce: &str,
        asker: &Asker<'_>,
    ) -> Result<Rekeyed, Error> {
        let required = self.shares_needed(asker).await?;
        let (status, complete) = {
            let mut held = self.attempts.held();
            let made = held.made.as_ref();
            if let Some(again) = made.and_then(|made| made.again(of, &share, nonce)) {
                return Ok(again);
            }
            let attempt = held.rekey(of).as_mut().ok_or_else(no_attempt)?;
            if attempt.proof.is_some() {
                attempt.given.check_nonce(nonce)?;
                return Err(under_way());
            }
            let complete = attempt.given.add(share, nonce, required)?;
            (status_of(Some(attempt), required), complete)
        };
        let Some(given) = complete else {
            return Ok(Rekeyed {
                status,
                shares: None,
                in_doubt: false,
            });
        };
        let status = RekeyStatus {
            progress: required,
            ..status
        };
        // A task of its own: what was submitted is finished when the caller goes, and before that
        // the caller's going ends it.
        let caller = Arc::new(());
        let (pipeline, waits) = (self.clone(), Arc::downgrade(&caller));
        let attempt = nonce.to_owned();
        let judged = tokio::spawn(async move {
            let done = pipeline.complete_rekey(of, &given, &attempt, status, &waits);
            let done = done.await;
            if done.is_err() {
                pipeline.rekey_goes_on(of, &attempt);
            }
            done
        });
        let judged = judged.await;
        drop(caller);
        judged.unwrap_or_else(|_| {
            self.rekey_goes_on(of, nonce);
            Err(Error::internal("the rekey broke off"))
        })
    }
}
