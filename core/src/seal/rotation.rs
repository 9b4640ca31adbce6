//! Barrier keys that are added by themselves: after so many operations with one, or when it is so
//! old. What may be asked to be changed about that, and when one is due.
//!
//! An operation is a transaction that was carried out: it seals a few values. They are counted by the
//! revisions since the key was made, so that nothing is written to count them. A restore skips revisions:
//! from there they are counted anew, so that it adds no key by itself.

use super::{
    SealError,
    rotate::{add_key, open_keyring},
};
use crate::{
    barrier::Keyring,
    policy::{Number, Operation, Value},
    random::Random,
    state::{RestoreMarks, RotationConfig, RotationConfigs, Row, Txn, View},
    token::{Action, Administer, Ask, Permit},
    types::{
        Ttl, UnixMillis,
        limits::{ROTATION_INTERVAL_SECONDS_MIN, ROTATION_OPERATIONS_MAX, ROTATION_OPERATIONS_MIN},
    },
};

/// Change when keys are rotated by themselves; `None`: as before.
pub struct WriteRotationConfig {
    /// Whether they are.
    pub enabled: Option<bool>,
    /// After so many operations.
    pub max_operations: Option<u64>,
    /// When a key is so old; zero: its age doesn't matter.
    pub interval: Option<Ttl>,
}

impl Action for WriteRotationConfig {
    fn ask(&self) -> Ask<'_> {
        let mut ask = Ask::new(Operation::Update, "sys/rotate/config").root_protected();
        if let Some(enabled) = self.enabled {
            ask = ask.with("enabled", Value::Bool(enabled));
        }
        let number = |number: u64| Value::Number(Number::whole(number.into()));
        if let Some(operations) = self.max_operations {
            ask = ask.with("max_operations", number(operations));
        }
        if let Some(interval) = self.interval {
            ask = ask.with("interval", number(interval.as_seconds()));
        }
        ask
    }
}

fn config(view: &View<'_>) -> Result<Option<Row<RotationConfigs>>, SealError> {
    Ok(view.get::<RotationConfigs>(&())?)
}

/// When keys are rotated by themselves.
///
/// # Errors
/// The state can't be read.
pub fn rotation_config(permit: &Permit<'_, Administer>) -> Result<RotationConfig, SealError> {
    let row = config(permit.context().view)?;
    Ok(row.map_or_else(RotationConfig::default, |row| row.value))
}

/// Changes that.
///
/// # Errors
/// Out of bounds, or the state can't be read.
pub fn write_rotation_config(
    permit: &Permit<'_, WriteRotationConfig>,
    random: &mut dyn Random,
) -> Result<Txn, SealError> {
    write_config(permit.context().view, permit.action(), random)
}

pub(super) fn write_config(
    view: &View<'_>,
    change: &WriteRotationConfig,
    random: &mut dyn Random,
) -> Result<Txn, SealError> {
    let row = config(view)?;
    let mut wanted = row
        .as_ref()
        .map_or_else(RotationConfig::default, |row| row.value);
    if let Some(enabled) = change.enabled {
        wanted.enabled = enabled;
    }
    if let Some(operations) = change.max_operations {
        if !(ROTATION_OPERATIONS_MIN..=ROTATION_OPERATIONS_MAX).contains(&operations) {
            return Err(SealError::Rotation("max_operations: out of its bounds"));
        }
        wanted.max_operations = operations;
    }
    if let Some(interval) = change.interval {
        let is_short = interval.as_seconds() < ROTATION_INTERVAL_SECONDS_MIN;
        if is_short && !interval.is_zero() {
            return Err(SealError::Rotation("interval: at least 24 hours, or none"));
        }
        wanted.interval = (!interval.is_zero()).then_some(interval);
    }
    let (barrier, mut txn) = (view.barrier(), Txn::default());
    match row {
        None => txn.insert::<RotationConfigs>(barrier, &(), &wanted, random)?,
        Some(row) => {
            let row = Row {
                value: wanted,
                ..row
            };
            txn.update::<RotationConfigs>(barrier, &row, random)?;
        }
    }
    Ok(txn)
}

/// Operations with the newest key of this keyring, or since the state was restored, if that is later.
pub(super) fn operations(view: &View<'_>, keyring: &Keyring) -> Result<u64, SealError> {
    let restored = view.mod_revision::<RestoreMarks>(&())?.unwrap_or(0);
    let since = keyring.term_since().max(restored);
    Ok(view.revision().saturating_sub(since))
}

/// Adds a barrier key if one is due; `None` if not.
///
/// # Errors
/// The state can't be read.
pub fn rotate_when_due(
    view: &View<'_>,
    now: UnixMillis,
    random: &mut dyn Random,
) -> Result<Option<Txn>, SealError> {
    let config = config(view)?.map_or_else(RotationConfig::default, |row| row.value);
    if !config.enabled {
        return Ok(None);
    }
    let (_, keyring) = open_keyring(view)?;
    let is_used_up = operations(view, &keyring)? >= config.max_operations;
    let is_old = config
        .interval
        .is_some_and(|interval| keyring.term_created().saturating_add(interval) <= now);
    if is_used_up || is_old {
        return add_key(view, now, random).map(Some);
    }
    Ok(None)
}
