//! The proof that the holders of new shares have them: given share by share, as the shares in force
//! are. The new ones are put in force by it, and not before.

use tenure_core::{
    barrier::shamir::Share,
    seal::{Candidate, Quorum, SealError},
    token::Shares,
};

use super::{Given, no_attempt, under_way};
use crate::{
    error::Error,
    listen::Applied,
    pipeline::{Asker, Pipeline},
};

/// New shares that wait for their proof.
pub(super) struct Proof {
    pub(super) given: Given,
    pub(super) quorum: Quorum,
    pub(super) candidate: Candidate,
}

/// How far the proof of new shares is.
#[derive(Clone, Debug, Default)]
pub struct ProofStatus {
    /// Whether new shares wait for it.
    pub started: bool,
    /// Its nonce.
    pub nonce: String,
    /// Number of new shares.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
    /// New shares given.
    pub progress: u8,
}

fn proof_status_of(proof: Option<&Proof>) -> ProofStatus {
    let Some(proof) = proof else {
        return ProofStatus::default();
    };
    let (shares, threshold) = proof.candidate.split();
    ProofStatus {
        started: true,
        nonce: proof.given.nonce.clone(),
        shares,
        threshold,
        progress: proof.given.progress(),
    }
}

impl Pipeline {
    /// How far the proof of new shares is.
    pub fn rekey_proof(&self, of: Shares, asker: &Asker<'_>) -> ProofStatus {
        let mut held = self.attempts.held();
        let attempt = held.rekey(of).as_ref();
        let mut status = proof_status_of(attempt.and_then(|attempt| attempt.proof.as_ref()));
        if !asker.permitted {
            status.nonce.clear();
        }
        status
    }

    /// Begins the proof again, under another nonce.
    ///
    /// # Errors
    /// No new shares wait for one, or the caller may not.
    pub fn reset_rekey_proof(
        &self,
        of: Shares,
        nonce: &str,
        asker: &Asker<'_>,
    ) -> Result<ProofStatus, Error> {
        let mut held = self.attempts.held();
        let attempt = held.rekey(of).as_mut().ok_or_else(no_attempt)?;
        let proof = attempt.proof.as_mut().ok_or_else(no_attempt)?;
        if attempt.given.nonce != nonce {
            proof.given.check_cancel(asker, nonce)?;
        }
        if proof.given.is_judged {
            return Err(under_way());
        }
        proof.given = Given::default();
        Ok(proof_status_of(Some(proof)))
    }

    /// Takes a new share; with the last one, puts all of them in force. `true` then.
    ///
    /// # Errors
    /// No new shares wait, another nonce, or the shares don't give the new key.
    pub async fn prove_rekey(
        &self,
        of: Shares,
        share: Share,
        nonce: &str,
    ) -> Result<(ProofStatus, bool), Error> {
        let (mut status, complete) = {
            let mut held = self.attempts.held();
            let attempt = held.rekey(of).as_mut().ok_or_else(no_attempt)?;
            let proof = attempt.proof.as_mut().ok_or_else(no_attempt)?;
            let (_, threshold) = proof.candidate.split();
            let complete = proof.given.add(share, nonce, threshold)?;
            if let Some(shares) = &complete
                && !proof.candidate.is_given_by(shares)
            {
                proof.given.judged();
                return Err(SealError::WrongShares.into());
            }
            let status = proof_status_of(Some(proof));
            // It is proven: taken out, so that it is put in force once.
            let proof = match complete {
                Some(_) => attempt.proof.take(),
                None => None,
            };
            // Until then nobody gives the attempt up.
            attempt.given.is_judged = proof.is_some();
            let proof = proof.map(|proof| (attempt.given.nonce.clone(), proof));
            (status, proof)
        };
        let Some((attempt, proof)) = complete else {
            return Ok((status, false));
        };
        let pipeline = self.clone();
        let ended = attempt.clone();
        let done = tokio::spawn(async move { pipeline.end_proof(of, &ended, proof).await });
        let Ok(done) = done.await else {
            // It would take shares no more, and couldn't be given up.
            let mut held = self.attempts.held();
            let slot = held.rekey(of);
            slot.take_if(|held| held.given.nonce == attempt);
            return Err(Error::internal("the rekey broke off"));
        };
        done?;
        status.progress = status.threshold;
        Ok((status, true))
    }

    /// Puts proven shares in force, and ends the attempt with this nonce, which is theirs.
    async fn end_proof(&self, of: Shares, nonce: &str, proof: Proof) -> Result<(), Error> {
        // The holders have their new shares: whether the caller waits makes no difference.
        let done = self
            .put_in_force(of, proof.quorum, &proof.candidate, &|| true)
            .await;
        let mut held = self.attempts.held();
        let slot = held.rekey(of);
        match done {
            Ok(in_doubt) => {
                slot.take_if(|attempt| attempt.given.nonce == nonce);
                if in_doubt {
                    return Err(Error::active_node_lost(Applied::Maybe));
                }
                Ok(())
            }
            Err(error) => {
                // The proof can be given again.
                if let Some(attempt) = slot
                    && attempt.given.nonce == nonce
                {
                    attempt.given.judged();
                    let mut given = proof.given;
                    given.judged();
                    attempt.proof = Some(Proof { given, ..proof });
                }
                Err(error)
            }
        }
    }
}
