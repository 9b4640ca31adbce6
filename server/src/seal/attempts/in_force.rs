//! What a quorum of shares leads to: a new key, and its being put in force, at once or once its shares
//! are proven.

use std::{sync::Weak, time::Duration};

use tenure_core::{
    barrier::{RootKey, shamir::Share},
    seal::{Candidate, Quorum, has_shares, rekey},
    state::{EncryptedShare, SharesBackup, View},
    token::Shares,
};
use tenure_raft::{batch::SubmitError, reads::Consistency};
use tokio::time::{Instant, sleep};

use super::{
    Given, no_attempt,
    proof::Proof,
    rekey::{Made, Plan, RekeyStatus, Rekeyed},
};
use crate::{
    error::Error,
    limits::{REKEY_ANSWER_KEPT_MS, REKEY_COMMIT_MS_MAX},
    pipeline::{Backoff, Pipeline, StateView, transaction},
    random::SystemRandom,
    seal::{open_itself::seal_checked, pgp},
};

/// How often the state is looked at, to learn what became of a commit in doubt.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Pipeline {
    pub(super) async fn complete_rekey(
        &self,
        of: Shares,
        given: &[Share],
        nonce: &str,
        mut status: RekeyStatus,
        caller: &Weak<()>,
    ) -> Result<Rekeyed, Error> {
        let (candidate, quorum, plan, shares) = self.make_candidate(of, given, nonce).await?;
        if plan.verify {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_mut().filter(|a| a.given.nonce == nonce);
            let attempt = attempt.ok_or_else(no_attempt)?;
            attempt.given.judged();
            let proof = Given::default();
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

    /// A new key, and its shares as they are shown.
    async fn make_candidate(
        &self,
        of: Shares,
        given: &[Share],
        nonce: &str,
    ) -> Result<(Candidate, Quorum, Plan, Vec<Share>), Error> {
        let deadline = Instant::now() + Duration::from_millis(REKEY_COMMIT_MS_MAX);
        let (quorum, has_shares) = {
            let pinned = self.pin(true, deadline).await?;
            let keys = self.keys.get().ok_or_else(Error::sealed)?;
            let view = View::new(&pinned.state, &keys.barrier);
            (Quorum::prove(&view, given)?, has_shares(&view, of)?)
        };
        let plan = {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_ref().filter(|a| a.given.nonce == nonce);
            attempt.ok_or_else(no_attempt)?.plan.clone()
        };
        if !has_shares {
            let provider = self.provider.as_deref();
            let provider = provider.ok_or_else(|| Error::internal("there is no provider"))?;
            let root = RootKey::generate(&mut SystemRandom);
            let stored = seal_checked(provider, &root).await?;
            let candidate = Candidate::of_provider(root, stored);
            return Ok((candidate, quorum, plan, Vec::new()));
        }
        let (mut candidate, shares) =
            Candidate::generate(of, plan.shares, plan.threshold, &mut SystemRandom)
                .map_err(|error| Error::internal(error.to_string()))?;
        let shares = pgp::shown(&plan.pgp, shares)?;
        if plan.backup {
            let pairs = pgp::fingerprints(&plan.pgp).into_iter().zip(&shares);
            let shares = pairs.map(|(fingerprint, message)| EncryptedShare {
                fingerprint,
                message: message.expose().clone(),
            });
            candidate.keep(SharesBackup {
                nonce: nonce.to_owned(),
                shares: shares.collect(),
            });
        }
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
                    tracing::info!(?of, "a new key is in force");
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
        tracing::error!("it isn't known whether the new key is in force: keep the shares of both");
        false
    }

    pub(super) fn rekey_goes_on(&self, of: Shares, nonce: &str) {
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
        held.made = Some(Made::new(of, nonce, last.clone(), answer));
        drop(held);
        let attempts = self.attempts.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(REKEY_ANSWER_KEPT_MS)).await;
            // Looking drops what is over.
            drop(attempts.held());
        });
    }
}
