//! Table `batch_lease`: the leases of batch tokens, by the path that made their token, so that they
//! are found when that path is revoked: nothing else is stored of a batch token.
//!
//! Key: the hashes of the path's segments, a hash of zeros, the lease's key. Value: none. It is
//! written with the lease and never again, so that it is exactly as old. Lifetime: as the lease's
//! record.

use zeroize::Zeroizing;

use super::table::Table;
use crate::barrier::{NameChain, NameHash};

/// The table.
pub enum BatchLeases {}

impl Table for BatchLeases {
    const ID: u8 = 63;
    const NAME: &'static str = "batch_lease";
    const SEALED: bool = false;
    /// The token's path, and the lease.
    type Key = (NameChain, NameChain);
    type Value = ();

    fn write_key((path, lease): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(NameHash::ROOT.as_bytes());
        out.extend_from_slice(lease.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let between = NameHash::ROOT.as_bytes().as_slice();
        let mut hashes = bytes.chunks(NameHash::BYTES);
        let (path, rest) = bytes.split_at(hashes.position(|hash| hash == between)? * between.len());
        let lease = rest.get(between.len()..)?;
        Some((NameChain::from_slice(path)?, NameChain::from_slice(lease)?))
    }

    fn encode((): &()) -> Zeroizing<Vec<u8>> {
        Zeroizing::default()
    }

    fn decode(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
