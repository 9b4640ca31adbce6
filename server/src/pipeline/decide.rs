//! From a pinned state to a decision: whose token it is, what the call plans, what its use costs.
//! Nothing is written here.

use std::{sync::Arc, time::Duration};

use prost::Message;
use tenure_core::{
    dedupe::RequestKey,
    quota,
    state::{Reads, Txn, View},
    token::{self, Caller, Revocations},
    types::{Secret, UnixMillis},
};
use tenure_raft::reads::{Consistency, ReadError};
use tokio::time::{Instant, sleep};
use tonic::Code;
use zeroize::Zeroizing;

use super::{Call, Context, Pipeline, Planned, Scope, StateView, whole};
use crate::{error::Error, listen::Applied, random::SystemRandom, seal::Unsealed};

/// How long a read waits before it asks again for a leader.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A pinned state with all that belongs to it.
pub(crate) struct Pinned {
    pub(crate) state: StateView,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) now: UnixMillis,
}

/// What one look at a pinned state led to.
pub(super) enum Step<A> {
    /// The call belongs on the active node.
    Elsewhere,
    /// Something is to be written; then this is the answer, which may be a refusal that has
    /// cost a use.
    Commit(Reads, Txn, Result<A, Error>),
    /// Decided without a write.
    Done(Result<A, Error>),
}

impl Pipeline {
    /// Looks at a pinned state once. Nothing here waits.
    pub(super) fn step<C: Call>(
        &self,
        call: &C,
        context: &Context,
        keys: &Unsealed,
        pinned: &Pinned,
    ) -> Result<Step<C::Answer>, Error> {
        let view = View::new(&pinned.state, &keys.barrier);
        let judged_by = token::Context {
            view: &view,
            revocations: &pinned.revocations,
            acls: &keys.acls,
            ttl: &self.ttl,
            now: pinned.now,
            remote: context.address(),
        };
        let mut caller = match token::identify(judged_by, context.token()?) {
            Ok(caller) => caller,
            Err(error) => return Ok(Step::Done(Err(error.into()))),
        };
        if !caller.is_use_limited() {
            let planned = self
                .plan(call, judged_by, &caller, context)
                .and_then(|mut planned| {
                    quota::settle(&view, &mut planned.txn, &mut SystemRandom)?;
                    Ok(planned)
                });
            return Ok(match planned {
                Ok(planned) if !planned.txn.is_empty() => {
                    Step::Commit(view.into_reads(), planned.txn, Ok(planned.answer))
                }
                decided => Step::Done(decided.map(|planned| planned.answer)),
            });
        }
        if !self.node.is_active() {
            return Ok(Step::Elsewhere);
        }
        // Served or refused, it has cost a use: both are one transaction.
        let spend = token::spend_use(judged_by, &caller, &mut SystemRandom)?;
        caller = spend.response;
        let mut txn = spend.txn;
        let answer = self.plan(call, judged_by, &caller, context);
        let answer = answer.map(|planned| {
            txn.append(planned.txn);
            planned.answer
        });
        quota::settle(&view, &mut txn, &mut SystemRandom)?;
        Ok(Step::Commit(view.into_reads(), txn, answer))
    }

    /// Plans a call of a caller that is known, and keeps its answer under its request id.
    fn plan<C: Call>(
        &self,
        call: &C,
        judged_by: token::Context<'_>,
        caller: &Caller,
        context: &Context,
    ) -> Result<Planned<C::Answer>, Error> {
        let view = judged_by.view;
        let scope = Scope {
            context: judged_by,
            caller,
        };
        let request_key = match call.request_id() {
            "" => None,
            id => {
                let entry = caller.entry();
                // A token that was made anew under the id of an old one is another caller.
                let created = entry.created_revision().to_be_bytes();
                // It may hold secrets: it must not be moved while it grows, and is wiped.
                let size = call.encoded_len() + created.len();
                let mut body = Zeroizing::new(Vec::with_capacity(size));
                call.encode(&mut *body)
                    .map_err(|_| Error::internal("a call can't be encoded"))?;
                body.extend_from_slice(&created);
                let key = RequestKey::new(view, entry.hash(), id, C::METHOD, &body)?;
                if let Some(kept) = key.answer(view, judged_by.now)? {
                    // Who may not do it any more is not told what came of it.
                    match call.still_allowed(&scope) {
                        Err(error) if error.code == Code::PermissionDenied => return Err(error),
                        _ => {}
                    }
                    let answer = C::Answer::decode(kept.expose().as_slice())
                        .map_err(|_| Error::internal("a kept answer can't be decoded"))?;
                    return Ok(Planned::answer(answer));
                }
                Some(key)
            }
        };
        let mut planned = match context.manner.whole {
            true => whole::plan(call, &scope, context.deadline)?,
            false => call.plan(&scope)?,
        };
        if let Some(key) = request_key
            && !planned.txn.is_empty()
        {
            let kept = Secret::new(planned.answer.encode_to_vec());
            key.record(
                view,
                &mut planned.txn,
                kept,
                judged_by.now,
                &mut SystemRandom,
            )?;
        }
        Ok(planned)
    }

    /// Pins a state. With `confirm` it shows every write acknowledged before; without, it is
    /// what this (active) node has applied, to be proven by a commit.
    pub(crate) async fn pin(&self, confirm: bool, deadline: Instant) -> Result<Pinned, Error> {
        loop {
            // The set of revocations must belong to the state: it did not change while the
            // state was pinned.
            let before = self.revoked.now();
            let (view, now_ms) = if confirm {
                match self.node.read(Consistency::Lease, deadline).await {
                    Ok(read) => read,
                    Err(ReadError::NoLeader | ReadError::Replacing)
                        if Instant::now() + READ_AGAIN_AFTER < deadline =>
                    {
                        sleep(READ_AGAIN_AFTER).await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            } else {
                (self.node.view()?, self.node.cluster_time_ms())
            };
            let revocations = self.revoked.now();
            if Instant::now() >= deadline {
                return Err(Error::deadline(Applied::No));
            }
            if Arc::ptr_eq(&before, &revocations) {
                return Ok(Pinned {
                    now: UnixMillis::new(now_ms.max(view.time_ms())),
                    state: StateView(view),
                    revocations,
                });
            }
        }
    }
}
