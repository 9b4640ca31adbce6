//! Join tokens: minted by an operator, short-lived, for one node. The state holds a hash of
//! each; the text names the members' keys, so that the new node knows whom it talks to.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use prost::Message;
use tenure_proto::internal as wire;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{Node, join::EXCHANGE_WAIT};
use crate::{
    batch::SubmitError,
    limits::FORMAT,
    tls::fingerprint,
    txn::{Op, Record, Txn},
    types::NodeId,
};

const JOIN_TOKENS: &[u8] = b"\x01j";
const JOIN_TOKENS_END: &[u8] = b"\x01k";
const TOKEN_PREFIX: &str = "tenure-join.";
const SECRET_BYTES: usize = 32;
/// Join tokens alive at one time.
const JOIN_TOKENS_MAX: usize = 256;

pub(super) fn token_key(secret: &[u8]) -> Bytes {
    let mut key = JOIN_TOKENS.to_vec();
    key.extend_from_slice(digest(&SHA256, secret).as_ref());
    key.into()
}

/// A join token as text: cluster id, secret, and the fingerprints of the members' keys, by
/// which the new node knows whom it talks to.
pub(super) struct JoinToken {
    pub(super) cluster_id: [u8; 16],
    pub(super) secret: Zeroizing<[u8; SECRET_BYTES]>,
    pub(super) fingerprints: Vec<[u8; 32]>,
}

impl JoinToken {
    fn encode(&self) -> String {
        let mut bytes = Zeroizing::new(self.cluster_id.to_vec());
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend(self.fingerprints.iter().flatten());
        format!("{TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(&*bytes))
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let encoded = text.trim().strip_prefix(TOKEN_PREFIX)?;
        let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?);
        let (cluster_id, rest) = bytes.split_first_chunk::<16>()?;
        let (secret, rest) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let (fingerprints, tail) = rest.as_chunks::<32>();
        (!fingerprints.is_empty() && tail.is_empty()).then(|| Self {
            cluster_id: *cluster_id,
            secret: Zeroizing::new(*secret),
            fingerprints: fingerprints.to_vec(),
        })
    }
}

impl Node {
    /// Makes a join token that ends after `ttl`. Active node only.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn mint_join_token(
        &self,
        ttl: Duration,
        deadline: Instant,
    ) -> Result<Zeroizing<String>, SubmitError> {
        let core = self.core().ok_or(SubmitError::NotActive)?;
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| SubmitError::NotActive)?;
        let now_ms = core.clock.now_ms();
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let record = wire::JoinToken {
            format: FORMAT,
            expires_ms: now_ms.saturating_add(ttl_ms),
            node_id: None,
            public_key: Bytes::new(),
        };
        let view = core.state.view().map_err(|_| SubmitError::NotActive)?;
        let mut txn = Txn {
            read_revision: view.revision(),
            ..Txn::default()
        };
        let known = view
            .scan(JOIN_TOKENS, JOIN_TOKENS_END, JOIN_TOKENS_MAX)
            .map_err(|_| SubmitError::NotActive)?;
        let ended = known.iter().filter(|(_, record)| {
            wire::JoinToken::decode(record.value.clone()).is_ok_and(|t| t.expires_ms <= now_ms)
        });
        txn.ops
            .extend(ended.map(|(key, _)| Op::Delete(key.clone())));
        if known.len() - txn.ops.len() >= JOIN_TOKENS_MAX {
            return Err(SubmitError::Overloaded);
        }
        txn.ops.push(Op::Put {
            key: token_key(secret.as_ref()),
            value: record.encode_to_vec().into(),
            create_revision: None,
        });
        self.submit(txn, deadline).await?;
        let metrics = core.raft.metrics();
        let fingerprints = metrics
            .borrow_watched()
            .membership_config
            .membership()
            .nodes()
            .map(|(_, member)| fingerprint(&member.public_key))
            .collect();
        let token = JoinToken {
            cluster_id: core.identity.cluster_id,
            secret,
            fingerprints,
        };
        Ok(Zeroizing::new(token.encode()))
    }

    /// Deletes the join tokens that gave `id`: who was removed must not use them again.
    pub(super) async fn forget_join_tokens(&self, id: NodeId) -> Result<(), SubmitError> {
        let core = self.core().ok_or(SubmitError::NotActive)?;
        let view = core.state.view().map_err(|_| SubmitError::NotActive)?;
        let known = view
            .scan(JOIN_TOKENS, JOIN_TOKENS_END, JOIN_TOKENS_MAX)
            .map_err(|_| SubmitError::NotActive)?;
        let gave = |record: &Record| {
            wire::JoinToken::decode(record.value.clone())
                .is_ok_and(|token| token.node_id == Some(id))
        };
        let ops: Vec<Op> = known
            .into_iter()
            .filter(|(_, record)| gave(record))
            .map(|(key, _)| Op::Delete(key))
            .collect();
        if ops.is_empty() {
            return Ok(());
        }
        let txn = Txn {
            ops,
            ..Txn::default()
        };
        self.submit(txn, Instant::now() + EXCHANGE_WAIT).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_survives_its_text_and_garbage_is_refused() {
        let token = JoinToken {
            cluster_id: [7; 16],
            secret: Zeroizing::new([9; SECRET_BYTES]),
            fingerprints: vec![[1; 32], [2; 32]],
        };
        let text = token.encode();
        let back = JoinToken::decode(&format!(" {text}\n")).unwrap();
        assert_eq!(back.cluster_id, token.cluster_id);
        assert_eq!(*back.secret, *token.secret);
        assert_eq!(back.fingerprints, token.fingerprints);
        for bad in [
            "",
            "tenure-join.",
            "tenure-join.AAAA",
            &text[..text.len() - 3],
            &text[1..],
        ] {
            assert!(JoinToken::decode(bad).is_none(), "{bad:?}");
        }
    }
}
