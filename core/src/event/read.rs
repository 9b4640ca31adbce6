//! Reading events, in pages. What is read doesn't count as such: no plan rests on it.

use crate::state::{Event, EventFloor, Events, ReadError, View};

/// The events of the first `rows` transactions after a revision, each with its revision.
pub fn page(view: &View<'_>, after: u64, rows: usize) -> Result<Vec<(u64, Vec<Event>)>, ReadError> {
    let rows = view.peek::<Events>(Events::range_after(after), rows)?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

/// Up to which revision the events are gone.
pub fn floor(view: &View<'_>) -> Result<u64, ReadError> {
    Ok(view.get::<EventFloor>(&())?.map_or(0, |row| row.value))
}
