//! `seal "transit"`: the transit engine of another server (Vault, OpenBao) seals the root key. Its
//! token is renewed while this process runs; it is never logged.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tenure_core::{barrier::RootKey, state::StoredRootKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Opened, Provider, ProviderError, http};
use crate::config::TransitSeal;

const KIND: &str = "transit";
/// A token is renewed at half of its lifetime, within these bounds.
const RENEW_AFTER_MIN: Duration = Duration::from_secs(30);
const RENEW_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Room for a question: one that holds the root key must not be moved while it grows.
const QUESTION_BYTES: usize = 4 * 1_024;

/// The provider.
pub struct Transit(pub TransitSeal);

#[derive(Serialize, Zeroize, ZeroizeOnDrop)]
struct Encrypt {
    plaintext: String,
}

#[derive(Deserialize)]
struct Encrypted {
    data: Ciphertext,
}

#[derive(Serialize, Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    data: Plaintext,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Plaintext {
    plaintext: String,
}

#[derive(Serialize)]
struct Renew {}

#[derive(Deserialize)]
struct Renewed {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    lease_duration: u64,
}

fn failed(problem: impl std::fmt::Display) -> ProviderError {
    ProviderError {
        kind: KIND,
        problem: problem.to_string(),
    }
}

impl Transit {
    async fn ask<Q: Serialize, A: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, ProviderError> {
        let mut body = Zeroizing::new(Vec::with_capacity(QUESTION_BYTES));
        serde_json::to_writer(&mut *body, question).map_err(failed)?;
        let answer = http::post(&self.0, path, body).await.map_err(failed)?;
        // What the parser says may quote the answer.
        serde_json::from_slice(&answer).map_err(|_| failed("the answer is not understood"))
    }

    fn path(&self, operation: &str) -> String {
        let (mount, key) = (&self.0.mount_path, &self.0.key_name);
        format!("{mount}/{operation}/{key}")
    }
}

#[tonic::async_trait]
impl Provider for Transit {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn seal(&self, root: &RootKey) -> Result<StoredRootKey, ProviderError> {
        let question = Encrypt {
            plaintext: STANDARD.encode(root.expose()),
        };
        let answer: Encrypted = self.ask(&self.path("encrypt"), &question).await?;
        Ok(StoredRootKey {
            provider: KIND.to_owned(),
            key_id: String::new(),
            sealed: answer.data.ciphertext.into_bytes(),
        })
    }

    async fn open(&self, stored: &StoredRootKey) -> Result<Opened, ProviderError> {
        let ciphertext = String::from_utf8(stored.sealed.clone())
            .map_err(|_| failed("the stored root key is no ciphertext of transit"))?;
        let answer: Decrypted = self
            .ask(&self.path("decrypt"), &Ciphertext { ciphertext })
            .await?;
        let bytes = STANDARD.decode(&answer.data.plaintext).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| failed("the plaintext is not base64"))?;
        let root = RootKey::from_slice(&bytes);
        let root = root.ok_or_else(|| failed("what was decrypted is no root key"))?;
        Ok(Opened {
            root,
            outdated: false,
        })
    }

    async fn keep(&self) -> Result<Duration, ProviderError> {
        if self.0.disable_renewal {
            return Ok(RENEW_AFTER_MAX);
        }
        let answer: Renewed = self.ask("auth/token/renew-self", &Renew {}).await?;
        let half = Duration::from_secs(answer.auth.lease_duration / 2);
        Ok(half.clamp(RENEW_AFTER_MIN, RENEW_AFTER_MAX))
    }
}
