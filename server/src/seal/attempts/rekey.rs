//! Shares made anew: begun, advanced by the shares in force, proven by the new ones if that
//! was asked for, and put in force.

use std::time::Duration;

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
    limits::REKEY_COMMIT_MS_MAX,
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
pub struct Rekeyed {
    /// How far it is.
    pub status: RekeyStatus,
    /// The new shares, once they are made.
    pub shares: Option<Vec<Share>>,
    /// Whether it isn't known that they are in force.
    pub in_doubt: bool,
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
        // A task of its own: what was begun is finished when the caller goes.
        let (pipeline, nonce) = (self.clone(), nonce.to_owned());
        let judged = tokio::spawn(async move { pipeline.complete_rekey(of, &given, &nonce).await });
        let (shares, in_doubt, proof_nonce) = judged
            .await
            .map_err(|_| Error::internal("the rekey broke off"))??;
        Ok(Rekeyed {
            status: RekeyStatus {
                progress: required,
                proof_nonce,
                ..status
            },
            shares: Some(shares),
            in_doubt,
        })
    }

    async fn complete_rekey(
        &self,
        of: Shares,
        given: &[Share],
        nonce: &str,
    ) -> Result<(Vec<Share>, bool, String), Error> {
        let made = self.make_shares(of, given, nonce).await;
        let (candidate, quorum, plan, shares) = match made {
            Ok(made) => made,
            Err(error) => {
                self.rekey_goes_on(of, nonce);
                return Err(error);
            }
        };
        if plan.verify {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_mut().filter(|a| a.given.nonce == nonce);
            let attempt = attempt.ok_or_else(no_attempt)?;
            attempt.given.judged();
            let mut proof = Given::new("");
            proof.owner = attempt.given.owner;
            let proof_nonce = proof.nonce.clone();
            attempt.proof = Some(Proof {
                given: proof,
                quorum,
                candidate,
            });
            return Ok((shares, false, proof_nonce));
        }
        match self.put_in_force(of, quorum, &candidate).await {
            Ok(in_doubt) => {
                self.end_rekey(of, nonce);
                Ok((shares, in_doubt, String::new()))
            }
            Err(error) => {
                self.rekey_goes_on(of, nonce);
                Err(error)
            }
        }
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

    /// Commits a candidate. `true`: it isn't known whether it is in force.
    pub(super) async fn put_in_force(
        &self,
        of: Shares,
        quorum: Quorum,
        candidate: &Candidate,
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

    fn end_rekey(&self, of: Shares, nonce: &str) {
        let mut held = self.attempts.held();
        held.rekey(of)
            .take_if(|attempt| attempt.given.nonce == nonce);
    }
}
