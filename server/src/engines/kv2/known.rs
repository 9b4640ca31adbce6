//! What is known of one secret, as it is read and written back. It decides nothing about what
//! may be shown.

use serde_json::{Map, Value, json};
use tenure_core::{
    names::NameError,
    random::Random,
    state::{
        KvMetadataRecord, KvMetadatas, KvVersionInfo, KvVersions, ReadError, Row, SecretKey,
        Secrets, Txn, View,
    },
    types::{Meta, Secret, UnixMillis},
};

use super::super::json;

/// The metadata of a secret.
pub(super) struct Known {
    pub(super) key: SecretKey,
    pub(super) record: KvMetadataRecord,
    from: From,
}

/// Where it comes from.
enum From {
    /// It isn't stored yet.
    Nowhere,
    /// kv version 1 wrote it.
    Version1,
    /// Its own row, of this create revision.
    Row(u64),
}

impl Known {
    /// Of a secret that doesn't exist yet.
    pub(super) fn new(key: SecretKey, now: UnixMillis) -> Self {
        Self {
            key,
            record: KvMetadataRecord {
                created: now,
                updated: now,
                current: 0,
                oldest: 0,
                versions: Vec::new(),
                max_versions: None,
                cas_required: false,
                delete_after: None,
                custom: Meta::default(),
            },
            from: From::Nowhere,
        }
    }

    /// Of a secret that exists.
    pub(super) fn load(view: &View<'_>, key: SecretKey) -> Result<Option<Self>, ReadError> {
        if let Some(row) = view.get::<KvMetadatas>(&key)? {
            return Ok(Some(Self {
                key,
                record: row.value,
                from: From::Row(row.create_revision),
            }));
        }
        let Some(row) = view.get::<Secrets>(&key)? else {
            return Ok(None);
        };
        let mut known = Self::new(key, row.value.written);
        known.record.current = 1;
        known.record.versions.push(KvVersionInfo {
            version: 1,
            created: row.value.written,
            deletion: None,
            destroyed: false,
        });
        known.from = From::Version1;
        Ok(Some(known))
    }

    /// Whether nothing of it is stored.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.from, From::Nowhere)
    }

    /// The version of this number; 0: the latest.
    pub(super) fn version(&self, number: u64) -> Option<&KvVersionInfo> {
        let number = self.number(number);
        let mut versions = self.record.versions.iter();
        versions.find(|info| info.version == number)
    }

    pub(super) fn version_mut(&mut self, number: u64) -> Option<&mut KvVersionInfo> {
        let number = self.number(number);
        let mut versions = self.record.versions.iter_mut();
        versions.find(|info| info.version == number)
    }

    fn number(&self, number: u64) -> u64 {
        match number {
            0 => self.record.current,
            number => number,
        }
    }

    /// The data of a version, if it is kept.
    pub(super) fn data(
        &self,
        view: &View<'_>,
        version: u64,
    ) -> Result<Option<Secret<Vec<u8>>>, ReadError> {
        if matches!(self.from, From::Version1) {
            let row = view.get::<Secrets>(&self.key)?;
            return Ok(row.map(|row| row.value.data));
        }
        let row = view.get::<KvVersions>(&(self.key, version))?;
        Ok(row.map(|row| row.value))
    }

    /// Writes it. What kv version 1 wrote is taken over: before anything else is written of the
    /// secret, so that it can be deleted behind this.
    pub(super) fn store(
        self,
        view: &View<'_>,
        txn: &mut Txn,
        random: &mut dyn Random,
    ) -> Result<(), NameError> {
        let barrier = view.barrier();
        let create_revision = match self.from {
            From::Row(create_revision) => create_revision,
            From::Nowhere => {
                return Ok(txn.insert::<KvMetadatas>(barrier, &self.key, &self.record, random)?);
            }
            From::Version1 => {
                let kept = self.version(1).is_some_and(|info| !info.destroyed);
                if let Some(data) = self.data(view, 1)?
                    && kept
                {
                    txn.insert::<KvVersions>(barrier, &(self.key, 1), &data, random)?;
                }
                txn.delete::<Secrets>(&self.key);
                return Ok(txn.insert::<KvMetadatas>(barrier, &self.key, &self.record, random)?);
            }
        };
        let row = Row {
            key: self.key,
            value: self.record,
            create_revision,
            mod_revision: 0,
        };
        Ok(txn.update::<KvMetadatas>(barrier, &row, random)?)
    }

    /// Deletes it with all its versions.
    pub(super) fn delete(&self, txn: &mut Txn) {
        txn.delete::<Secrets>(&self.key);
        txn.delete::<KvMetadatas>(&self.key);
        for info in self.record.versions.iter().filter(|info| !info.destroyed) {
            txn.delete::<KvVersions>(&(self.key, info.version));
        }
    }

    /// The caller's own metadata as clients see it.
    pub(super) fn custom(&self) -> Value {
        match self.record.custom.is_empty() {
            true => Value::Null,
            false => {
                let entries = self.record.custom.iter();
                let entries = entries.map(|(key, value)| (key.to_owned(), value.into()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// A version as clients see it.
    pub(super) fn version_json(&self, info: &KvVersionInfo) -> Value {
        let mut shown = version_times(info);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("custom_metadata".into(), self.custom());
            fields.insert("version".into(), json!(info.version));
        }
        shown
    }
}

/// What is known of each version.
pub(super) fn version_times(info: &KvVersionInfo) -> Value {
    json!({
        "created_time": json::time(info.created),
        "deletion_time": info.deletion.map_or_else(String::new, json::time),
        "destroyed": info.destroyed,
    })
}
