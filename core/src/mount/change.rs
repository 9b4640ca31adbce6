//! Mounting, tuning, moving, unmounting. A mount's data lies under its random id: moving
//! touches none of it, and unmounting deletes it by ranges, however much it is.

use super::{
    ManageMounts, MountError, MountInfo, MountPrecondition,
    table::{MountTable, is_built_in, is_reserved},
};
use crate::{
    random::{Random, array},
    state::{
        Engine, KvConfigs, KvEngine, KvMetadatas, KvVersions, MountRecord, SecretNames, Secrets,
        Txn, range_of,
    },
    token::{Permit, Plan},
    types::{
        MountId, Path, Ttl,
        limits::{MOUNT_DESCRIPTION_BYTES_MAX, MOUNTS_MAX},
    },
};

/// Random bytes of an accessor.
const ACCESSOR_RANDOM_BYTES: usize = 8;

/// What is to be mounted.
#[derive(Clone, Debug)]
pub struct NewMount {
    /// Where.
    pub path: Path,
    /// What.
    pub engine: Engine,
    /// For people.
    pub description: String,
    /// Life when none is asked for; `None`: the system's.
    pub default_ttl: Option<Ttl>,
    /// Longest life; `None`: the system's.
    pub max_ttl: Option<Ttl>,
}

/// What is to become of a mount; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// For people.
    pub description: Option<String>,
    /// Life when none is asked for; inner `None`: the system's.
    pub default_ttl: Option<Option<Ttl>>,
    /// Longest life; inner `None`: the system's.
    pub max_ttl: Option<Option<Ttl>>,
    /// Version of kv.
    pub kv: Option<KvEngine>,
}

/// Mounts an engine.
pub fn mount(
    permit: &Permit<'_, ManageMounts<'_>>,
    new: NewMount,
    random: &mut dyn Random,
) -> Result<Plan<MountInfo>, MountError> {
    let context = permit.context;
    let mut table = MountTable::load(context.view)?;
    table.check_free("path", &new.path)?;
    if table.mounts().len() >= MOUNTS_MAX {
        return Err(MountPrecondition::TooMany.into());
    }
    let engine = match new.engine {
        Engine::Kv(_) => "kv",
    };
    let random_part: [u8; ACCESSOR_RANDOM_BYTES] = array(random);
    let record = MountRecord {
        path: new.path,
        id: MountId::issue(random),
        accessor: format!("{engine}_{}", hex::encode(random_part)),
        description: new.description,
        default_ttl: new.default_ttl,
        max_ttl: new.max_ttl,
        created: context.now,
        engine: new.engine,
        moved_from: None,
    };
    check(&record, context.ttl.max_ttl())?;
    let response = MountInfo::of(&record, context.ttl);
    table.mounts_mut().push(record);
    let mut txn = Txn::default();
    table.store(context.view, &mut txn, random)?;
    Ok(Plan { txn, response })
}

/// Unmounts an engine and deletes what it holds; says whether there was one.
pub fn unmount(
    permit: &Permit<'_, ManageMounts<'_>>,
    path: &Path,
    random: &mut dyn Random,
) -> Result<Plan<bool>, MountError> {
    let view = permit.context.view;
    if is_reserved(path) {
        return Err(MountPrecondition::BuiltIn.into());
    }
    let mut table = MountTable::load(view)?;
    let mut txn = Txn::default();
    let Some(at) = table.position(path) else {
        return Ok(Plan {
            txn,
            response: false,
        });
    };
    let gone = table.mounts_mut().remove(at);
    table.store(view, &mut txn, random)?;
    // Whatever is being written there rests on the mount table, and is sent back.
    let id = gone.id.as_bytes();
    txn.delete_range(range_of::<SecretNames>(id));
    txn.delete_range(range_of::<Secrets>(id));
    txn.delete_range(range_of::<KvMetadatas>(id));
    txn.delete_range(range_of::<KvVersions>(id));
    txn.delete::<KvConfigs>(&gone.id);
    Ok(Plan {
        txn,
        response: true,
    })
}

/// Changes a mount.
pub fn tune(
    permit: &Permit<'_, ManageMounts<'_>>,
    path: &Path,
    change: Change,
    random: &mut dyn Random,
) -> Result<Plan<MountInfo>, MountError> {
    let context = permit.context;
    edit(permit, path, random, |_, record| {
        if let Some(description) = change.description {
            record.description = description;
        }
        record.default_ttl = change.default_ttl.unwrap_or(record.default_ttl);
        record.max_ttl = change.max_ttl.unwrap_or(record.max_ttl);
        if let Some(to) = change.kv {
            let Engine::Kv(version) = &mut record.engine;
            if to < *version {
                return Err(MountPrecondition::Downgrade.into());
            }
            *version = to;
        }
        check(record, context.ttl.max_ttl())
    })
}

/// Moves a mount.
pub fn remount(
    permit: &Permit<'_, ManageMounts<'_>>,
    from: &Path,
    to: Path,
    random: &mut dyn Random,
) -> Result<Plan<MountInfo>, MountError> {
    edit(permit, from, random, |table, record| {
        table.check_free("to", &to)?;
        record.moved_from = Some(std::mem::replace(&mut record.path, to));
        Ok(())
    })
}

/// Changes one mount; the table that the change sees is without it.
fn edit(
    permit: &Permit<'_, ManageMounts<'_>>,
    path: &Path,
    random: &mut dyn Random,
    change: impl FnOnce(&MountTable, &mut MountRecord) -> Result<(), MountError>,
) -> Result<Plan<MountInfo>, MountError> {
    let context = permit.context;
    if is_built_in(path) {
        return Err(MountPrecondition::BuiltIn.into());
    }
    let mut table = MountTable::load(context.view)?;
    let at = table.position(path).ok_or(MountError::NotFound)?;
    let mut record = table.mounts_mut().remove(at);
    change(&table, &mut record)?;
    let response = MountInfo::of(&record, context.ttl);
    table.mounts_mut().push(record);
    let mut txn = Txn::default();
    table.store(context.view, &mut txn, random)?;
    Ok(Plan { txn, response })
}

/// What holds for every mount.
fn check(record: &MountRecord, system_max: Ttl) -> Result<(), MountError> {
    let text = &record.description;
    if text.len() > MOUNT_DESCRIPTION_BYTES_MAX || text.chars().any(char::is_control) {
        let problem = format!("at most {MOUNT_DESCRIPTION_BYTES_MAX} bytes, no control characters");
        return Err(MountError::argument("description", problem));
    }
    let max = record.max_ttl.unwrap_or(system_max);
    if record.default_ttl.is_some_and(|default| default > max) {
        let problem = "longer than the longest life that the mount allows";
        return Err(MountError::argument("default_lease_ttl", problem));
    }
    Ok(())
}
