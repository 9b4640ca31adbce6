//! The one way in which a call becomes a decision and a decision a commit: whose token is
//! it → may it do this → what is to be written → commit → answer. Adapters and forwarding
//! stand around it; there is no second way.
//!
//! A call plans on a pinned view, which notes all that it reads. If any of that changes
//! before its transaction is sequenced, it is sent back and plans again, until its deadline.

mod backoff;
mod context;
mod look;
mod opening;
mod rate;
mod revoked;
mod store;
mod whole;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use tenure_core::{
    dedupe::RequestKey,
    quota,
    state::{Reads, Txn, View},
    token::{self, Caller, Revocations, TtlConfig},
    types::{Secret, UnixMillis},
};
use tenure_raft::{
    batch::SubmitError,
    node::Node,
    reads::{Consistency, ReadError},
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

pub(crate) use self::backoff::Backoff;
use self::rate::{Limited, Told};
pub use self::{
    context::{Context, Manner},
    opening::{Asker, Opening},
    rate::{RateGate, Ready},
    revoked::{Observer, Revoked},
    store::{StateView, transaction},
    whole::off_the_tasks,
};
use crate::{
    api::Logical,
    backup::Saves,
    error::Error,
    expiration::DueHead,
    ha::forward,
    listen::Applied,
    random::SystemRandom,
    seal::{Attempts, Keys, ShareRate, Unsealed},
    streams::Streams,
    telemetry::Metrics,
};

/// How long a read waits before it asks again for a leader.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Where a call is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// On any unsealed node, on a state that shows every acknowledged write.
    Read,
    /// On the active node.
    Write,
    /// On this very node, whichever it is: never passed on.
    Here,
}

/// A call: a message that can be planned. All of them stand in one list (`api::calls`).
pub trait Call: Message + Default + Clone + Logical + 'static {
    /// Full name, "/tenure.v1.TokenService/CreateToken".
    const METHOD: &'static str;
    /// Where it is executed.
    const ACCESS: Access;
    /// Its answer.
    type Answer: Message + Default + Clone + 'static;

    /// Decides on the pinned state. Pure but for randomness; may be called again.
    ///
    /// # Errors
    /// The refusal that the caller sees.
    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error>;

    /// What is done beside the state once the plan stands: on the node itself.
    ///
    /// # Errors
    /// The refusal that the caller sees.
    fn act(
        &self,
        _pipeline: &Pipeline,
        _deadline: Instant,
        answer: Self::Answer,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send {
        async { Ok(answer) }
    }

    /// The calls that it belongs to, which a listener may take from callers without a token.
    const OPENING: Option<Opening> = None;

    /// Whether it gives a key share: they are rationed.
    const GIVES_SHARE: bool = false;

    /// As [`Call::act`], for calls that want to know for whom. Those without an
    /// [`Call::OPENING`] are made by callers alone who may.
    ///
    /// # Errors
    /// The refusal that the caller sees.
    fn act_for(
        &self,
        pipeline: &Pipeline,
        asker: &Asker<'_>,
        answer: Self::Answer,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send {
        self.act(pipeline, asker.deadline, answer)
    }

    /// Whether the caller may still make a call that was carried out before. Errors other than
    /// PERMISSION_DENIED say nothing about that: the first try has changed the state.
    ///
    /// # Errors
    /// The refusal that the caller sees.
    fn still_allowed(&self, scope: &Scope<'_>) -> Result<(), Error> {
        self.plan(scope).map(drop)
    }

    /// The id under which a retried call acts once.
    fn request_id(&self) -> &str {
        ""
    }

    /// The call for the next page, if its answer is one of several.
    fn next_page(&self, _answer: &Self::Answer) -> Option<Self> {
        None
    }

    /// Leaves out of a page what a list as a whole doesn't show, and may turn to where it goes on.
    fn reduce(&self, _page: &mut Self::Answer) {}

    /// Adds a page to the answer, and says how many rows it has now.
    fn append(_answer: &mut Self::Answer, _page: Self::Answer) -> usize {
        0
    }
}

/// What a call is to write, and its answer once that is committed.
pub struct Planned<A> {
    /// The writes; there may be none.
    pub txn: Txn,
    /// The answer.
    pub answer: A,
}

impl<A> Planned<A> {
    /// An answer that writes nothing.
    pub fn answer(answer: A) -> Self {
        Self {
            txn: Txn::default(),
            answer,
        }
    }
}

/// What a plan is made of.
pub struct Scope<'a> {
    /// State, revocations, bounds and time.
    pub context: token::Context<'a>,
    /// Whose call it is.
    pub caller: &'a Caller,
}

impl Scope<'_> {
    /// A source of randomness.
    pub fn random(&self) -> SystemRandom {
        SystemRandom
    }
}

/// A pinned state with all that belongs to it.
pub(crate) struct Pinned {
    pub(crate) state: StateView,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) now: UnixMillis,
}

/// What one look at a pinned state led to.
enum Step<A> {
    /// The call belongs on the active node.
    Elsewhere,
    /// Something is to be written; then this is the answer, which may be a refusal that has
    /// cost a use.
    Commit(Reads, Txn, Result<A, Error>),
    /// Decided without a write.
    Done(Result<A, Error>),
}

/// The pipeline of one node. Clones are the same one.
#[derive(Clone)]
pub struct Pipeline {
    /// The replicated store.
    pub node: Node,
    /// The keys; none while sealed.
    pub keys: Arc<Keys>,
    /// What is revoked.
    pub revoked: Arc<Revoked>,
    /// What is due next.
    pub due: Arc<DueHead>,
    /// The streams of this node.
    pub streams: Arc<Streams>,
    /// What quorums are about to do.
    pub attempts: Arc<Attempts>,
    /// How fast key shares may be given.
    pub share_rate: Arc<ShareRate>,
    /// How often clients may call.
    pub rates: Arc<RateGate>,
    /// Bounds of lifetimes.
    pub ttl: TtlConfig,
    /// Snapshots that are streamed now.
    pub saves: Saves,
    /// For people.
    pub cluster_name: String,
    /// What this node counts.
    pub metrics: Arc<Metrics>,
}

impl Pipeline {
    /// Serves a call that came in on a listener.
    ///
    /// # Errors
    /// The status for the client.
    pub async fn call<C: Call>(&self, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        self.call_in(request, Manner::default()).await
    }

    /// The same, in a manner of its own.
    ///
    /// # Errors
    /// The status for the client.
    pub async fn call_in<C: Call>(
        &self,
        request: Request<C>,
        manner: Manner,
    ) -> Result<Response<C::Answer>, Status> {
        let told = match self.rate(&request) {
            Ok(told) => told,
            Err(limited) => {
                let mut status = Status::from(limited.error());
                limited.tell(status.metadata_mut());
                return Err(status);
            }
        };
        let context = Context::of(&request, manner)?;
        let mut answer = match self.serve(request.into_inner(), &context).await {
            Ok(answer) => Response::new(answer),
            Err(mut status) => {
                told.tell(status.metadata_mut());
                return Err(status);
            }
        };
        told.tell(answer.metadata_mut());
        Ok(answer)
    }

    /// Counts a call whose bodies are files, like any other, against the rate limit of its path.
    ///
    /// # Errors
    /// It is one too many.
    pub(crate) fn admit<C: Call>(&self, request: &Request<C>) -> Result<(), Status> {
        let admitted = self.rate(request);
        admitted.map(drop).map_err(|limited| {
            let mut status = Status::from(limited.error());
            limited.tell(status.metadata_mut());
            status
        })
    }

    /// Counts the request against the rate limit of its path. A sealed node knows of none, and
    /// refuses anyway.
    fn rate<C: Call>(&self, request: &Request<C>) -> Result<Told, Limited> {
        let Some(keys) = self.keys.get() else {
            return Ok(Told::default());
        };
        let (path, client) = (request.get_ref().path(), request.remote_addr());
        self.rates.take(&keys, &self.node, &path, client)
    }

    /// Serves a call that a standby passed on, by its encoded form.
    ///
    /// # Errors
    /// As [`Pipeline::call`].
    pub async fn call_encoded<C: Call>(
        &self,
        body: Bytes,
        context: &Context,
    ) -> Result<Bytes, Status> {
        let call = C::decode(body)
            .map_err(|_| Status::from(Error::invalid_argument("the message can't be decoded")))?;
        let answer = self.serve(call, context).await?;
        Ok(answer.encode_to_vec().into())
    }

    /// Serves a call whose caller is known to the edge, or what opens a stream, or a message of one.
    ///
    /// # Errors
    /// As [`Pipeline::call`].
    pub(crate) async fn serve<C: Call>(
        &self,
        call: C,
        context: &Context,
    ) -> Result<C::Answer, Status> {
        match self.execute(&call, context).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) if C::ACCESS == Access::Here => Err(Error::needs_active_node().into()),
            Ok(None) if context.forwarded => Err(Error::no_active_node().into()),
            Ok(None) if context.manner.stays => Err(Error::not_passed_on().into()),
            Ok(None) => {
                self.metrics.forwarded(C::METHOD);
                let body = call.encode_to_vec().into();
                let sent = forward::send(&self.node, C::METHOD, C::ACCESS, body, context);
                C::Answer::decode(sent.await?)
                    .map_err(|_| Error::active_node_lost(Applied::Maybe).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the caller may still make this call, and what that rests on. It costs no use.
    ///
    /// # Errors
    /// The refusal that the caller sees.
    pub(crate) async fn still_allowed<C: Call>(
        &self,
        call: &C,
        context: &Context,
    ) -> Result<Reads, Error> {
        let keys = self.keys.get().ok_or_else(Error::sealed)?;
        let pinned = self.pin(true, context.deadline).await?;
        let view = View::new(&pinned.state, &keys.barrier);
        let judged_by = token::Context {
            view: &view,
            revocations: &pinned.revocations,
            acls: &keys.acls,
            ttl: &self.ttl,
            now: pinned.now,
            remote: context.address(),
        };
        let caller = token::identify(judged_by, context.token()?)?;
        call.plan(&Scope {
            context: judged_by,
            caller: &caller,
        })?;
        Ok(view.into_reads())
    }

    /// `None`: the call belongs on the active node.
    pub(crate) async fn execute<C: Call>(
        &self,
        call: &C,
        context: &Context,
    ) -> Result<Option<C::Answer>, Error> {
        if self.keys.is_sealed() {
            return Err(if self.node.is_initialized() {
                Error::sealed()
            } else {
                Error::not_initialized()
            });
        }
        if C::ACCESS == Access::Write && !self.node.is_active() {
            return Ok(None);
        }
        if context.opens(C::OPENING) {
            self.execute_open(call, context).await
        } else {
            self.execute_permitted(call, context).await
        }
    }

    /// For a caller whose token may. `None`: the call belongs on the active node.
    async fn execute_permitted<C: Call>(
        &self,
        call: &C,
        context: &Context,
    ) -> Result<Option<C::Answer>, Error> {
        // A write is proven current by its commit; a refusal needs a proof, too.
        let mut confirm = C::ACCESS != Access::Write;
        let mut backoff = Backoff::default();
        // Ends at the deadline at the latest: `pin` looks at it.
        loop {
            let pinned = self.pin(confirm, context.deadline).await?;
            // After the state is pinned: apply has given these keys all terms that are in it.
            let keys = self.keys.get().ok_or_else(Error::sealed)?;
            let step = self.step(call, context, &keys, &pinned);
            let (reads, txn, answer) = match step? {
                Step::Elsewhere => return Ok(None),
                Step::Done(decided) if confirm => {
                    let answer = self.act(call, context, true, decided?).await?;
                    return Ok(Some(answer));
                }
                Step::Done(_) => {
                    confirm = true;
                    continue;
                }
                Step::Commit(reads, txn, answer) => (reads, txn, answer),
            };
            // It pins files and old versions in the store: not while the commit lasts.
            drop(pinned);
            let txn = transaction(reads, txn, &keys.barrier)?;
            let committed = self.node.submit(txn, context.deadline);
            match committed.await {
                Ok(_) => {
                    let answer = self.act(call, context, true, answer?).await?;
                    return Ok(Some(answer));
                }
                Err(SubmitError::Conflict) => backoff.wait(context.deadline).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looks at a pinned state once. Nothing here waits.
    fn step<C: Call>(
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
