//! Calls that a listener takes from callers without a token, too: what a quorum decides by its key
//! shares. Nothing else passes here.

use tokio::time::Instant;
use tonic::Code;

use super::{Call, Context, Pipeline};
use crate::error::Error;

/// Calls that a listener may take from callers without a token: see `config::OpenCalls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To make shares anew.
    Rekey,
    /// To make a root token.
    GenerateRoot,
}

/// For whom a call acts.
pub struct Asker<'a> {
    /// Address of the caller.
    pub remote: &'a str,
    /// Whether a token's policies allowed it. If not, a listener did.
    pub permitted: bool,
    /// Until when the caller waits.
    pub deadline: Instant,
}

impl Pipeline {
    /// For any caller: the listener takes this call from everybody. `None`: it belongs on the active
    /// node.
    pub(super) async fn execute_open<C: Call>(
        &self,
        call: &C,
        context: &Context,
    ) -> Result<Option<C::Answer>, Error> {
        // A token that may is as good here as elsewhere; one that may not is as good as none.
        if context.token().is_ok() {
            match self.execute_permitted(call, context).await {
                Err(error)
                    if matches!(error.code, Code::Unauthenticated | Code::PermissionDenied) => {}
                done => return done,
            }
        }
        let pinned = self.pin(true, context.deadline).await?;
        drop(pinned);
        self.act(call, context, false, C::Answer::default())
            .await
            .map(Some)
    }

    /// What a call does once it is decided.
    pub(super) async fn act<C: Call>(
        &self,
        call: &C,
        context: &Context,
        permitted: bool,
        answer: C::Answer,
    ) -> Result<C::Answer, Error> {
        if C::IS_RATIONED {
            self.share_rate.spend(&context.remote, permitted)?;
        }
        let asker = Asker {
            remote: &context.remote,
            permitted,
            deadline: context.deadline,
        };
        call.act_for(self, &asker, answer).await
    }
}
