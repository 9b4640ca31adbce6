//! The bounds of tokens' lifetimes, where they aren't the system's. They are read when a token is
//! made or renewed: a change acts on the next of these.

use super::{Action, Ask, Context, Permit, Plan, TokenError, TtlConfig};
use crate::{
    policy::Operation,
    random::Random,
    state::{ReadError, Row, TokenTuning, TokenTunings, Txn, View},
    types::{Ttl, TtlRequest},
};

/// See, or with new times change, the lifetimes of tokens.
pub enum TuneTokens {
    /// See them.
    Show,
    /// Change them.
    Change(TuningChange),
}

/// What is to become of them; `None` leaves it as it is, nothing asked for is the system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct TuningChange {
    /// Life when none is asked for.
    pub default_ttl: Option<TtlRequest>,
    /// Longest life.
    pub max_ttl: Option<TtlRequest>,
}

impl Action for TuneTokens {
    fn ask(&self) -> Ask<'_> {
        let path = "sys/auth/token/tune";
        match self {
            Self::Show => Ask::new(Operation::Read, path).root_protected(),
            Self::Change(change) => Ask::new(Operation::Update, path)
                .root_protected()
                .with_time("default_lease_ttl", change.default_ttl.unwrap_or_default())
                .with_time("max_lease_ttl", change.max_ttl.unwrap_or_default()),
        }
    }
}

/// What is tuned. The view counts it as read.
pub(crate) fn tuning(view: &View<'_>) -> Result<TokenTuning, ReadError> {
    let row = view.get::<TokenTunings>(&())?;
    Ok(row.map(|row| row.value).unwrap_or_default())
}

/// The bounds that hold for tokens. A maximum below the default cuts that, too.
pub(crate) fn bounds(context: Context<'_>) -> Result<TtlConfig, ReadError> {
    let system = context.ttl;
    let tuned = tuning(context.view)?;
    let max = tuned.max_ttl.unwrap_or(system.max_ttl());
    let default = tuned.default_ttl.unwrap_or(system.default_ttl()).min(max);
    // What was checked when it was written; the system's bounds may have changed since.
    Ok(TtlConfig::new(default, max).unwrap_or(*system))
}

/// The lifetimes of tokens: as they are tuned, and as they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TuningInfo {
    /// As they are tuned.
    pub tuned: TokenTuning,
    /// As they hold.
    pub effective: TtlConfig,
}

/// Shows the lifetimes of tokens.
pub fn show_tuning(permit: &Permit<'_, TuneTokens>) -> Result<TuningInfo, TokenError> {
    Ok(TuningInfo {
        tuned: tuning(permit.context.view)?,
        effective: bounds(permit.context)?,
    })
}

/// Changes the lifetimes of tokens that are made or renewed from now on.
pub fn tune(
    permit: &Permit<'_, TuneTokens>,
    change: TuningChange,
    random: &mut dyn Random,
) -> Result<Plan<()>, TokenError> {
    let view = permit.context.view;
    let found = view.get::<TokenTunings>(&())?;
    let before = found.as_ref().map(|row| row.value).unwrap_or_default();
    let asked = |new: Option<TtlRequest>, old: Option<Ttl>| new.map_or(old, TtlRequest::asked);
    let tuned = TokenTuning {
        default_ttl: asked(change.default_ttl, before.default_ttl),
        max_ttl: asked(change.max_ttl, before.max_ttl),
    };
    let max = tuned.max_ttl.unwrap_or(permit.context.ttl.max_ttl());
    if tuned.default_ttl.is_some_and(|default| default > max) {
        let problem = format!("at most the maximum of {max}");
        return Err(TokenError::argument("default_lease_ttl", problem));
    }
    let (mut txn, barrier) = (Txn::default(), view.barrier());
    match found {
        None => txn.insert::<TokenTunings>(barrier, &(), &tuned, random)?,
        Some(row) => {
            let row = Row {
                value: tuned,
                ..row
            };
            txn.update::<TokenTunings>(barrier, &row, random)?;
        }
    }
    Ok(Plan { txn, response: () })
}
