//! Who may watch what. A watch is opened once and allowed anew for all that it shows.

use crate::{
    barrier::TokenHash,
    lease::LeaseError,
    policy::Operation,
    state::{About, Event},
    token::{self, Action, Ask, Context, Denied, Permit, Target, TokenError},
    types::{Accessor, Path},
};

/// Watch what happens under a prefix (`None`: everywhere), to the leases of the token of this
/// accessor (`None`: the caller's own, with `sudo` all).
#[derive(Clone, Debug)]
pub struct WatchLeases {
    /// The prefix.
    pub prefix: Option<Path>,
    /// The token.
    pub accessor: Option<Accessor>,
}

impl Action for WatchLeases {
    fn ask(&self) -> Ask<'_> {
        let path = match &self.prefix {
            Some(prefix) => format!("sys/leases/watch/{}", prefix.as_str()),
            None => "sys/leases/watch".to_owned(),
        };
        Ask::new(Operation::Read, path)
    }
}

/// What a watch shows.
#[derive(Clone, Debug)]
pub struct Watched {
    prefix: Option<Path>,
    /// `None`: all tokens.
    token: Option<Token>,
    /// Whether it shows more than the caller's own.
    foreign: bool,
}

#[derive(Clone, Debug)]
struct Token {
    hash: TokenHash,
    /// What it depended on when the watch was opened.
    ancestors: Vec<TokenHash>,
}

impl Watched {
    /// What the caller asks to see.
    ///
    /// # Errors
    /// Another token than the caller's without `sudo`, or one that doesn't live.
    pub fn open(permit: &Permit<'_, WatchLeases>) -> Result<Self, LeaseError> {
        let action = permit.action();
        let own = permit.caller().entry();
        let is_own = |accessor: &Accessor| *accessor == own.record().accessor;
        let (token, foreign) = match &action.accessor {
            Some(accessor) if !is_own(accessor) => {
                if !permit.has_sudo() {
                    return Err(TokenError::from(Denied::NoSudo("another token's leases")).into());
                }
                let target = Target::Accessor(accessor.clone());
                let entry = token::lookup_target(permit, &target)?;
                (Some(entry), true)
            }
            None if permit.has_sudo() => (None, true),
            _ => (Some(own.clone()), false),
        };
        Ok(Self {
            prefix: action.prefix.clone(),
            token: token.map(|entry| Token {
                hash: *entry.hash(),
                ancestors: entry.record().ancestors.clone(),
            }),
            foreign,
        })
    }

    /// Whether its caller may still see that much.
    ///
    /// # Errors
    /// It may not.
    pub fn still_allowed(&self, permit: &Permit<'_, WatchLeases>) -> Result<(), TokenError> {
        match self.foreign && !permit.has_sudo() {
            true => Err(Denied::NoSudo("other tokens' leases").into()),
            false => Ok(()),
        }
    }

    /// Whether it may show this event: cheap, and says yes too often.
    pub fn may_show(&self, event: &Event) -> bool {
        let everywhere = self.prefix.is_none();
        let under = |holds: &dyn Fn(&Path) -> bool| self.prefix.as_ref().is_none_or(holds);
        match (&event.about, &self.token) {
            (About::Lease(id), token) => {
                let is_of = |token: &Token| event.token == Some(token.hash);
                token.as_ref().is_none_or(is_of) && under(&|prefix| lies_under(id.path(), prefix))
            }
            (About::Prefix(revoked), None) => {
                under(&|prefix| lies_under(revoked, prefix) || lies_under(prefix, revoked))
            }
            // Its own leases among them are told one by one.
            (About::Prefix(_), Some(_)) => false,
            (About::Token(_), None) => everywhere,
            (About::Token(_), Some(token)) => event
                .token
                .is_some_and(|ended| ended == token.hash || token.ancestors.contains(&ended)),
        }
    }

    /// Whether it shows this event. `context` is a state that holds what the event tells.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn shows(&self, context: Context<'_>, event: &Event) -> Result<bool, TokenError> {
        if !self.may_show(event) {
            return Ok(false);
        }
        match (&event.about, &self.token) {
            // It may have been cut off from what it depended on, and live.
            (About::Token(_), Some(token)) if event.token != Some(token.hash) => {
                Ok(token::live(context, &token.hash)?.is_none())
            }
            _ => Ok(true),
        }
    }
}

/// Whether a path lies under a prefix, or is it: by whole segments.
fn lies_under(path: &Path, prefix: &Path) -> bool {
    let rest = path.as_str().strip_prefix(prefix.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
