//! Texts of policies: HCL as the peers write it (version 1, where a line may hold several
//! attributes), JSON, and the canonical form. It knows syntax, not what a policy may say.

mod error;
mod format;
mod hcl;
mod json;
mod lexer;
mod tree;

pub use error::{PolicyError, PolicyErrorKind};
pub use format::fmt;
pub(super) use hcl::read_hcl;
pub(super) use json::read_json;
pub(super) use tree::{Item, Node, NodeKind};
