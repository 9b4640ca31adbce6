//! Table `lease_by_token`: the leases of a token, for listing them and for clean-up.
//!
//! Key: the token's hash, the lease's key. Value: none. It is written with the lease and
//! never again, so that it is exactly as old. Lifetime: as the lease's record. A token whose
//! range is empty has no leases.

use zeroize::Zeroizing;

use super::table::Table;
use crate::barrier::{NameChain, TokenHash};

/// The table.
pub enum LeasesByToken {}

impl Table for LeasesByToken {
    const ID: u8 = 24;
    const NAME: &'static str = "lease_by_token";
    const SEALED: bool = false;
    /// Token and lease.
    type Key = (TokenHash, NameChain);
    type Value = ();

    fn write_key((token, lease): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(token.as_bytes());
        out.extend_from_slice(lease.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (token, lease) = bytes.split_at_checked(TokenHash::BYTES)?;
        Some((TokenHash::from_slice(token)?, NameChain::from_slice(lease)?))
    }

    fn encode((): &()) -> Zeroizing<Vec<u8>> {
        Zeroizing::default()
    }

    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
