//! A node that a provider opens: at its start, after it was sealed, and again and again while the
//! provider is away. It also keeps the provider usable, and has the root key sealed anew when the
//! provider's key has changed.

use std::time::Duration;

use tenure_core::{
    barrier::RootKey,
    random,
    state::{SealConfigs, StoredRootKey, StoredRootKeys, Txn, View, read_plain},
};
use tenure_raft::reads::Consistency;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    CATCH_UP_WAIT, Sealer,
    provider::{Opened, Provider, ProviderError},
};
use crate::{
    error::Error,
    limits::{SEAL_REOPEN_AFTER_MS, SEAL_RETRY_MS_MAX, SEAL_RETRY_MS_MIN},
    pipeline::{StateView, transaction},
    random::SystemRandom,
};

/// How often an open node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a node without a cluster is looked at.
const JOINED_EVERY: Duration = Duration::from_millis(50);
/// How long the commit of a stored root key may take.
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// What a provider's failure is to a caller.
pub fn provider_failed(error: ProviderError) -> Error {
    Error::new(Code::Unavailable, "SEAL_PROVIDER", error.to_string())
}

/// Has a provider open what is stored.
///
/// # Errors
/// Another kind of provider sealed it, or this one doesn't open it.
pub async fn open_stored(provider: &dyn Provider, stored: &StoredRootKey) -> Result<Opened, Error> {
    if stored.provider == provider.kind() {
        return provider.open(stored).await.map_err(provider_failed);
    }
    let message = other_provider(&stored.provider, provider.kind());
    Err(Error::new(Code::FailedPrecondition, "OTHER_SEAL", message))
}

/// Has a provider seal the root key, and open it again: what it made may become the only copy.
///
/// # Errors
/// The provider fails, or opens another key than it sealed.
pub async fn seal_checked(provider: &dyn Provider, root: &RootKey) -> Result<StoredRootKey, Error> {
    let stored = provider.seal(root).await.map_err(provider_failed)?;
    let opened = open_stored(provider, &stored).await?;
    if opened.root == *root {
        return Ok(stored);
    }
    let message = "the provider opens another key than the one that it sealed";
    Err(Error::new(Code::Unavailable, "SEAL_PROVIDER", message))
}

fn other_provider(of_cluster: &str, of_node: &str) -> String {
    format!(
        "the cluster is opened by seal {of_cluster:?}, and the configuration has seal {of_node:?}"
    )
}

/// Waits that double, each cut at random: nodes that start together don't ask together.
struct Waits(u64);

impl Waits {
    fn next(&mut self) -> Duration {
        let ms = self.0;
        self.0 = (ms * 2).min(SEAL_RETRY_MS_MAX);
        let spread = u64::from(u16::from_be_bytes(random::array(&mut SystemRandom)));
        // Between one half and the whole.
        Duration::from_millis(ms / 2 + ms / 2 * spread / u64::from(u16::MAX))
    }
}

impl Sealer {
    /// Whether the `seal` stanza is that of the cluster to which this node belongs.
    ///
    /// # Errors
    /// It isn't, or the state can't be read: for people.
    pub fn check_stanza(&self) -> Result<(), String> {
        if !self.node.is_initialized() {
            return Ok(());
        }
        let stored = self.stored().map_err(|error| error.message)?;
        let config = self.config().map_err(|error| error.message)?;
        match (stored, &self.provider) {
            (Some(stored), Some(provider)) if stored.provider != provider.kind() => {
                Err(other_provider(&stored.provider, provider.kind()))
            }
            (Some(stored), None) => Err(format!(
                "the cluster is opened by seal {:?}, and the configuration has no seal stanza",
                stored.provider
            )),
            (None, Some(provider)) if config.is_some() => Err(format!(
                "the cluster is opened by key shares, and the configuration has seal {:?}",
                provider.kind()
            )),
            _ => Ok(()),
        }
    }

    fn stored(&self) -> Result<Option<StoredRootKey>, Error> {
        let state = StateView(self.node.view()?);
        Ok(read_plain::<StoredRootKeys>(&state, &())?)
    }

    /// Opens this node whenever it is sealed, for the life of the process. Without a provider
    /// there is nothing to do.
    pub async fn open_itself(&self) {
        let Some(provider) = &self.provider else {
            return;
        };
        let mut waits = Waits(SEAL_RETRY_MS_MIN);
        let mut keep_at = Instant::now();
        let mut was_open = false;
        let mut outdated = false;
        loop {
            if !self.keys.is_sealed() {
                was_open = true;
                waits = Waits(SEAL_RETRY_MS_MIN);
                if outdated && self.node.is_active() {
                    outdated = self.seal_anew(provider.as_ref()).await.is_err();
                }
                if Instant::now() >= keep_at {
                    keep_at = Instant::now() + keep(provider.as_ref(), &mut waits).await;
                }
                sleep(LOOK_EVERY).await;
                continue;
            }
            if std::mem::take(&mut was_open) {
                tracing::info!("this node was sealed: its provider opens it again soon");
                sleep(Duration::from_millis(SEAL_REOPEN_AFTER_MS)).await;
            }
            match self.open_by(provider.as_ref()).await {
                Ok(Some(is_outdated)) => outdated = is_outdated,
                Ok(None) => sleep(JOINED_EVERY).await,
                Err(error) => {
                    tracing::warn!(reason = error.reason, "{}", error.message);
                    sleep(waits.next()).await;
                }
            }
        }
    }

    /// `None`: there is no cluster yet. Else whether what is stored is to be sealed anew.
    async fn open_by(&self, provider: &dyn Provider) -> Result<Option<bool>, Error> {
        // Init opens and closes the store in between.
        let _one_at_a_time = self.attempt.lock().await;
        if !self.node.is_initialized() {
            return Ok(None);
        }
        let deadline = Instant::now() + CATCH_UP_WAIT;
        let _ = self.node.read(Consistency::Quorum, deadline).await;
        let Some(stored) = self.stored()? else {
            // Not replicated yet, or never to be.
            return match self.config()? {
                None => Ok(None),
                Some(_) => Err(Error::new(
                    Code::FailedPrecondition,
                    "OTHER_SEAL",
                    "the cluster is opened by key shares: the seal stanza has to go",
                )),
            };
        };
        let opened = open_stored(provider, &stored).await?;
        self.open_with(&opened.root).await?;
        Ok(Some(opened.outdated))
    }

    /// The active node's part when the provider's key has changed: the root key is sealed by the
    /// new one.
    async fn seal_anew(&self, provider: &dyn Provider) -> Result<(), Error> {
        let Some(stored) = self.stored()? else {
            return Ok(());
        };
        let opened = open_stored(provider, &stored).await?;
        if !opened.outdated {
            return Ok(());
        }
        let anew = seal_checked(provider, &opened.root).await?;
        let keys = self.keys.get().ok_or_else(Error::sealed)?;
        let mut txn = Txn::default();
        let reads = {
            let state = StateView(self.node.view()?);
            let view = View::new(&state, &keys.barrier);
            view.note::<SealConfigs>(&());
            let current = view.get::<StoredRootKeys>(&())?;
            if current.is_none_or(|row| row.value != stored) {
                return Err(Error::new(Code::Aborted, "CONFLICT", "somebody was faster"));
            }
            txn.insert_plain::<StoredRootKeys>(&(), &anew)?;
            view.into_reads()
        };
        let deadline = Instant::now() + COMMIT_WAIT;
        let txn = transaction(reads, txn, &keys.barrier)?;
        self.node.submit(txn, deadline).await?;
        tracing::info!(
            key_id = anew.key_id,
            "the root key was sealed anew by its provider"
        );
        Ok(())
    }
}

/// Keeps the provider usable, and says when that is due again.
async fn keep(provider: &dyn Provider, waits: &mut Waits) -> Duration {
    match provider.keep().await {
        Ok(again) => again,
        Err(error) => {
            tracing::warn!(%error, "the provider's token was not renewed");
            waits.next().max(LOOK_EVERY)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let mut waits = Waits(SEAL_RETRY_MS_MIN);
        for round in 0..20 {
            let whole = (SEAL_RETRY_MS_MIN << round.min(16)).min(SEAL_RETRY_MS_MAX);
            let wait = waits.next().as_millis() as u64;
            assert!(
                (whole / 2..=whole).contains(&wait),
                "{round}: {wait} of {whole}"
            );
        }
    }
}
