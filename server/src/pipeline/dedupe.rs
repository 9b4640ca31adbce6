//! Request ids: a call that is sent again under the same id acts once. The record holds the
//! sealed answer and is written by the call's own transaction.

use prost::Message;
use tenure_core::{
    barrier::{Barrier, RequestHash},
    state::{DedupeRecord, Dedupes, Due, DueKind, TimeIndex, Txn},
    types::{
        Secret, UnixMillis,
        limits::{DEDUPE_WINDOW_MS, REQUEST_ID_BYTES_MAX},
    },
};
use tonic::Code;

use super::{Call, Scope};
use crate::{error::Error, random::SystemRandom};

/// A call under an id that is new.
pub(super) struct Dedupe {
    key: RequestHash,
    fingerprint: [u8; 32],
}

/// What is known of a call's id.
pub(super) enum Repeated<A> {
    /// The call was carried out before: this was its answer.
    Answer(A),
    /// It is new.
    New(Dedupe),
}

impl Dedupe {
    /// `None` for a call without an id.
    pub(super) fn of<C: Call>(
        call: &C,
        scope: &Scope<'_>,
        barrier: &Barrier,
    ) -> Result<Option<Repeated<C::Answer>>, Error> {
        let id = call.request_id();
        if id.is_empty() {
            return Ok(None);
        }
        if id.len() > REQUEST_ID_BYTES_MAX {
            return Err(Error::invalid_argument(format!(
                "request_id: at most {REQUEST_ID_BYTES_MAX} bytes"
            )));
        }
        let caller = scope.caller.entry().hash();
        let key = barrier.request_hash(caller, id);
        let fingerprint = barrier.request_fingerprint(caller, C::METHOD, &call.encode_to_vec());
        let Some(row) = scope.context.view.get::<Dedupes>(&key)? else {
            return Ok(Some(Repeated::New(Self { key, fingerprint })));
        };
        if row.value.expires <= scope.context.now {
            return Ok(Some(Repeated::New(Self { key, fingerprint })));
        }
        if row.value.fingerprint != fingerprint {
            return Err(Error::new(
                Code::AlreadyExists,
                "REQUEST_ID_REUSED",
                "this request_id was used for another call",
            ));
        }
        let answer = C::Answer::decode(row.value.answer.expose().as_slice())
            .map_err(|_| Error::internal("a kept answer can't be decoded"))?;
        Ok(Some(Repeated::Answer(answer)))
    }

    /// Keeps the answer, in the call's own transaction.
    pub(super) fn record<A: Message>(
        self,
        txn: &mut Txn,
        barrier: &Barrier,
        answer: &A,
        now: UnixMillis,
    ) -> Result<(), Error> {
        let expires = now.saturating_add_ms(DEDUPE_WINDOW_MS);
        let record = DedupeRecord {
            fingerprint: self.fingerprint,
            answer: Secret::new(answer.encode_to_vec()),
            expires,
        };
        let due = Due {
            at: expires,
            kind: DueKind::Dedupe(self.key),
        };
        txn.insert::<Dedupes>(barrier, &self.key, &record, &mut SystemRandom)?;
        txn.insert::<TimeIndex>(barrier, &due, &(), &mut SystemRandom)?;
        Ok(())
    }
}
