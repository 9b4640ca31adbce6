//! What of a snapshot says whose keys it is under: the first tables, in clear. They are
//! collected while the file passes; nothing of them is trusted before it was verified.

use std::collections::BTreeMap;

use bytes::Bytes;
use tenure_core::state::{
    Keyrings, RootKeys, SealConfigs, Store, StoreError, Stored, key_of, read_plain,
};
use tenure_raft::backup::Part;
use tonic::Code;

use crate::{
    error::Error,
    seal::{Keys, reopen},
};

/// The rows of the seal in a snapshot.
#[derive(Default)]
pub struct SealRows(BTreeMap<Bytes, Stored>);

impl SealRows {
    /// Keeps what of a part belongs to the seal.
    pub fn look(&mut self, part: &Part) {
        let Part::Records(records) = part else {
            return;
        };
        let of_seal = [
            key_of::<SealConfigs>(&()),
            key_of::<Keyrings>(&()),
            key_of::<RootKeys>(&()),
        ];
        for record in records.iter().filter(|row| of_seal.contains(&row.key)) {
            let stored = Stored {
                value: record.value.clone(),
                create_revision: record.create_revision,
                mod_revision: record.mod_revision,
            };
            self.0.insert(record.key.clone(), stored);
        }
    }

    /// Whether nodes with these keys can go on with the snapshot unsealed.
    ///
    /// # Errors
    /// It holds no keyring: nobody could ever open it.
    pub fn opens_with(&self, keys: &Keys) -> Result<bool, Error> {
        let whole = read_plain::<SealConfigs>(self, &())?.is_some()
            && read_plain::<Keyrings>(self, &())?.is_some();
        if !whole {
            let message = "the snapshot holds no keyring: it was made of a cluster that was not \
                           initialized";
            return Err(Error::new(Code::InvalidArgument, "NO_KEYRING", message));
        }
        let keys = keys.get().ok_or_else(Error::sealed)?;
        Ok(reopen(&keys, self).is_ok())
    }
}

impl Store for SealRows {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        let inside = |key: &[u8]| start <= key && key < end;
        let rows = self.0.iter().filter(|(key, _)| inside(key));
        Ok(rows
            .take(limit)
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect())
    }

    fn revision(&self) -> u64 {
        0
    }
}
