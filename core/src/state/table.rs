//! What a table is: an id, a key layout, a value. It holds no rows.

use bytes::Bytes;
use zeroize::Zeroizing;

/// First byte of every key above the seam.
pub const TAG: u8 = 0x02;

/// A table. Implementations are empty types; each lives in a file of its own.
pub trait Table {
    /// Second byte of its keys. Never used for anything else, even after the table is gone.
    const ID: u8;
    /// Its name, for errors.
    const NAME: &'static str;
    /// Whether the barrier seals its values.
    const SEALED: bool;
    /// Whether a key is the revision of the transaction that writes it, which the sequencer puts
    /// in. Such a value is sealed for the table, not for its key.
    const AT_REVISION: bool = false;

    /// What its rows are found by.
    type Key: Clone;
    /// What its rows hold.
    type Value;

    /// Appends the key, after tag and id.
    fn write_key(key: &Self::Key, out: &mut Vec<u8>);
    /// Reads a key back, without tag and id.
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;
    /// The value as bytes, before it is sealed.
    fn encode(value: &Self::Value) -> Zeroizing<Vec<u8>>;
    /// Reads a value back; `None` for bytes that this build doesn't understand.
    fn decode(bytes: &[u8]) -> Option<Self::Value>;
}

/// A row that was read.
pub struct Row<T: Table> {
    /// Its key.
    pub key: T::Key,
    /// Its value.
    pub value: T::Value,
    /// Revision that created it.
    pub create_revision: u64,
    /// Revision that wrote it last.
    pub mod_revision: u64,
}

/// The storage key of a row.
pub fn key_of<T: Table>(key: &T::Key) -> Bytes {
    let mut out = vec![TAG, T::ID];
    T::write_key(key, &mut out);
    out.into()
}

/// The place that a value is sealed for.
pub(super) fn place_of<T: Table>(key: &[u8]) -> &[u8] {
    if T::AT_REVISION {
        key.get(..2).unwrap_or(key)
    } else {
        key
    }
}

/// All keys of the table that begin with `prefix` (of the key without tag and id), as
/// start and end of a range.
pub fn range_of<T: Table>(prefix: &[u8]) -> (Bytes, Bytes) {
    let start = [&[TAG, T::ID], prefix].concat();
    let end = after_prefix(&start);
    (start.into(), end.into())
}

/// The smallest key above all that begin with `prefix`, which begins with [`TAG`] and so
/// always has one.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The key without tag and id, if it is one of this table.
pub(crate) fn strip<T: Table>(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[TAG, T::ID])
}

/// Whether a record's format is one that this build reads.
pub(super) fn known_format(format: u32) -> bool {
    format == FORMAT
}

/// Version of the records that this build writes.
pub(super) const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_tight() {
        assert_eq!(after_prefix(&[2, 16]), [2, 17]);
        assert_eq!(after_prefix(&[2, 16, 255, 255]), [2, 17]);
        assert_eq!(after_prefix(&[2, 255]), [3]);
    }
}
