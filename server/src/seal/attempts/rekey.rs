//! Shares made anew: begun, advanced by the shares in force, proven by the new ones if that
//! was asked for, and put in force.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tenure_core::{
    barrier::shamir::{self, Share},
    seal::{Candidate, Quorum, check_shares, rekey},
    state::View,
    token::Shares,
};
use tenure_raft::{batch::SubmitError, reads::Consistency};
use tokio::time::{Instant, sleep};

use super::{Given, no_attempt, proof::Proof, under_way};
use crate::{
    error::Error,
    limits::{REKEY_ANSWER_KEPT_MS, REKEY_COMMIT_MS_MAX},
    pipeline::{Asker, Backoff, Pipeline, StateView, transaction},
    random::SystemRandom,
};

/// How often the state is looked at, to learn what became of a commit in doubt.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a rekey is to make.
#[derive(Clone, Copy, Debug)]
pub struct RekeyPlan {
    /// Number of new shares.
    pub shares: u8,
    /// How many of them give the new key.
    pub threshold: u8,
    /// Whether they must be proven before they are in force.
    pub verify: bool,
}

/// A rekey under way.
pub(super) struct Attempt {
    pub(super) plan: RekeyPlan,
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
}

/// What a share led to.
#[derive(Clone)]
pub struct Rekeyed {
    /// How far it is.
    pub status: RekeyStatus,
    /// The new shares, once they are made.
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
    }
}

impl Pipeline {
    /// Begins a rekey.
    ///
    /// # Errors
    /// An impossible split, no such shares in this cluster, or one is under way.
    pub async fn start_rekey(
        &self,
        of: Shares,
        plan: RekeyPlan,
        asker: &Asker<'_>,
    ) -> Result<RekeyStatus, Error> {
        shamir::check_split(plan.shares, plan.threshold)
            .map_err(|error| Error::invalid_argument(error.to_string()))?;
        {
            let pinned = self.pin(true, asker.deadline).await?;
            let keys = self.keys.get().ok_or_else(Error::sealed)?;
            check_shares(&View::new(&pinned.state, &keys.barrier), of)?;
        }
        let required = self.shares_needed(asker).await?;
        let mut held = self.attempts.held();
        let slot = held.rekey(of);
        if slot.is_some() {
            return Err(under_way());
        }
        let attempt = slot.insert(Attempt {
            plan,
            given: Given::new(asker.remote),
            proof: None,
        });
        tracing::info!(
            ?of,
            shares = plan.shares,
            threshold = plan.threshold,
            "a rekey has begun"
        );
        Ok(status_of(Some(attempt), required))
    }

    /// How far a rekey is.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn rekey_status(&self, of: Shares, asker: &Asker<'_>) -> Result<RekeyStatus, Error> {
        let required = self.shares_needed(asker).await?;
        Ok(status_of(self.attempts.held().rekey(of).as_ref(), required))
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
        let (pipeline, nonce, waits) = (self.clone(), nonce.to_owned(), Arc::downgrade(&caller));
        let judged = tokio::spawn(async move {
            let done = pipeline.complete_rekey(of, &given, &nonce, status, &waits);
            let done = done.await;
            if done.is_err() {
                pipeline.rekey_goes_on(of, &nonce);
            }
            done
        });
        let judged = judged.await;
        drop(caller);
        judged.map_err(|_| Error::internal("the rekey broke off"))?
    }

    async fn complete_rekey(
        &self,
        of: Shares,
        given: &[Share],
        nonce: &str,
        mut status: RekeyStatus,
        caller: &Weak<()>,
    ) -> Result<Rekeyed, Error> {
        let (candidate, quorum, plan, shares) = self.make_shares(of, given, nonce).await?;
        if plan.verify {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_mut().filter(|a| a.given.nonce == nonce);
            let attempt = attempt.ok_or_else(no_attempt)?;
            attempt.given.judged();
            let mut proof = Given::new("");
            proof.owner = attempt.given.owner;
            status.proof_nonce = proof.nonce.clone();
            attempt.proof = Some(Proof {
                given: proof,
                quorum,
                candidate,
            });
            return Ok(Rekeyed {
                status,
                shares: Some(shares),
                in_doubt: false,
            });
        }
        let waits = || caller.strong_count() > 0;
        let in_doubt = self.put_in_force(of, quorum, &candidate, &waits).await?;
        let answer = Rekeyed {
            status,
            shares: Some(shares),
            in_doubt,
        };
        self.end_rekey(of, nonce, given, &answer);
        Ok(answer)
    }

    async fn make_shares(
        &self,
        of: Shares,
        given: &[Share],
        nonce: &str,
    ) -> Result<(Candidate, Quorum, RekeyPlan, Vec<Share>), Error> {
        let deadline = Instant::now() + Duration::from_millis(REKEY_COMMIT_MS_MAX);
        let quorum = {
            let pinned = self.pin(true, deadline).await?;
            let keys = self.keys.get().ok_or_else(Error::sealed)?;
            Quorum::prove(&View::new(&pinned.state, &keys.barrier), given)?
        };
        let plan = {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_ref().filter(|a| a.given.nonce == nonce);
            attempt.ok_or_else(no_attempt)?.plan
        };
        let (candidate, shares) =
            Candidate::generate(of, plan.shares, plan.threshold, &mut SystemRandom)
                .map_err(|error| Error::internal(error.to_string()))?;
        Ok((candidate, quorum, plan, shares))
    }

    /// Commits a candidate, if somebody still waits for it. `true`: it isn't known whether it is in
    /// force.
    pub(super) async fn put_in_force(
        &self,
        of: Shares,
        quorum: Quorum,
        candidate: &Candidate,
        waits: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool, Error> {
        let deadline = Instant::now() + Duration::from_millis(REKEY_COMMIT_MS_MAX);
        let mut backoff = Backoff::default();
        loop {
            let txn = {
                let pinned = self.pin(false, deadline).await?;
                let keys = self.keys.get().ok_or_else(Error::sealed)?;
                let view = View::new(&pinned.state, &keys.barrier);
                let txn = rekey(&view, &quorum, candidate, pinned.now, &mut SystemRandom)?;
                transaction(view.into_reads(), txn, &keys.barrier)?
            };
            if !waits() {
                let message = "nobody waits for the new shares any more: the old ones stay";
                return Err(Error::internal(message));
            }
            match self.node.submit(txn, deadline).await {
                Ok(_) => {
                    tracing::info!(?of, "new shares are in force");
                    return Ok(false);
                }
                Err(SubmitError::Conflict) => backoff.wait(deadline).await,
                Err(SubmitError::MaybeApplied) => {
                    return Ok(!self.is_in_force(candidate, deadline).await);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until a commit whose answer was lost is seen.
    async fn is_in_force(&self, candidate: &Candidate, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if let Ok((view, _)) = self.node.read(Consistency::Quorum, deadline).await
                && let Some(keys) = self.keys.get()
            {
                let state = StateView(view);
                let view = View::new(&state, &keys.barrier);
                if candidate.is_in_force(&view).unwrap_or(false) {
                    return true;
                }
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
        tracing::error!("it isn't known whether the new shares are in force: keep both");
        false
    }

    fn rekey_goes_on(&self, of: Shares, nonce: &str) {
        if let Some(attempt) = self.attempts.held().rekey(of)
            && attempt.given.nonce == nonce
        {
            attempt.given.judged();
        }
    }

    /// Ends what is in force now, and keeps its answer for a while.
    fn end_rekey(&self, of: Shares, nonce: &str, given: &[Share], answer: &Rekeyed) {
        let mut held = self.attempts.held();
        held.rekey(of)
            .take_if(|attempt| attempt.given.nonce == nonce);
        let Some(last) = given.last() else { return };
        held.made = Some(Made {
            of,
            nonce: nonce.to_owned(),
            last: last.clone(),
            answer: answer.clone(),
            at: Instant::now(),
        });
        drop(held);
        let attempts = self.attempts.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(REKEY_ANSWER_KEPT_MS)).await;
            // Looking drops what is over.
            drop(attempts.held());
        });
    }
}
