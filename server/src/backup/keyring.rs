//! What of a snapshot says whose keys it is under: the first tables, in clear. They are
//! collected while the file passes; nothing of them is trusted before it was verified.

use std::collections::BTreeMap;

use bytes::Bytes;
use tenure_core::state::{
    Keyrings, RootKeys, RootKeysBefore, SealConfigs, Store, StoreError, Stored, StoredRootKeys,
    key_of, read_plain,
};
use tenure_raft::backup::Part;
use tonic::Code;

use crate::{
    error::Error,
    seal::{Keys, Unsealed},
};

/// The rows of the seal in a snapshot.
pub struct SealRows {
    wanted: [Bytes; 5],
    found: BTreeMap<Bytes, Stored>,
}

impl SealRows {
    /// What nodes with these keys need to follow.
    ///
    /// # Errors
    /// This node is sealed.
    pub fn wanted_by(keys: &Keys) -> Result<Self, Error> {
        let keys = keys.get().ok_or_else(Error::sealed)?;
        let wanted = [
            key_of::<SealConfigs>(&()),
            key_of::<Keyrings>(&()),
            key_of::<RootKeys>(&()),
            // Of a snapshot that was made after a rotation that this state doesn't have.
            key_of::<RootKeysBefore>(&keys.barrier.term()),
            key_of::<StoredRootKeys>(&()),
        ];
        let found = BTreeMap::new();
        Ok(Self { wanted, found })
    }

    /// Keeps what of a part belongs to the seal.
    pub fn look(&mut self, part: &Part) {
        let Part::Records(records) = part else {
            return;
        };
        for record in records.iter().filter(|row| self.wanted.contains(&row.key)) {
            let stored = Stored {
                value: record.value.clone(),
                create_revision: record.create_revision,
                mod_revision: record.mod_revision,
            };
            self.found.insert(record.key.clone(), stored);
        }
    }

    /// The keys with which nodes that have these go on unsealed with the snapshot, if they can.
    ///
    /// # Errors
    /// It holds no keyring: nobody could ever open it.
    pub fn opened_with(&self, keys: &Keys) -> Result<Option<Unsealed>, Error> {
        let whole = read_plain::<SealConfigs>(self, &())?.is_some()
            && read_plain::<Keyrings>(self, &())?.is_some();
        if !whole {
            let message = "the snapshot holds no keyring: it was made of a cluster that was not \
                           initialized";
            return Err(Error::new(Code::InvalidArgument, "NO_KEYRING", message));
        }
        Ok(keys.followed(self))
    }
}

impl Store for SealRows {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        Ok(self.found.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        let inside = |key: &[u8]| start <= key && key < end;
        let rows = self.found.iter().filter(|(key, _)| inside(key));
        Ok(rows
            .take(limit)
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect())
    }

    fn revision(&self) -> u64 {
        0
    }
}
