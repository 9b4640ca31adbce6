//! The rules of mounts, as pure functions: which path belongs to which mount, and what may be
//! mounted where. It knows no engine's meaning, and deletes a mount's data without a look.

mod action;
mod change;
mod error;
mod info;
mod route;
mod table;

pub use action::{ManageMounts, UseSecrets};
pub use change::{Change, NewMount, mount, remount, tune, unmount};
pub use error::{MountError, MountPrecondition};
pub use info::{MountInfo, MountType, answering, by_id, list, read, visible};
pub use route::{Route, route};
pub use table::{BUILT_IN, CUBBYHOLE};

#[cfg(test)]
mod tests;
