//! Table `token_child`: the tree, from parents to children, for clean-up alone.
//!
//! Key: the parent's hash, the child's hash. Value: none. Lifetime: as the child's record.
//! A parent whose range is empty is a leaf.

use zeroize::Zeroizing;

use super::table::Table;
use crate::barrier::TokenHash;

/// The table.
pub enum TokenChildren {}

impl Table for TokenChildren {
    const ID: u8 = 18;
    const NAME: &'static str = "token_child";
    const SEALED: bool = false;
    /// Parent and child.
    type Key = (TokenHash, TokenHash);
    type Value = ();

    fn write_key((parent, child): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(parent.as_bytes());
        out.extend_from_slice(child.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (parent, child) = bytes.split_at_checked(TokenHash::BYTES)?;
        Some((
            TokenHash::from_slice(parent)?,
            TokenHash::from_slice(child)?,
        ))
    }

    fn encode((): &()) -> Zeroizing<Vec<u8>> {
        Zeroizing::default()
    }

    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
