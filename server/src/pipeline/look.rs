//! Looks of streams: is the caller still known, may it still? They plan nothing, write nothing and
//! cost no use.

use tenure_core::{barrier::TokenHash, state::View, token};
use tokio::time::Instant;

use super::{Context, Pipeline, Scope};
use crate::error::Error;

impl Pipeline {
    /// Looks at this node's own state in the name of a caller, who is known and pays nothing: for
    /// a stream that goes on.
    ///
    /// # Errors
    /// The caller's token isn't valid any more, or what `look` says.
    pub(crate) async fn look<T>(
        &self,
        context: &Context,
        deadline: Instant,
        look: impl FnOnce(&Scope<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.look_at(false, context, deadline, look).await
    }

    /// The caller, known by a state that shows every write acknowledged before.
    ///
    /// # Errors
    /// The node is sealed, or the token isn't valid.
    pub(crate) async fn known(&self, context: &Context) -> Result<TokenHash, Error> {
        if !self.node.is_initialized() {
            return Err(Error::not_initialized());
        }
        self.look_at(true, context, context.deadline, |scope| {
            Ok(*scope.caller.entry().hash())
        })
        .await
    }

    async fn look_at<T>(
        &self,
        confirm: bool,
        context: &Context,
        deadline: Instant,
        look: impl FnOnce(&Scope<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.keys.is_sealed() {
            return Err(Error::sealed());
        }
        let pinned = self.pin(confirm, deadline).await?;
        // After the state is pinned: apply has given these keys all terms that are in it.
        let keys = self.keys.get().ok_or_else(Error::sealed)?;
        let view = View::new(&pinned.state, &keys.barrier);
        let judged_by = token::Context {
            view: &view,
            revocations: &pinned.revocations,
            acls: &keys.acls,
            ttl: &self.ttl,
            now: pinned.now,
        };
        let caller = token::identify(judged_by, context.token()?)?;
        look(&Scope {
            context: judged_by,
            caller: &caller,
        })
    }
}
