//! `tenure version`.

use clap::Args;

use super::Context;
use crate::failure::{Failure, code};

/// Flags of `tenure version`: none.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct VersionArgs {}

pub(crate) fn run(_args: &VersionArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let version = concat!("Tenure v", env!("CARGO_PKG_VERSION"));
    context.console.line(version)?;
    Ok(code::OK)
}
