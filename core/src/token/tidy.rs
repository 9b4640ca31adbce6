//! Tidying, as operators of the peers know it. Here no row can be left without its token: all of a
//! token goes in one transaction, and what a revocation leaves is cleared away by itself. So it
//! says what there is still to clear away, and changes nothing.

use super::{Action, Ask, Permit};
use crate::policy::Operation;

/// Tidy up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidy {
    /// What tokens left.
    Tokens,
    /// What leases left.
    Leases,
}

impl Action for Tidy {
    fn ask(&self) -> Ask<'_> {
        let path = match self {
            Self::Tokens => "auth/token/tidy",
            Self::Leases => "sys/leases/tidy",
        };
        Ask::new(Operation::Update, path).root_protected()
    }
}

/// How many revocations are still being cleared away.
pub fn pending(permit: &Permit<'_, Tidy>) -> usize {
    let revocations = permit.context.revocations;
    match permit.action {
        Tidy::Tokens => revocations.tombstones().count() + revocations.markers().count(),
        Tidy::Leases => revocations.prefixes().count(),
    }
}
