//! `data/` and `subkeys/`: reading, writing, patching, soft deletion of the latest version.

use tenure_core::{
    state::{KvConfigRecord, KvConfigs, KvVersionInfo, KvVersions},
    types::{
        Secret,
        limits::{KV_VERSIONS_DEFAULT, SECRET_DATA_BYTES_MAX},
    },
};

use zeroize::Zeroizing;

use super::{
    super::{Ask, EngineError, Reply, json, tree},
    Call,
    known::Known,
};

impl Call<'_, '_> {
    pub(super) fn data(&mut self, ask: Ask<'_>) -> Result<Reply, EngineError> {
        match ask {
            Ask::Read(parameters) => {
                let fields = json::parse(parameters)?;
                let version = json::number(&fields, "version")?.unwrap_or(0);
                self.show("data", version, |text| Ok(Zeroizing::new(text.to_owned())))
            }
            Ask::Write(data) => self.write(data),
            Ask::Patch(data) => self.patch(data),
            Ask::Delete => self.delete_latest(),
            Ask::List(..) => Err(EngineError::Unsupported),
        }
    }

    pub(super) fn subkeys(&mut self, ask: Ask<'_>) -> Result<Reply, EngineError> {
        let Ask::Read(parameters) = ask else {
            return Err(EngineError::Unsupported);
        };
        let fields = json::parse(parameters)?;
        let version = json::number(&fields, "version")?.unwrap_or(0);
        // 0, as not given: all of them.
        let depth = json::number(&fields, "depth")?.filter(|depth| *depth > 0);
        self.show("subkeys", version, |text| {
            tree::shape(text, depth.unwrap_or(u64::MAX))
        })
    }

    /// A version, with its metadata. One that is deleted shows that alone.
    fn show(
        &self,
        name: &str,
        version: u64,
        view_of: impl FnOnce(&str) -> Result<Zeroizing<String>, EngineError>,
    ) -> Result<Reply, EngineError> {
        let context = self.desk.context;
        let known = Known::load(context.view, self.place.key())?.ok_or(EngineError::NotFound)?;
        let info = known.version(version).ok_or(EngineError::NotFound)?;
        let metadata = known.version_json(info);
        let data = match info.is_readable(context.now) {
            false => None,
            true => known.data(context.view, info.version)?,
        };
        let Some(data) = data else {
            return Ok(Reply {
                deleted: true,
                ..Reply::data(format!("{{\"{name}\":null,\"metadata\":{metadata}}}"))
            });
        };
        let shown = view_of(text(&data)?)?;
        let metadata = metadata.to_string();
        // In one piece: what grows leaves copies behind.
        let parts = ["{\"", name, "\":", &shown, ",\"metadata\":", &metadata, "}"];
        Ok(Reply::data(parts.concat()))
    }

    fn write(&mut self, data: &[u8]) -> Result<Reply, EngineError> {
        let fields = json::parse(data)?;
        let new = json::object_field(&fields, "data")?
            .ok_or_else(|| EngineError::argument("data", "its field \"data\" is missing"))?;
        let cas = cas(&fields)?;
        let now = self.desk.context.now;
        let known = Known::load(self.desk.context.view, self.place.key())?
            .unwrap_or_else(|| Known::new(self.place.key(), now));
        let mut reply = self.add_version(known, cas, new)?;
        reply.warnings = json::ignored(&fields, &["data", "options", "version"]);
        Ok(reply)
    }

    fn patch(&mut self, data: &[u8]) -> Result<Reply, EngineError> {
        let fields = json::parse(data)?;
        let patch = json::object_field(&fields, "data")?
            .ok_or_else(|| EngineError::argument("data", "its field \"data\" is missing"))?;
        let cas = cas(&fields)?;
        let context = self.desk.context;
        let known = Known::load(context.view, self.place.key())?.ok_or(EngineError::NotFound)?;
        let latest = known
            .version(0)
            .filter(|info| info.is_readable(context.now));
        let latest = latest.ok_or(EngineError::NotFound)?;
        let old = known.data(context.view, latest.version)?;
        let old = old.ok_or(EngineError::NotFound)?;
        let merged = tree::merge(text(&old)?, patch)?;
        if merged.len() > SECRET_DATA_BYTES_MAX {
            return Err(EngineError::TooLarge);
        }
        let mut reply = self.add_version(known, cas, &merged)?;
        reply.warnings = json::ignored(&fields, &["data", "options"]);
        Ok(reply)
    }

    fn add_version(
        &mut self,
        mut known: Known,
        cas: Option<u64>,
        data: &str,
    ) -> Result<Reply, EngineError> {
        let (view, now) = (self.desk.context.view, self.desk.context.now);
        let config = self.stored_config()?;
        match cas {
            Some(cas) if cas != known.record.current => return Err(EngineError::CasMismatch),
            None if config.cas_required || known.record.cas_required => {
                return Err(EngineError::CasRequired);
            }
            _ => {}
        }
        if known.is_new() {
            self.place.add(view, &mut self.txn, self.random)?;
        }
        let record = &mut known.record;
        record.current += 1;
        record.updated = now;
        let info = KvVersionInfo {
            version: record.current,
            created: now,
            deletion: delete_after(&config, record.delete_after).map(|ttl| now.saturating_add(ttl)),
            destroyed: false,
        };
        record.versions.push(info);
        let pruned = prune(&mut known, &config);
        let (key, answer) = (known.key, known.version_json(&info).to_string());
        known.store(view, &mut self.txn, self.random)?;
        for version in pruned {
            self.txn.delete::<KvVersions>(&(key, version));
        }
        let data = Secret::new(data.as_bytes().to_vec());
        let key = (key, info.version);
        self.txn
            .insert::<KvVersions>(view.barrier(), &key, &data, self.random)?;
        Ok(Reply::data(answer))
    }

    fn delete_latest(&mut self) -> Result<Reply, EngineError> {
        let (view, now) = (self.desk.context.view, self.desk.context.now);
        if let Some(mut known) = Known::load(view, self.place.key())?
            && let Some(info) = known.version_mut(0).filter(|info| info.is_readable(now))
        {
            info.deletion = Some(now);
            known.record.updated = now;
            known.store(view, &mut self.txn, self.random)?;
        }
        Ok(Reply::default())
    }

    /// What the mount is configured to.
    pub(super) fn stored_config(&self) -> Result<KvConfigRecord, EngineError> {
        let row = self
            .desk
            .context
            .view
            .get::<KvConfigs>(&self.spot.mount.id)?;
        Ok(row.map(|row| row.value).unwrap_or_default())
    }
}

/// What was stored was checked before.
fn text(data: &Secret<Vec<u8>>) -> Result<&str, EngineError> {
    std::str::from_utf8(data.expose())
        .map_err(|_| EngineError::argument("data", "what is stored isn't text"))
}

/// The version that a write follows; 0: none.
fn cas(fields: &json::Fields<'_>) -> Result<Option<u64>, EngineError> {
    match json::object_field(fields, "options")? {
        None => Ok(None),
        Some(options) => json::number(&json::fields(options)?, "cas"),
    }
}

/// After which time a new version is deleted: the secret's own wish, within the mount's.
fn delete_after(
    config: &KvConfigRecord,
    own: Option<tenure_core::types::Ttl>,
) -> Option<tenure_core::types::Ttl> {
    match (config.delete_after, own) {
        (Some(mount), Some(own)) => Some(mount.min(own)),
        (mount, own) => own.or(mount),
    }
}

/// Forgets the versions that are too many, and says which.
fn prune(known: &mut Known, config: &KvConfigRecord) -> Vec<u64> {
    let record = &mut known.record;
    let kept = record.max_versions.or(config.max_versions);
    let kept = u64::from(kept.unwrap_or(KV_VERSIONS_DEFAULT));
    let Some(last) = record.current.checked_sub(kept).filter(|last| *last > 0) else {
        return Vec::new();
    };
    let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut record.versions)
        .into_iter()
        .partition(|info| info.version <= last);
    record.versions = stay;
    if !gone.is_empty() {
        record.oldest = last + 1;
    }
    gone.into_iter().map(|info| info.version).collect()
}
