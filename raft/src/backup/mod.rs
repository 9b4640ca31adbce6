//! Backups: the records above the seam as one file, and back. A file holds what the state
//! holds, ciphertext, and never a key of this crate's own: members, node ids and join tokens
//! belong to a cluster, not to its data.
//!
//! - [`format`]: the bytes of a file, written and read piece by piece.
//! - [`save()`]: a pinned state as a stream of frames.
//! - [`staging`]: where the pieces of a file lie until they are swapped in.

mod format;
mod save;
pub(crate) mod staging;
#[cfg(test)]
mod tests;

pub(crate) use self::format::crosses;
#[cfg(test)]
pub(crate) use self::save::save_within;
pub use self::{
    format::{Decoder, FormatError, Part, Summary},
    save::{SaveError, save},
};
