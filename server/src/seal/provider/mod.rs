//! Auto-unseal: a provider outside of the cluster seals the root key and opens it again, so that
//! nodes open themselves. Two kinds: a key that lies beside the node, and another server's transit
//! engine. What a provider sees of the cluster is the root key alone.

mod http;
mod static_key;
mod transit;

use std::{sync::Arc, time::Duration};

use tenure_core::{barrier::RootKey, state::StoredRootKey};

use self::{static_key::StaticKey, transit::Transit};
use crate::config::SealStanza;

/// Why a provider didn't do it. The text never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("seal {kind:?}: {problem}")]
pub struct ProviderError {
    /// Kind of the provider.
    pub kind: &'static str,
    /// What went wrong.
    pub problem: String,
}

/// A root key that a provider opened.
pub struct Opened {
    /// The root key.
    pub root: RootKey,
    /// Whether it was sealed by a key of before, and is to be sealed anew.
    pub outdated: bool,
}

/// Seals the root key and opens it again.
#[tonic::async_trait]
pub trait Provider: Send + Sync {
    /// Its kind, as the configuration and the status name it.
    fn kind(&self) -> &'static str;

    /// Seals a root key.
    ///
    /// # Errors
    /// It can't be reached, or refuses.
    async fn seal(&self, root: &RootKey) -> Result<StoredRootKey, ProviderError>;

    /// Opens what it sealed.
    ///
    /// # Errors
    /// It can't be reached, refuses, or didn't seal this.
    async fn open(&self, stored: &StoredRootKey) -> Result<Opened, ProviderError>;

    /// Does what keeps it usable, and says when that is due again.
    ///
    /// # Errors
    /// It can't be reached, or refuses.
    async fn keep(&self) -> Result<Duration, ProviderError>;
}

/// The provider of a configuration.
pub fn provider_of(stanza: &SealStanza) -> Arc<dyn Provider> {
    match stanza {
        SealStanza::Static(config) => Arc::new(StaticKey(config.clone())),
        SealStanza::Transit(config) => Arc::new(Transit(config.clone())),
    }
}
