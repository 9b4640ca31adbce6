//! From a path to the mount that answers for it. The longest mount wins; since none lies under
//! another one, there is at most one.

use super::{
    CUBBYHOLE, MountError,
    table::{MountTable, rest},
};
use crate::{
    state::{MountRecord, View},
    types::Path,
};

/// What answers for a path, and what of it comes after the mount: segments, perhaps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// A secrets engine that was mounted.
    Mount(Box<MountRecord>, Vec<&'p str>),
    /// The caller's own.
    Cubbyhole(Vec<&'p str>),
    /// sys/ and auth/, which have services of their own.
    Reserved,
}

/// Routes a path. The view counts the mount table as read, so that a mount that changes
/// meanwhile sends the call back.
pub fn route<'p>(view: &View<'_>, path: &'p Path) -> Result<Route<'p>, MountError> {
    match path.segments().next() {
        Some(CUBBYHOLE) => {
            let below = rest(CUBBYHOLE, path).unwrap_or_default();
            return Ok(Route::Cubbyhole(segments(below)));
        }
        Some("sys" | "auth") => return Ok(Route::Reserved),
        _ => {}
    }
    let table = MountTable::load(view)?;
    let mut mounts = table.mounts().iter();
    let found = mounts.find_map(|mount| {
        let below = rest(mount.path.as_str(), path)?;
        Some(Route::Mount(Box::new(mount.clone()), segments(below)))
    });
    found.ok_or(MountError::NotFound)
}

fn segments(text: &str) -> Vec<&str> {
    text.split('/').filter(|part| !part.is_empty()).collect()
}
