//! What a rule may grant, and what a caller may ask for. Two closed lists; nothing here
//! decides.

/// A right that a rule grants on its path. `root` is none: only the policy root has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Write what doesn't exist yet.
    Create,
    /// Delete.
    Delete,
    /// Nothing at all, whatever else is granted on the same path.
    Deny,
    /// List one level.
    List,
    /// Change parts of what exists.
    Patch,
    /// Read.
    Read,
    /// List all levels.
    Scan,
    /// Use root-protected paths, together with the right for the operation itself.
    Sudo,
    /// Write what exists.
    Update,
}

impl Capability {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Delete,
        Self::Deny,
        Self::List,
        Self::Patch,
        Self::Read,
        Self::Scan,
        Self::Sudo,
        Self::Update,
    ];

    /// Reads its name, in lower case; `None` for anything else, `root` included.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Deny => "deny",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::Scan => "scan",
            Self::Sudo => "sudo",
            Self::Update => "update",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of capabilities.
///
/// Invariant: `deny` is in it alone or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u16);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    const DENY: Self = Self(Capability::Deny.bit());

    /// Whether `capability` is in it.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether it grants nothing: empty, or `deny`.
    pub const fn grants_nothing(self) -> bool {
        self.0 == 0 || self.0 == Self::DENY.0
    }

    /// Both together; `deny` in either swallows the rest.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let both = self.0 | other.0;
        if both & Self::DENY.0 != 0 {
            Self::DENY
        } else {
            Self(both)
        }
    }

    /// The capabilities, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        let has = move |one: &Capability| self.contains(*one);
        Capability::ALL.into_iter().filter(has)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        all.into_iter()
            .fold(Self::EMPTY, |set, one| set.union(Self(one.bit())))
    }
}

/// What a caller asks to do with a path.
///
/// Writing is `Create` or `Update` by whether the thing exists, as the engine says; renewing,
/// revoking and other actions are `Update`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write what doesn't exist yet.
    Create,
    /// Read.
    Read,
    /// Write what exists, or act.
    Update,
    /// Change parts of what exists.
    Patch,
    /// Delete.
    Delete,
    /// List one level.
    List,
    /// List all levels.
    Scan,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::List,
        Self::Scan,
    ];

    /// The capability that it needs.
    pub const fn needs(self) -> Capability {
        match self {
            Self::Create => Capability::Create,
            Self::Read => Capability::Read,
            Self::Update => Capability::Update,
            Self::Patch => Capability::Patch,
            Self::Delete => Capability::Delete,
            Self::List => Capability::List,
            Self::Scan => Capability::Scan,
        }
    }

    /// Whether its path is a folder, whose trailing slash may be left out.
    pub const fn lists(self) -> bool {
        matches!(self, Self::List | Self::Scan)
    }

    /// Whether constraints on parameters apply: not to deleting and listing, as with the
    /// peers.
    pub const fn has_parameters(self) -> bool {
        matches!(self, Self::Create | Self::Read | Self::Update | Self::Patch)
    }
}
