//! Reading events, in pages. What is read doesn't count as such: no plan rests on it.

use crate::state::{Event, EventFloor, Events, ReadError, RestoreMarks, View};

/// The events of the first `rows` transactions after a revision, each with its revision.
pub fn page(view: &View<'_>, after: u64, rows: usize) -> Result<Vec<(u64, Vec<Event>)>, ReadError> {
    let rows = view.peek::<Events>(Events::range_after(after), rows)?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

/// Up to which revision the events are gone, or tell of another state: a restore's own revision is
/// above all that anybody was shown before it, here or where the snapshot was saved.
pub fn floor(view: &View<'_>) -> Result<u64, ReadError> {
    let deleted = view.get::<EventFloor>(&())?.map_or(0, |row| row.value);
    let restored = view.mod_revision::<RestoreMarks>(&())?.unwrap_or(0);
    Ok(deleted.max(restored))
}
