//! Table `restore_mark`: since when the state is one that was restored.
//!
//! Key: fixed. Value: none; what counts is its revision, which is that of the restore. In clear,
//! since it is written before anyone can open the restored keyring. Lifetime: from the first restore
//! on; each writes it anew.

use zeroize::Zeroizing;

use super::table::Table;

/// The table.
pub enum RestoreMarks {}

impl Table for RestoreMarks {
    const ID: u8 = 64;
    const NAME: &'static str = "restore_mark";
    const SEALED: bool = false;
    type Key = ();
    type Value = ();

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode((): &()) -> Zeroizing<Vec<u8>> {
        Zeroizing::default()
    }

    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
