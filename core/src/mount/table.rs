//! The mount table as it is read and written, and the paths that are never free.

use super::MountError;
use crate::{
    barrier::BarrierError,
    random::Random,
    state::{MountRecord, Mounts, ReadError, Row, Txn, View},
    types::Path,
};

/// Where every token's own secrets are.
pub const CUBBYHOLE: &str = "cubbyhole";
/// What is always mounted.
pub const BUILT_IN: [&str; 3] = ["auth/token", CUBBYHOLE, "sys"];
/// First segments under which nothing can be mounted.
const RESERVED: [&str; 5] = ["audit", "auth", CUBBYHOLE, "identity", "sys"];

/// The last segment of the paths by which policies grant the tuning of mounts.
const TUNE: &str = "tune";

/// All mounts, as they were read.
pub(super) struct MountTable {
    row: Row<Mounts>,
    is_new: bool,
}

impl MountTable {
    /// Reads it. From then on the view counts it as read.
    pub(super) fn load(view: &View<'_>) -> Result<Self, ReadError> {
        let row = view.get::<Mounts>(&())?;
        let is_new = row.is_none();
        let row = row.unwrap_or(Row {
            key: (),
            value: Vec::new(),
            create_revision: 0,
            mod_revision: 0,
        });
        Ok(Self { row, is_new })
    }

    /// The mounts, sorted by path.
    pub(super) fn mounts(&self) -> &[MountRecord] {
        &self.row.value
    }

    /// The mounts, to be changed.
    pub(super) fn mounts_mut(&mut self) -> &mut Vec<MountRecord> {
        &mut self.row.value
    }

    /// Where the mount of this very path stands.
    pub(super) fn position(&self, path: &Path) -> Option<usize> {
        self.mounts().iter().position(|mount| mount.path == *path)
    }

    /// Writes it back, sorted.
    pub(super) fn store(
        mut self,
        view: &View<'_>,
        txn: &mut Txn,
        random: &mut dyn Random,
    ) -> Result<(), BarrierError> {
        let barrier = view.barrier();
        let mounts = &mut self.row.value;
        mounts.sort_by(|one, other| one.path.as_str().cmp(other.path.as_str()));
        if self.is_new {
            return txn.insert::<Mounts>(barrier, &(), &self.row.value, random);
        }
        txn.update::<Mounts>(barrier, &self.row, random)
    }

    /// Whether something can be mounted at this path.
    pub(super) fn check_free(&self, field: &'static str, path: &Path) -> Result<(), MountError> {
        let first = path.segments().next().unwrap_or_default();
        if RESERVED.contains(&first) {
            return Err(MountError::argument(
                field,
                "nothing can be mounted at this path or under it",
            ));
        }
        if path.as_str().contains(['*', '+']) {
            return Err(MountError::argument(
                field,
                "the path of a mount holds neither * nor +, which policies use",
            ));
        }
        if path.segments().last() == Some(TUNE) {
            return Err(MountError::argument(
                field,
                "the path of a mount doesn't end in \"tune\": that is where policies look for the \
                 right to tune the mount above",
            ));
        }
        let overlaps = |mount: &MountRecord| covers(&mount.path, path) || covers(path, &mount.path);
        if self.mounts().iter().any(overlaps) {
            return Err(MountError::InUse);
        }
        Ok(())
    }
}

/// Whether `path` is `mount` or lies under it, by whole segments.
pub(super) fn covers(mount: &Path, path: &Path) -> bool {
    rest(mount.as_str(), path).is_some()
}

/// What of the path comes after the mount's; empty for the mount itself.
pub(super) fn rest<'p>(mount: &str, path: &'p Path) -> Option<&'p str> {
    let rest = path.as_str().strip_prefix(mount)?;
    match rest {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// Whether it is always mounted.
pub(super) fn is_built_in(path: &Path) -> bool {
    BUILT_IN.contains(&path.as_str())
}

/// Whether it is always mounted, or kept free.
pub(super) fn is_reserved(path: &Path) -> bool {
    is_built_in(path) || RESERVED.contains(&path.as_str())
}
