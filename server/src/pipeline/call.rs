//! What a call is: a message that plans what is to be written and what is answered. It decides on
//! what its scope shows, and must never look at anything else.

use prost::Message;
use tenure_core::{
    state::Txn,
    token::{self, Caller},
};
use tokio::time::Instant;

use super::{Asker, Opening, Pipeline};
use crate::{api::Logical, error::Error, random::SystemRandom};

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

    /// Whether it gives a key share, or begins what takes them: that is rationed.
    const IS_RATIONED: bool = false;

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
