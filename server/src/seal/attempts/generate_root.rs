//! A root token made by the quorum, hidden by a one-time password or under a PGP key: who sees the
//! answer alone doesn't learn it.

use std::{sync::Arc, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use tenure_core::{
    barrier::shamir::Share,
    quota,
    random::push_base62,
    seal::Quorum,
    state::{Tokens, View},
    token,
    types::{Accessor, Secret, TokenId, UnixMillis},
};
use tenure_raft::{batch::SubmitError, reads::Consistency};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::{Given, in_force::LOOK_AGAIN_AFTER, no_attempt, under_way};
use crate::{
    error::Error,
    limits::REKEY_COMMIT_MS_MAX,
    listen::Applied,
    pipeline::{Asker, Backoff, Pipeline, StateView, transaction},
    random::SystemRandom,
    seal::pgp::{self, PgpKey},
};

/// A root token that is being made.
pub(super) struct Attempt {
    pub(super) given: Given,
    cover: Cover,
}

/// What hides the token.
#[derive(Clone)]
enum Cover {
    Otp(Secret<String>),
    Pgp(Arc<PgpKey>),
}

impl Cover {
    fn fingerprint(&self) -> String {
        match self {
            Self::Otp(_) => String::new(),
            Self::Pgp(key) => key.fingerprint().to_owned(),
        }
    }

    fn encode(&self, token: &TokenId) -> Result<Secret<String>, Error> {
        match self {
            Self::Otp(otp) => Ok(encode(token, otp)),
            Self::Pgp(key) => {
                let message = key.encrypt(token.expose().as_bytes());
                let message = message.map_err(|error| Error::internal(error.to_string()))?;
                Ok(Secret::new(STANDARD.encode(message)))
            }
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct GenerateRootStatus {
    /// Whether one is being made.
    pub started: bool,
    /// The nonce.
    pub nonce: String,
    /// Shares given.
    pub progress: u8,
    /// Shares needed.
    pub required: u8,
    /// Fingerprint of the PGP key that hides the token, if one does.
    pub fingerprint: String,
}

/// What a share led to.
pub struct Generated {
    /// How far it is.
    pub status: GenerateRootStatus,
    /// The token, once it is made: under the one-time password in base64 without padding, or as a
    /// PGP message in base64.
    pub encoded: Option<Secret<String>>,
}

fn status_of(attempt: Option<&Attempt>, required: u8) -> GenerateRootStatus {
    let Some(attempt) = attempt else {
        return GenerateRootStatus {
            required,
            ..GenerateRootStatus::default()
        };
    };
    GenerateRootStatus {
        started: true,
        nonce: attempt.given.nonce.clone(),
        progress: attempt.given.progress(),
        required,
        fingerprint: attempt.cover.fingerprint(),
    }
}

/// The one-time password that was given, or a new one; the second is shown.
fn otp_of(given: Secret<String>) -> Result<(Secret<String>, Option<Secret<String>>), Error> {
    let length = TokenId::ISSUED_CHARS;
    if given.expose().is_empty() {
        let mut text = String::with_capacity(length);
        push_base62(&mut SystemRandom, length, &mut text);
        let otp = Secret::new(text);
        return Ok((otp.clone(), Some(otp)));
    }
    if given.expose().len() != length || !given.expose().is_ascii() {
        let message = format!("otp: it must have {length} ASCII characters, as a token has");
        return Err(Error::invalid_argument(message));
    }
    Ok((given, None))
}

/// A token under a password of its length.
fn encode(token: &TokenId, otp: &Secret<String>) -> Secret<String> {
    let pairs = token.expose().bytes().zip(otp.expose().bytes());
    let mixed: Zeroizing<Vec<u8>> = Zeroizing::new(pairs.map(|(a, b)| a ^ b).collect());
    Secret::new(STANDARD_NO_PAD.encode(mixed.as_slice()))
}

impl Pipeline {
    /// Begins to make a root token. Gives the one-time password back, if neither one nor a PGP key was
    /// given.
    ///
    /// # Errors
    /// The password has another length than a token, the key can't be used, both are given, or an
    /// attempt is under way.
    pub async fn start_generate_root(
        &self,
        otp: Secret<String>,
        pgp_key: Vec<u8>,
        asker: &Asker<'_>,
    ) -> Result<(GenerateRootStatus, Option<Secret<String>>), Error> {
        let required = self.shares_needed(asker).await?;
        if !otp.expose().is_empty() && !pgp_key.is_empty() {
            let message = "otp, pgp_key: one of both hides the token";
            return Err(Error::invalid_argument(message));
        }
        let now = UnixMillis::new(self.node.cluster_time_ms());
        let (cover, made) = match pgp::key_of("pgp_key", pgp_key, now).await? {
            Some(key) => (Cover::Pgp(Arc::new(key)), None),
            None => {
                let (otp, made) = otp_of(otp)?;
                (Cover::Otp(otp), made)
            }
        };
        let mut held = self.attempts.held();
        if held
            .token
            .as_ref()
            .is_some_and(|attempt| !attempt.given.gives_way_to(asker))
        {
            return Err(under_way());
        }
        let attempt = held.token.insert(Attempt {
            given: Given::begun_by(asker),
            cover,
        });
        tracing::info!("a root token is asked for");
        Ok((status_of(Some(attempt), required), made))
    }

    /// How far it is.
    ///
    /// # Errors
    /// The state can't be read.
    pub async fn generate_root_status(
        &self,
        asker: &Asker<'_>,
    ) -> Result<GenerateRootStatus, Error> {
        let required = self.shares_needed(asker).await?;
        let mut status = status_of(self.attempts.held().token.as_ref(), required);
        if !asker.permitted {
            // Who has it can spoil the attempt.
            status.nonce.clear();
        }
        Ok(status)
    }

    /// Gives it up. Nothing happens if no root token is being made.
    ///
    /// # Errors
    /// The caller may not.
    pub fn cancel_generate_root(&self, nonce: &str, asker: &Asker<'_>) -> Result<(), Error> {
        let mut held = self.attempts.held();
        if let Some(attempt) = &held.token {
            attempt.given.check_cancel(asker, nonce)?;
            held.token = None;
            tracing::info!("the making of a root token was cancelled");
        }
        Ok(())
    }

    /// Takes a share; with the last one, makes the token.
    ///
    /// # Errors
    /// No attempt, another nonce, a share that can't be one, or shares that don't give the key.
    pub async fn update_generate_root(
        &self,
        share: Share,
        nonce: &str,
        asker: &Asker<'_>,
    ) -> Result<Generated, Error> {
        let required = self.shares_needed(asker).await?;
        let (mut status, complete) = {
            let mut held = self.attempts.held();
            let attempt = held.token.as_mut().ok_or_else(no_attempt)?;
            let complete = attempt.given.add(share, nonce, required)?;
            let cover = attempt.cover.clone();
            let status = status_of(Some(attempt), required);
            (status, complete.map(|given| (given, cover)))
        };
        let Some((given, cover)) = complete else {
            return Ok(Generated {
                status,
                encoded: None,
            });
        };
        let (pipeline, begun) = (self.clone(), nonce.to_owned());
        let made = tokio::spawn(async move {
            let made = pipeline.make_root_token(&given, &cover).await;
            let mut held = pipeline.attempts.held();
            if let Some(attempt) = &mut held.token
                && attempt.given.nonce == begun
            {
                match &made {
                    Ok(_) => held.token = None,
                    Err(_) => attempt.given.judged(),
                }
            }
            made
        });
        let Ok(made) = made.await else {
            // It would take shares no more, and couldn't be given up.
            let mut held = self.attempts.held();
            held.token.take_if(|attempt| attempt.given.nonce == nonce);
            return Err(Error::internal("the making of a root token broke off"));
        };
        status.progress = required;
        Ok(Generated {
            status,
            encoded: Some(made?),
        })
    }

    /// Makes a root token, and gives it back as it is shown: it is hidden before it is there, so that
    /// there is none that can't be shown.
    async fn make_root_token(
        &self,
        given: &[Share],
        cover: &Cover,
    ) -> Result<Secret<String>, Error> {
        let deadline = Instant::now() + Duration::from_millis(REKEY_COMMIT_MS_MAX);
        let mut backoff = Backoff::default();
        // A wrong set is refused on what is known to be the state.
        let mut confirm = true;
        loop {
            let (txn, response) = {
                let pinned = self.pin(confirm, deadline).await?;
                let keys = self.keys.get().ok_or_else(Error::sealed)?;
                let view = View::new(&pinned.state, &keys.barrier);
                Quorum::prove(&view, given)?;
                let context = token::Context {
                    view: &view,
                    revocations: &pinned.revocations,
                    acls: &keys.acls,
                    ttl: &self.ttl,
                    now: pinned.now,
                    remote: None,
                };
                let mut plan = token::create_root(context, None, &mut SystemRandom)?;
                quota::settle(&view, &mut plan.txn, &mut SystemRandom)?;
                let txn = transaction(view.into_reads(), plan.txn, &keys.barrier)?;
                (txn, plan.response)
            };
            let encoded = cover.encode(&response.id)?;
            confirm = false;
            match self.node.submit(txn, deadline).await {
                Ok(_) => {}
                Err(SubmitError::Conflict) => {
                    backoff.wait(deadline).await;
                    continue;
                }
                Err(SubmitError::MaybeApplied) if self.is_there(&response.id, deadline).await => {}
                Err(SubmitError::MaybeApplied) => return Err(in_doubt(&response.info)),
                Err(error) => return Err(error.into()),
            }
            let accessor = response.info.accessor.as_ref().map(Accessor::as_str);
            tracing::warn!(accessor, "a quorum has made a root token");
            return Ok(encoded);
        }
    }

    /// Waits until a token whose commit was in doubt is seen.
    async fn is_there(&self, id: &TokenId, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if let Ok((view, _)) = self.node.read(Consistency::Quorum, deadline).await
                && let Some(keys) = self.keys.get()
            {
                let state = StateView(view);
                let view = View::new(&state, &keys.barrier);
                let found = view.get::<Tokens>(&keys.barrier.token_hash(id));
                if found.is_ok_and(|found| found.is_some()) {
                    return true;
                }
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
        false
    }
}

/// Nobody was shown the token: where it is, it is found by its accessor.
fn in_doubt(made: &token::TokenInfo) -> Error {
    let accessor = made.accessor.as_ref().map_or("", Accessor::as_str);
    tracing::error!(
        accessor,
        "it isn't known whether a root token was made, and nobody has it: revoke it by its accessor"
    );
    Error {
        fact: Some(("accessor", accessor.to_owned())),
        message: format!(
            "the active node was lost: a root token that nobody has may have been made. Revoke it by \
             its accessor {accessor}"
        ),
        ..Error::active_node_lost(Applied::Maybe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_hides_the_token_and_shows_it_again() {
        let token = TokenId::issue(&mut SystemRandom);
        assert_eq!(token.expose().len(), TokenId::ISSUED_CHARS);
        let mut text = String::new();
        push_base62(&mut SystemRandom, TokenId::ISSUED_CHARS, &mut text);
        let otp = Secret::new(text);
        let encoded = encode(&token, &otp);
        let bytes = STANDARD_NO_PAD.decode(encoded.expose()).unwrap();
        let decoded = bytes.iter().zip(otp.expose().bytes()).map(|(a, b)| a ^ b);
        assert_eq!(decoded.collect::<Vec<_>>(), token.expose().as_bytes());
    }
}
