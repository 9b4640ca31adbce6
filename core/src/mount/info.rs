//! What is shown of mounts, the built-in ones included. It writes nothing.

use super::{
    BUILT_IN, CUBBYHOLE, ManageMounts, MountError,
    table::{MountTable, covers, rest},
};
use crate::{
    barrier::{Barrier, NameHash},
    state::{Engine, KvEngine, MountRecord},
    token::{Caller, Context, Permit, TtlConfig, allowed, authorize},
    types::{MountId, Path, Ttl},
};

/// A mount as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Its path, without "/" at the end.
    pub path: String,
    /// What is mounted.
    pub kind: MountType,
    /// For people.
    pub description: String,
    /// A short id.
    pub accessor: String,
    /// Its id.
    pub id: MountId,
    /// Default and longest life as configured; `None`: the system's.
    pub configured: (Option<Ttl>, Option<Ttl>),
    /// Default and longest life as they hold.
    pub effective: (Ttl, Ttl),
    /// Where it was before it was moved last.
    pub moved_from: Option<String>,
}

/// What can be mounted, the built-in ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountType {
    /// A secrets engine that was mounted.
    Engine(Engine),
    /// Every token's own secrets.
    Cubbyhole,
    /// Tokens, which have a service of their own.
    Token,
    /// The cluster itself, which has services of its own.
    System,
}

impl MountType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine(Engine::Kv(_)) => "kv",
            Self::Cubbyhole => "cubbyhole",
            Self::Token => "token",
            Self::System => "system",
        }
    }

    /// The version, where it is kv.
    pub fn kv(self) -> Option<KvEngine> {
        match self {
            Self::Engine(Engine::Kv(version)) => Some(version),
            _ => None,
        }
    }
}

impl MountInfo {
    pub(super) fn of(record: &MountRecord, system: &TtlConfig) -> Self {
        Self {
            path: record.path.as_str().to_owned(),
            kind: MountType::Engine(record.engine),
            description: record.description.clone(),
            accessor: record.accessor.clone(),
            id: record.id,
            configured: (record.default_ttl, record.max_ttl),
            effective: effective(record, system),
            moved_from: record
                .moved_from
                .as_ref()
                .map(|path| path.as_str().to_owned()),
        }
    }

    fn built_in(path: &str, barrier: &Barrier, system: &TtlConfig) -> Self {
        let (kind, description) = match path {
            CUBBYHOLE => (MountType::Cubbyhole, "every token's own secrets"),
            "sys" => (MountType::System, "the cluster itself"),
            _ => (MountType::Token, "tokens"),
        };
        // Nothing is stored of it: its id is always the same in a cluster. No name on disk
        // has this hash, since none holds "/".
        let hash = barrier.name_hash(&NameHash::ROOT, &format!("{path}/"));
        let id = MountId::of_name(&hash);
        let short = hex::encode(id.as_bytes().get(..4).unwrap_or_default());
        Self {
            path: path.to_owned(),
            kind,
            description: description.to_owned(),
            accessor: format!("{}_{short}", kind.name()),
            id,
            configured: (None, None),
            effective: (system.default_ttl(), system.max_ttl()),
            moved_from: None,
        }
    }
}

impl MountRecord {
    /// Life of what it hands out when none is asked for.
    pub fn effective_default_ttl(&self, system: &TtlConfig) -> Ttl {
        effective(self, system).0
    }
}

/// Default and longest life. A maximum below the system's default cuts that, too.
fn effective(record: &MountRecord, system: &TtlConfig) -> (Ttl, Ttl) {
    let max = record.max_ttl.unwrap_or(system.max_ttl());
    let default = record.default_ttl.unwrap_or(system.default_ttl());
    (default.min(max), max)
}

/// All mounts, sorted by path.
pub fn list(permit: &Permit<'_, ManageMounts<'_>>) -> Result<Vec<MountInfo>, MountError> {
    all(permit.context)
}

/// Those mounts in which the caller has any right, sorted by path. Where they were before isn't told.
pub fn visible(context: Context<'_>, caller: &Caller) -> Result<Vec<MountInfo>, MountError> {
    let all = all(context)?.into_iter();
    let all = all.filter_map(|found| Some((Path::parse(&found.path).ok()?, found)));
    let (paths, mounts): (Vec<_>, Vec<_>) = all.unzip();
    let looks = paths.into_iter().zip(&mounts);
    let looks = looks.map(|(path, found)| ManageMounts::Show(path, Some(found.path.clone())));
    let allowed = allowed(context, caller, looks)?;
    let shown = mounts.into_iter().zip(allowed);
    let shown = shown.filter_map(|(found, allowed)| allowed.then_some(found));
    Ok(shown
        .map(|found| MountInfo {
            moved_from: None,
            ..found
        })
        .collect())
}

/// The mount that answers for a path. Whoever has no right in it isn't told whether it is there, and
/// nobody where it was before.
pub fn answering(
    context: Context<'_>,
    caller: &Caller,
    path: &Path,
) -> Result<MountInfo, MountError> {
    let (view, system) = (context.view, context.ttl);
    let built_in = BUILT_IN.into_iter().find(|name| rest(name, path).is_some());
    let found = match built_in {
        Some(name) => Some(MountInfo::built_in(name, view.barrier(), system)),
        None => {
            let table = MountTable::load(view)?;
            let mut mounts = table.mounts().iter();
            mounts
                .find(|record| covers(&record.path, path))
                .map(|record| MountInfo::of(record, system))
        }
    };
    let mount = found.as_ref().map(|found| found.path.clone());
    authorize(context, caller, ManageMounts::Show(path.clone(), mount))?;
    let mut found = found.ok_or(MountError::NotFound)?;
    found.moved_from = None;
    Ok(found)
}

/// The mount at this very path.
pub fn read(permit: &Permit<'_, ManageMounts<'_>>, path: &Path) -> Result<MountInfo, MountError> {
    find(permit, |found| found.path == path.as_str())
}

/// The mount with this id, which it keeps when it is moved.
pub fn by_id(permit: &Permit<'_, ManageMounts<'_>>, id: MountId) -> Result<MountInfo, MountError> {
    find(permit, |found| found.id == id)
}

fn find(
    permit: &Permit<'_, ManageMounts<'_>>,
    is_it: impl Fn(&MountInfo) -> bool,
) -> Result<MountInfo, MountError> {
    let mut mounts = all(permit.context)?.into_iter();
    mounts.find(is_it).ok_or(MountError::NotFound)
}

fn all(context: Context<'_>) -> Result<Vec<MountInfo>, MountError> {
    let barrier = context.view.barrier();
    let table = MountTable::load(context.view)?;
    let mounted = table.mounts().iter();
    let mut all: Vec<_> = mounted
        .map(|record| MountInfo::of(record, context.ttl))
        .chain(BUILT_IN.map(|path| MountInfo::built_in(path, barrier, context.ttl)))
        .collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(all)
}
