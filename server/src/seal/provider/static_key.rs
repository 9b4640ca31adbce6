//! `seal "static"`: a key of 32 bytes beside the node, in a file, in the environment or in the
//! configuration. It is read anew each time, and kept nowhere.

use std::time::Duration;

use tenure_core::{
    barrier::RootKey,
    seal::{open_stored, seal_stored},
    state::StoredRootKey,
};

use super::{Opened, Provider, ProviderError};
use crate::{
    config::{KeySource, StaticSeal},
    random::SystemRandom,
};

const KIND: &str = "static";
/// Nothing has to be done to keep a file.
const KEEP_EVERY: Duration = Duration::from_secs(3600);

/// The provider.
pub struct StaticKey(pub StaticSeal);

fn failed(problem: impl std::fmt::Display) -> ProviderError {
    ProviderError {
        kind: KIND,
        problem: problem.to_string(),
    }
}

#[tonic::async_trait]
impl Provider for StaticKey {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn seal(&self, root: &RootKey) -> Result<StoredRootKey, ProviderError> {
        let key = self.0.current_key.key().map_err(failed)?;
        Ok(StoredRootKey {
            provider: KIND.to_owned(),
            key_id: self.0.current_key_id.clone(),
            sealed: seal_stored(&key, root, &mut SystemRandom).map_err(failed)?,
        })
    }

    async fn open(&self, stored: &StoredRootKey) -> Result<Opened, ProviderError> {
        let (source, outdated) = self.source_of(&stored.key_id)?;
        let key = source.key().map_err(failed)?;
        let root = open_stored(&key, &stored.sealed).map_err(|_| {
            failed(format!(
                "the key {:?} is not the one that sealed the root key",
                stored.key_id
            ))
        })?;
        Ok(Opened { root, outdated })
    }

    async fn keep(&self) -> Result<Duration, ProviderError> {
        Ok(KEEP_EVERY)
    }
}

impl StaticKey {
    fn source_of(&self, key_id: &str) -> Result<(&KeySource, bool), ProviderError> {
        if self.0.current_key_id == key_id {
            return Ok((&self.0.current_key, false));
        }
        match &self.0.previous {
            Some((previous_id, previous)) if previous_id == key_id => Ok((previous, true)),
            _ => Err(failed(format!(
                "the root key is sealed by the key {key_id:?}, which is neither current_key_id nor \
                 previous_key_id"
            ))),
        }
    }
}
