//! Policies: text → [`Policy`] → [`Acl`] → [`Decision`]. Pure rules; only `kept` reads the
//! state, and no rule or parameter shows in a `Debug`.
//!
//! ```text
//! parse(text) ─▶ Policy ─┐
//!                        ├─ compile(policies, identity) ─▶ Acl ─ decide(path, operation) ─▶ Permit
//! Policy::root() ────────┘
//! ```
//!
//! **Matching.** A rule's path is exact; with a trailing `*` it is a prefix; a segment that
//! is `+` stands for any one segment. A `*` elsewhere, and a `+` beside other characters, is
//! an ordinary character. `+` also stands for the empty segment at the end of a list's path
//! (`a/+` covers the list of `a/`), as with the peers.
//!
//! **Precedence.** One rule alone decides, the most specific: the exact one; else, in this
//! order, the one with the later first wildcard, without a trailing `*`, with fewer `+`, the
//! longer, the lexically larger. It may grant less than a broader one.
//!
//! **Merging.** The same path in several policies: capabilities add up, `deny` on that path
//! wins, constraints on parameters come together ([`Policy`] says how).
//!
//! **Paths.** [`Acl::decide`] takes canonical paths and refuses any other, root's too: no
//! empty segment, `.` or `..`, no control character, one slash at most at the end. It
//! compares bytes: case, `%2e` and the like are not folded, so each spelling is its own path.

mod acl;
mod builtin;
mod capability;
mod decide;
mod index;
mod kept;
mod manage;
mod parameters;
mod parse;
mod pattern;
mod rule;
mod template;
mod text;

#[cfg(test)]
mod tests;

pub use acl::Acl;
pub use builtin::DEFAULT_POLICY_TEXT;
pub use capability::{Capability, CapabilitySet, Operation};
pub use decide::{Decision, Permit, Refusal, WrappingBounds};
pub use kept::{AclMemo, exists, key_of_policy};
pub use manage::{
    DeletePolicy, ListPolicies, ManageError, Names, ReadPolicy, ShowCapabilities, WritePolicy,
    capabilities, delete, list, read, write,
};
pub use parameters::{Number, Parameters, Value};
pub use parse::{decode_base64, parse, parse_base64};
pub use rule::Policy;
pub use template::{Alias, Identity};
pub use text::{PolicyError, PolicyErrorKind, fmt};
