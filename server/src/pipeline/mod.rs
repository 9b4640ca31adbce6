//! The one way in which a call becomes a decision and a decision a commit: whose token is
//! it → may it do this → what is to be written → commit → answer. Adapters and forwarding
//! stand around it; there is no second way.
//!
//! A call plans on a pinned view, which notes all that it reads. If any of that changes
//! before its transaction is sequenced, it is sent back and plans again, until its deadline.

mod backoff;
mod call;
mod context;
mod decide;
mod look;
mod opening;
mod rate;
mod revoked;
mod store;
mod whole;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tenure_core::{
    state::{Reads, View},
    token::{self, TtlConfig},
};
use tenure_raft::{batch::SubmitError, node::Node};
use tonic::{Request, Response, Status};

pub(crate) use self::{backoff::Backoff, decide::Pinned};
pub use self::{
    call::{Access, Call, Planned, Scope},
    context::{Context, Manner},
    opening::{Asker, Opening},
    rate::{RateGate, Ready},
    revoked::{Observer, Revoked},
    store::{StateView, transaction},
    whole::off_the_tasks,
};
use self::{
    decide::Step,
    rate::{Limited, Told},
};
use crate::{
    backup::Saves,
    error::Error,
    expiration::DueHead,
    ha::forward,
    listen::Applied,
    seal::{Attempts, Keys, Provider, ShareRate},
    streams::Streams,
    telemetry::Metrics,
};

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
    /// Who keeps the root key, if shares don't.
    pub provider: Option<Arc<dyn Provider>>,
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
        // Whatever the token looks like.
        self.serves()?;
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

    /// Refuses while the keys aren't there.
    fn serves(&self) -> Result<(), Error> {
        match (self.keys.is_sealed(), self.node.is_initialized()) {
            (false, _) => Ok(()),
            (true, true) => Err(Error::sealed()),
            (true, false) => Err(Error::not_initialized()),
        }
    }

    /// `None`: the call belongs on the active node.
    pub(crate) async fn execute<C: Call>(
        &self,
        call: &C,
        context: &Context,
    ) -> Result<Option<C::Answer>, Error> {
        self.serves()?;
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
}
