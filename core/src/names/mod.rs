//! The names of a mount's secrets: put in place with the first secret of a name, taken away
//! with the last, listed one level at a time. It knows no secret and no engine.

mod tree;

#[cfg(test)]
mod tests;

pub use tree::{NameError, NamePage, Place};
