//! The decision on one call, and the [`Permit`] that only it makes. What is allowed is what
//! a rule says; nothing else is.

use std::borrow::Cow;
use std::fmt;

use super::acl::Acl;
use super::capability::{Capability, Operation};
use super::parameters::Parameters;
use crate::types::Ttl;

/// The right to one operation on one path. Only [`Acl::decide`] makes one, and it can't be
/// copied: code that demands it can't be reached without a decision.
///
/// It names what was decided on; whoever takes it acts on that path, not on another.
pub struct Permit<'p> {
    operation: Operation,
    path: &'p str,
    sudo: bool,
    wrapping: WrappingBounds,
}

impl<'p> Permit<'p> {
    /// The operation that was decided on.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The path that was decided on, as it was asked for.
    pub const fn path(&self) -> &'p str {
        self.path
    }

    /// Whether it is good for a root-protected path too.
    pub const fn sudo(&self) -> bool {
        self.sudo
    }

    /// The bounds within which the answer has to be wrapped; the caller enforces them.
    pub const fn wrapping(&self) -> WrappingBounds {
        self.wrapping
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// Why a call isn't allowed. For logs and tests; callers get one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The path isn't canonical.
    #[error("the path isn't canonical")]
    Path,
    /// No rule is about the path.
    #[error("no rule is about the path")]
    NoRule,
    /// The rule that decides denies the path.
    #[error("the path is denied")]
    Denied,
    /// The rule that decides doesn't grant the operation.
    #[error("the operation isn't granted")]
    Operation,
    /// The rule that decides doesn't admit the parameters.
    #[error("the parameters aren't allowed")]
    Parameters,
}

/// What was decided on a call.
#[derive(Debug)]
#[must_use]
pub struct Decision<'p> {
    outcome: Result<Permit<'p>, Refusal>,
    sudo: bool,
}

impl<'p> Decision<'p> {
    /// Whether the operation is allowed. A root-protected path needs [`Self::sudo`] too.
    pub const fn allowed(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Whether the rule that decides grants `sudo`, or the token is root.
    pub const fn sudo(&self) -> bool {
        self.sudo
    }

    /// Why it isn't allowed.
    pub fn refusal(&self) -> Option<Refusal> {
        self.outcome.as_ref().err().copied()
    }

    /// The right, if there is one.
    pub fn into_permit(self) -> Result<Permit<'p>, Refusal> {
        self.outcome
    }
}

/// Bounds on the TTL of a wrapped answer. With either of them the answer must be wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrappingBounds {
    /// The shortest; never zero.
    pub min: Option<Ttl>,
    /// The longest; never zero.
    pub max: Option<Ttl>,
}

impl WrappingBounds {
    /// Whether an answer may be wrapped for `asked`; `None` asks for no wrapping.
    pub fn admit(self, asked: Option<Ttl>) -> bool {
        match asked {
            None => self.min.is_none() && self.max.is_none(),
            // Bounds that exclude each other exclude every TTL.
            Some(ttl) => {
                self.min.is_none_or(|min| ttl >= min) && self.max.is_none_or(|max| ttl <= max)
            }
        }
    }

    pub(super) fn is_contradictory(self) -> bool {
        matches!((self.min, self.max), (Some(min), Some(max)) if max < min)
    }

    /// The shorter of each two.
    pub(super) fn merge(self, other: Self) -> Self {
        let shorter = |a: Option<Ttl>, b: Option<Ttl>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self {
            min: shorter(self.min, other.min),
            max: shorter(self.max, other.max),
        }
    }
}

impl Acl {
    /// Decides on one call.
    ///
    /// `path` is the canonical path without a leading slash; for [`Operation::List`] and
    /// [`Operation::Scan`] a slash at its end may be there or not, it means the same. Without
    /// `parameters` the call has none. Constraints on them don't apply to every operation:
    /// [`Operation::has_parameters`].
    pub fn decide<'p>(
        &self,
        path: &'p str,
        operation: Operation,
        parameters: Option<&Parameters<'_>>,
    ) -> Decision<'p> {
        let refuse = |refusal, sudo| Decision {
            outcome: Err(refusal),
            sudo,
        };
        let permit = |sudo, wrapping| Decision {
            outcome: Ok(Permit {
                operation,
                path,
                sudo,
                wrapping,
            }),
            sudo,
        };
        if !is_canonical(path) {
            return refuse(Refusal::Path, false);
        }
        if self.root {
            return permit(true, WrappingBounds::default());
        }
        // A list is of a folder, however it is written.
        let folder = operation.lists();
        let looked_up = if folder && !path.ends_with('/') {
            Cow::Owned([path, "/"].concat())
        } else {
            Cow::Borrowed(path)
        };
        let Some(grant) = self.grant(&looked_up, folder) else {
            return refuse(Refusal::NoRule, false);
        };
        let sudo = grant.capabilities.contains(Capability::Sudo);
        if grant.capabilities.contains(Capability::Deny) {
            return refuse(Refusal::Denied, false);
        }
        if !grant.capabilities.contains(operation.needs()) {
            return refuse(Refusal::Operation, sudo);
        }
        if operation.has_parameters() && !grant.constraints.is_empty() {
            let none = Parameters::default();
            if !grant.constraints.admit(parameters.unwrap_or(&none)) {
                return refuse(Refusal::Parameters, sudo);
            }
        }
        permit(sudo, grant.wrapping)
    }
}

/// Whether this is the one spelling of a path: what [`crate::types::Path`] takes, but of any
/// length, and with one slash at its end at most.
pub(super) fn is_canonical(path: &str) -> bool {
    let segments = path.strip_suffix('/').unwrap_or(path);
    let proper = |segment: &str| !matches!(segment, "" | "." | "..");
    // Control characters beyond ASCII begin with the byte 0xc2; most paths have none.
    let suspicious = |byte: u8| byte < 0x20 || byte == 0x7f || byte == 0xc2;
    segments.split('/').all(proper)
        && (!path.bytes().any(suspicious) || !path.chars().any(char::is_control))
}
