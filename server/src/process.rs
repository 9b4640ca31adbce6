//! Keeps keys out of core dumps and swap, where the system lets us.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// Switches core dumps off, and locks memory if the limit on locked memory allows it: with a
/// small limit every later allocation would fail.
pub fn harden() {
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        tracing::warn!("core dumps can't be switched off");
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if setrlimit(Resource::Core, none).is_err() {
        tracing::warn!("the limit on core dumps can't be set");
    }
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if !unlimited || mlockall(flags).is_err() {
        tracing::info!(
            "memory is not locked: switch swap off, or raise the limit on locked memory (LimitMEMLOCK=infinity)"
        );
    }
}
