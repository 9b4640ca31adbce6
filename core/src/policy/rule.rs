//! Policies as data: rules on paths, and how two on the same path come together.

use std::fmt;

use super::capability::{Capability, CapabilitySet};
use super::decide::WrappingBounds;
use super::parameters::Constraints;
use super::template::PathTemplate;
use crate::types::PolicyName;

/// A policy that was read from a text, or `root`.
///
/// Where several rules are about the same path, in one policy or in several, capabilities
/// add up and `deny` wins alone. Values of a parameter add up too, and "any value" wins; a
/// rule without constraints doesn't lift those of another. Of two bounds on the TTL of a
/// wrapping, the shorter one holds. All of it as with the peers.
///
/// `Debug` shows counts only.
#[derive(Clone, PartialEq)]
pub struct Policy {
    pub(super) name: Option<PolicyName>,
    /// Never from a text: no spelling of a name makes a policy root.
    pub(super) root: bool,
    pub(super) rules: Vec<Rule>,
}

impl Policy {
    /// The policy that may do everything. No text makes it.
    pub fn root() -> Self {
        Self {
            name: Some(PolicyName::root()),
            root: true,
            rules: Vec::new(),
        }
    }

    /// The name that the text gives, if any. It decides nothing: a policy is called what it
    /// is stored as.
    pub const fn name(&self) -> Option<&PolicyName> {
        self.name.as_ref()
    }

    /// Whether it is the policy root.
    pub const fn is_root(&self) -> bool {
        self.root
    }

    /// How many rules it has.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("root", &self.root)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// What one policy says about one path.
#[derive(Clone, PartialEq)]
pub(super) struct Rule {
    pub path: PathTemplate,
    pub grant: Grant,
}

/// What holds on a path.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Grant {
    pub capabilities: CapabilitySet,
    pub constraints: Constraints,
    pub wrapping: WrappingBounds,
}

impl Grant {
    /// Takes what another rule says about the same path in.
    pub fn merge(&mut self, other: &Self) {
        self.capabilities = self.capabilities.union(other.capabilities);
        if self.capabilities.contains(Capability::Deny) {
            self.constraints = Constraints::default();
            self.wrapping = WrappingBounds::default();
            return;
        }
        self.constraints.merge(&other.constraints);
        self.wrapping = self.wrapping.merge(other.wrapping);
    }
}
