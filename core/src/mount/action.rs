//! What a caller may ask to do with mounts and with what is mounted. Until policies arrive
//! root may do everything, and every token may use its own cubbyhole.

use crate::token::{Action, Caller};

/// Mount, show, tune, move, unmount.
pub struct ManageMounts;
/// Use a secrets engine.
pub struct UseSecrets {
    /// The caller's own cubbyhole.
    pub cubbyhole: bool,
}

impl Action for ManageMounts {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        Some("handle mounts")
    }
}

impl Action for UseSecrets {
    fn root_only(&self, _caller: &Caller) -> Option<&'static str> {
        (!self.cubbyhole).then_some("use this path")
    }
}
