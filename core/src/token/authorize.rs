//! Who may do what, until policies arrive: root may do everything; others may look up,
//! renew and revoke themselves, and create children within their own policies.
//!
//! A [`Permit`] is the only way into an operation, and only [`authorize`] makes one.

use super::{Caller, Context, Denied, TokenError, entry::live};
use crate::types::{Accessor, TokenId, TtlRequest};

/// The token that a request is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// The caller's own.
    Caller,
    /// The token of this id.
    Id(TokenId),
    /// The token of this accessor.
    Accessor(Accessor),
}

impl Target {
    fn is_caller(&self, caller: &Caller) -> bool {
        match self {
            Self::Caller => true,
            Self::Id(id) => *id == caller.id,
            Self::Accessor(accessor) => *accessor == caller.entry.record.accessor,
        }
    }
}

/// Something that a caller asks to do.
pub trait Action {
    /// What only root may do of it, in words; `None` if every token may do it.
    fn root_only(&self, caller: &Caller) -> Option<&'static str>;
}

/// Create a token. What is root's alone about it, `create` checks itself.
pub struct Create;
/// Look up a token.
pub struct Lookup(pub Target);
/// Renew a token, by this increment.
pub struct Renew(pub Target, pub TtlRequest);
/// Revoke a token and all that descends from it.
pub struct Revoke(pub Target);
/// Revoke a token and let its children live.
pub struct RevokeOrphan(pub Target);
/// List all tokens.
pub struct ListTokens;
/// Run the cluster: seal, rotate, rekey, step down, change the membership.
pub struct Administer;

impl Action for Create {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        None
    }
}

impl Action for Lookup {
    fn root_only(&self, caller: &Caller) -> Option<&'static str> {
        (!self.0.is_caller(caller)).then_some("look up another token")
    }
}

impl Action for Renew {
    fn root_only(&self, caller: &Caller) -> Option<&'static str> {
        (!self.0.is_caller(caller)).then_some("renew another token")
    }
}

impl Action for Revoke {
    fn root_only(&self, caller: &Caller) -> Option<&'static str> {
        (!self.0.is_caller(caller)).then_some("revoke another token")
    }
}

impl Action for RevokeOrphan {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        Some("revoke a token and leave its children")
    }
}

impl Action for ListTokens {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        Some("list tokens")
    }
}

impl Action for Administer {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        Some("run the cluster")
    }
}

/// The right of one caller to one action. It holds what it was judged by, so that the
/// action can't be planned on another view than its right.
pub struct Permit<'a, A> {
    pub(crate) context: Context<'a>,
    pub(crate) action: A,
    pub(crate) caller: Caller,
}

impl<A> Permit<'_, A> {
    /// Whose right it is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Refuses what only root may do.
    pub(super) fn require_root(&self, what: &'static str) -> Result<(), Denied> {
        if self.caller.is_root() {
            Ok(())
        } else {
            Err(Denied::RootOnly(what))
        }
    }
}

/// Whether `caller` may do this. The caller is looked at again, in this view: it may have
/// been revoked since, and a transaction must rest on its being alive.
pub fn authorize<'a, A: Action>(
    context: Context<'a>,
    caller: &Caller,
    action: A,
) -> Result<Permit<'a, A>, TokenError> {
    let mut caller = caller.clone();
    // One that has paid a use was looked at in this view, and counts its use already.
    if !caller.paid {
        caller.entry = live(context, &caller.entry.hash)?.ok_or(TokenError::InvalidToken)?;
    }
    match action.root_only(&caller) {
        Some(what) if !caller.is_root() => Err(Denied::RootOnly(what).into()),
        _ => Ok(Permit {
            context,
            action,
            caller,
        }),
    }
}
