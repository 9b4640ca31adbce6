//! Request ids: a retried request acts once. The answer is recorded by the transaction of
//! the request itself, so that either both exist or neither. It never decides what may be
//! retried.

use crate::{
    barrier::{BarrierError, RequestHash, TokenHash},
    random::Random,
    state::{DedupeRecord, Dedupes, Due, DueKind, ReadError, TimeIndex, Txn, View},
    types::{
        Secret, UnixMillis,
        limits::{DEDUPE_WINDOW_MS, REQUEST_ID_BYTES_MAX},
    },
};

/// Why a request id was refused.
#[derive(Debug, thiserror::Error)]
pub enum DedupeError {
    /// Not usable as an id.
    #[error("a request id has 1 to {REQUEST_ID_BYTES_MAX} printable ASCII characters")]
    Malformed,
    /// The id was used for another request.
    #[error("the request id was used for another request")]
    Reused,
    /// The state can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl DedupeError {
    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "INVALID_REQUEST_ID",
            Self::Reused => "REQUEST_ID_REUSED",
            Self::Read(_) => "STORAGE",
        }
    }
}

/// A request id, bound to its caller, method and body.
pub struct RequestKey {
    hash: RequestHash,
    fingerprint: [u8; 32],
}

impl RequestKey {
    /// Checks the id and binds it.
    pub fn new(
        view: &View<'_>,
        caller: &TokenHash,
        request_id: &str,
        method: &str,
        body: &[u8],
    ) -> Result<Self, DedupeError> {
        let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&request_id.len())
            && request_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(DedupeError::Malformed);
        }
        let barrier = view.barrier();
        Ok(Self {
            hash: barrier.request_hash(caller, request_id),
            fingerprint: barrier.request_fingerprint(caller, method, body),
        })
    }

    /// The answer that this request got before, if it did. Its absence counts as read, so
    /// that of two at once one is sent back and then finds the other's answer.
    pub fn answer(
        &self,
        view: &View<'_>,
        now: UnixMillis,
    ) -> Result<Option<Secret<Vec<u8>>>, DedupeError> {
        match view.get::<Dedupes>(&self.hash)? {
            Some(row) if now < row.value.expires => {
                let same = row.value.fingerprint == self.fingerprint;
                if same {
                    Ok(Some(row.value.answer))
                } else {
                    Err(DedupeError::Reused)
                }
            }
            _ => Ok(None),
        }
    }

    /// Adds the answer to the transaction of the request.
    pub fn record(
        &self,
        view: &View<'_>,
        txn: &mut Txn,
        answer: Secret<Vec<u8>>,
        now: UnixMillis,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        let expires = now.saturating_add_ms(DEDUPE_WINDOW_MS);
        let row = DedupeRecord {
            fingerprint: self.fingerprint,
            answer,
            expires,
        };
        txn.insert::<Dedupes>(view.barrier(), &self.hash, &row, random)?;
        let due = Due {
            at: expires,
            kind: DueKind::Dedupe(self.hash),
        };
        txn.insert::<TimeIndex>(view.barrier(), &due, &(), random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        barrier::{Barrier, Keyring},
        testing::{MemoryStore, TestRandom},
    };

    const NOW: UnixMillis = UnixMillis::new(1_000);

    struct Fixture {
        store: MemoryStore,
        barrier: Barrier,
        random: TestRandom,
    }

    impl Fixture {
        fn new() -> Self {
            let mut random = TestRandom::new(1);
            let keyring = Keyring::generate(NOW, &mut random);
            Self {
                store: MemoryStore::default(),
                barrier: Barrier::new(&keyring).unwrap(),
                random,
            }
        }

        fn ask(
            &self,
            caller: u8,
            id: &str,
            body: &[u8],
            now: UnixMillis,
        ) -> Result<Option<Vec<u8>>, DedupeError> {
            let view = View::new(&self.store, &self.barrier);
            let caller = TokenHash::from_slice(&[caller; 32]).unwrap();
            let key = RequestKey::new(&view, &caller, id, "Create", body)?;
            Ok(key
                .answer(&view, now)?
                .map(|answer| answer.expose().clone()))
        }

        fn record(&mut self, caller: u8, id: &str, body: &[u8], answer: &[u8]) {
            let view = View::new(&self.store, &self.barrier);
            let caller = TokenHash::from_slice(&[caller; 32]).unwrap();
            let key = RequestKey::new(&view, &caller, id, "Create", body).unwrap();
            let (mut txn, answer) = (Txn::default(), Secret::new(answer.to_vec()));
            key.record(&view, &mut txn, answer, NOW, &mut self.random)
                .unwrap();
            self.store.commit(txn.into_ops());
        }
    }

    #[test]
    fn an_id_gives_its_answer_within_the_window() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.ask(1, "id", b"body", NOW).unwrap(), None);
        fixture.record(1, "id", b"body", b"answer");
        assert_eq!(
            fixture.ask(1, "id", b"body", NOW).unwrap(),
            Some(b"answer".to_vec())
        );
        let end = NOW.saturating_add_ms(DEDUPE_WINDOW_MS);
        assert_eq!(fixture.ask(1, "id", b"body", end).unwrap(), None);
        assert!(matches!(
            fixture.ask(1, "id", b"other", NOW),
            Err(DedupeError::Reused)
        ));
        // Another caller's ids are other ids.
        assert_eq!(fixture.ask(2, "id", b"body", NOW).unwrap(), None);
    }

    #[test]
    fn malformed_ids_are_refused() {
        let fixture = Fixture::new();
        for id in ["", "a b", "\n", "\u{e9}", &"x".repeat(129)] {
            assert!(
                matches!(fixture.ask(1, id, b"", NOW), Err(DedupeError::Malformed)),
                "{id:?}"
            );
        }
    }
}
