//! Where the pieces of a backup lie on all nodes until they are swapped in: records of a tag of
//! their own, below the seam, put there by the log like all others, so that a node that was away
//! gets them too. A swap takes none of them along.

use bytes::Bytes;

use super::format::{Decoder, FormatError, Part, Summary};
use crate::view::{View, ViewError};

/// Tag of staged pieces.
pub(crate) const TAG: u8 = 3;
/// All staged pieces, of whichever restore.
pub(crate) const RANGE: (&[u8], &[u8]) = (&[TAG], &[TAG + 1]);

/// A restore; random.
pub(crate) type RestoreId = [u8; 16];

/// The key of a piece.
pub(crate) fn key(restore: &RestoreId, piece: u64) -> Bytes {
    let mut key = Vec::with_capacity(1 + restore.len() + 8);
    key.push(TAG);
    key.extend_from_slice(restore);
    key.extend_from_slice(&piece.to_be_bytes());
    key.into()
}

/// Why staged pieces can't be swapped in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StagedError {
    /// They are no whole file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A piece isn't there.
    #[error("piece {0} of the snapshot is missing")]
    Missing(u64),
    /// They can't be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Reads the pieces of a restore in order and hands each part of the file to `take`. One piece
/// and one frame are in memory at a time. Blocks.
pub(crate) fn read<E: From<StagedError>>(
    view: &View,
    restore: &RestoreId,
    pieces: u64,
    mut take: impl FnMut(Part) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut decoder = Decoder::default();
    for piece in 0..pieces {
        let record = view
            .get_past_cache(&key(restore, piece))
            .map_err(StagedError::from)?;
        let record = record.ok_or(StagedError::Missing(piece))?;
        decoder.push(&record.value);
        while let Some(part) = decoder.part().map_err(StagedError::from)? {
            take(part)?;
        }
    }
    Ok(decoder.finish().map_err(StagedError::from)?)
}
