//! Rate limits and what holds for all of them: written, read, listed, removed.

use super::{
    DeleteRateLimit, ListRateLimits, QuotaError, QuotaPath, ReadQuotaConfig, ReadRateLimit,
    WriteQuotaConfig, WriteRateLimit,
};
use crate::{
    random::Random,
    state::{RateLimitRecord, RateLimits, RateLimitsRecord, Row, Txn, View},
    token::{Permit, Plan},
    types::{
        Path, Ttl, TtlRequest,
        limits::{
            PAGE_ROWS_MAX, RATE_EXEMPT_PATHS_MAX, RATE_INTERVAL_SECONDS_MAX, RATE_LIMITS_MAX,
        },
    },
};

/// The interval when none is asked for.
const INTERVAL_SECONDS_DEFAULT: u64 = 1;

/// A page of the rate limits.
#[derive(Clone, Debug)]
pub struct RateLimitPage {
    /// The limits, by name.
    pub limits: Vec<RateLimitRecord>,
    /// Where the next page begins: after this name; `None` after the last.
    pub next: Option<Path>,
}

fn load(view: &View<'_>) -> Result<Row<RateLimits>, QuotaError> {
    Ok(view.get::<RateLimits>(&())?.unwrap_or(Row {
        key: (),
        value: RateLimitsRecord::default(),
        create_revision: 0,
        mod_revision: 0,
    }))
}

fn store(
    view: &View<'_>,
    row: &Row<RateLimits>,
    random: &mut dyn Random,
) -> Result<Plan<()>, QuotaError> {
    let mut txn = Txn::default();
    if row.create_revision == 0 {
        txn.insert::<RateLimits>(view.barrier(), &(), &row.value, random)?;
    } else {
        txn.update::<RateLimits>(view.barrier(), row, random)?;
    }
    Ok(Plan { txn, response: () })
}

/// A time of a limit, within its bound.
fn time(field: &'static str, asked: TtlRequest) -> Result<Option<Ttl>, QuotaError> {
    match asked.asked() {
        Some(ttl) if ttl.as_seconds() > RATE_INTERVAL_SECONDS_MAX => Err(QuotaError::argument(
            field,
            format!("at most {RATE_INTERVAL_SECONDS_MAX} s"),
        )),
        asked => Ok(asked),
    }
}

/// A quota's name is one segment.
pub(super) fn check_name(name: &Path) -> Result<(), QuotaError> {
    match name.segments().count() {
        1 => Ok(()),
        _ => Err(QuotaError::argument("name", "one segment, without a slash")),
    }
}

/// Sets a rate limit, new or anew.
///
/// # Errors
/// A field that can't be, another limit on the same path, or too many of them.
pub fn write_rate_limit(
    permit: &Permit<'_, WriteRateLimit>,
    random: &mut dyn Random,
) -> Result<Plan<()>, QuotaError> {
    let action = permit.action();
    check_name(&action.name)?;
    let rate = u32::try_from(action.rate).ok().filter(|rate| *rate > 0);
    let rate = rate.ok_or_else(|| QuotaError::argument("rate", format!("1 to {}", u32::MAX)))?;
    let interval = match time("interval", action.interval)? {
        Some(interval) => interval,
        None => Ttl::from_seconds(INTERVAL_SECONDS_DEFAULT)
            .map_err(|error| QuotaError::argument("interval", error))?,
    };
    let path =
        QuotaPath::parse(&action.path).map_err(|problem| QuotaError::argument("path", problem))?;
    let view = permit.context().view;
    let mut row = load(view)?;
    let record = &mut row.value;
    let others = record
        .limits
        .iter()
        .filter(|limit| limit.name != action.name);
    if others.clone().any(|limit| limit.path.is_same(&path)) {
        return Err(QuotaError::argument("path", "another rate limit has it"));
    }
    if others.count() >= RATE_LIMITS_MAX {
        let problem = format!("there are {RATE_LIMITS_MAX} rate limits already");
        return Err(QuotaError::argument("name", problem));
    }
    let limit = RateLimitRecord {
        name: action.name.clone(),
        path,
        rate,
        interval,
        block: time("block_interval", action.block)?,
        id: record.next_id,
    };
    record.next_id += 1;
    record.limits.retain(|limit| limit.name != action.name);
    record.limits.push(limit);
    record
        .limits
        .sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    store(view, &row, random)
}

/// Shows a rate limit.
///
/// # Errors
/// There is none of this name.
pub fn read_rate_limit(permit: &Permit<'_, ReadRateLimit>) -> Result<RateLimitRecord, QuotaError> {
    let row = load(permit.context().view)?;
    let found = row.value.limits.into_iter();
    let mut found = found.filter(|limit| limit.name == permit.action().0);
    found.next().ok_or(QuotaError::NotFound)
}

/// Lists the rate limits by name, a page at a time: those after `after`, at most `limit`.
///
/// # Errors
/// The state can't be read.
pub fn list_rate_limits(
    permit: &Permit<'_, ListRateLimits>,
    after: Option<&Path>,
    limit: usize,
) -> Result<RateLimitPage, QuotaError> {
    let limits = load(permit.context().view)?.value.limits;
    let (limits, next) = page(limits, |limit| &limit.name, after, limit);
    Ok(RateLimitPage { limits, next })
}

/// A page of what is sorted by name, and where the next one begins.
pub(super) fn page<T>(
    all: Vec<T>,
    name: impl Fn(&T) -> &Path,
    after: Option<&Path>,
    limit: usize,
) -> (Vec<T>, Option<Path>) {
    let is_left = |row: &T| after.is_none_or(|after| name(row).as_str() > after.as_str());
    let mut left = all.into_iter().filter(is_left);
    let rows: Vec<T> = left.by_ref().take(limit.clamp(1, PAGE_ROWS_MAX)).collect();
    let more = left.next().is_some();
    let next = rows.last().filter(|_| more).map(|row| name(row).clone());
    (rows, next)
}

/// Removes a rate limit. One that doesn't exist is gone already.
///
/// # Errors
/// The state can't be read or sealed.
pub fn delete_rate_limit(
    permit: &Permit<'_, DeleteRateLimit>,
    random: &mut dyn Random,
) -> Result<Plan<()>, QuotaError> {
    let view = permit.context().view;
    let mut row = load(view)?;
    let before = row.value.limits.len();
    let name = &permit.action().0;
    row.value.limits.retain(|limit| limit.name != *name);
    if row.value.limits.len() == before {
        return Ok(Plan {
            txn: Txn::default(),
            response: (),
        });
    }
    store(view, &row, random)
}

/// Sets what holds for all rate limits.
///
/// # Errors
/// Too many paths.
pub fn write_config(
    permit: &Permit<'_, WriteQuotaConfig>,
    random: &mut dyn Random,
) -> Result<Plan<()>, QuotaError> {
    let WriteQuotaConfig { exempt, headers } = permit.action();
    if exempt
        .as_ref()
        .is_some_and(|paths| paths.len() > RATE_EXEMPT_PATHS_MAX)
    {
        let problem = format!("at most {RATE_EXEMPT_PATHS_MAX} paths");
        return Err(QuotaError::argument("rate_limit_exempt_paths", problem));
    }
    let view = permit.context().view;
    let mut row = load(view)?;
    if let Some(exempt) = exempt {
        row.value.exempt.clone_from(exempt);
    }
    row.value.headers = headers.unwrap_or(row.value.headers);
    store(view, &row, random)
}

/// What holds for all rate limits: the paths that are exempt, and whether answers tell the limit.
///
/// # Errors
/// The state can't be read.
pub fn read_config(
    permit: &Permit<'_, ReadQuotaConfig>,
) -> Result<(Vec<QuotaPath>, bool), QuotaError> {
    let record = load(permit.context().view)?.value;
    Ok((record.exempt, record.headers))
}
