//! The operations that are measured, and through which node.

use std::fmt;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Operation {
    /// A service token of one hour with the default policy, made by root.
    Create,
    /// A token looks itself up.
    LookupSelf,
    /// A token renews itself.
    RenewSelf,
    /// Root revokes a token without children.
    Revoke,
    /// A lease of one hour on a small payload.
    GrantLease,
}

impl Operation {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::LookupSelf,
        Self::RenewSelf,
        Self::Revoke,
        Self::GrantLease,
    ];

    /// Whether it only reads.
    pub fn reads(self) -> bool {
        self == Self::LookupSelf
    }

    /// Whether OpenBao has it.
    pub fn has_peer(self) -> bool {
        self != Self::GrantLease
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "token create",
            Self::LookupSelf => "lookup-self",
            Self::RenewSelf => "renew-self",
            Self::Revoke => "revoke",
            Self::GrantLease => "lease grant",
        })
    }
}

/// Through which node clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The active node.
    Active,
    /// One standby.
    Standby,
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Standby => "standby",
        })
    }
}
