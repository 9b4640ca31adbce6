//! Table `mount`: what is mounted where, but for what is built in.
//!
//! Key: fixed. Value: sealed; all mounts, sorted by path, so that every call on a logical path
//! rests on all of them: a mount that is changed meanwhile sends the call back. Lifetime: from
//! the first mount on.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::table::{FORMAT, Table, known_format};
use crate::types::{MountId, Path, Ttl, UnixMillis};

/// The table.
pub enum Mounts {}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRecord {
    /// Where it is mounted.
    pub path: Path,
    /// What its data lies under.
    pub id: MountId,
    /// A short id for people and policies.
    pub accessor: String,
    /// For people.
    pub description: String,
    /// Life when none is asked for; `None`: the system's.
    pub default_ttl: Option<Ttl>,
    /// Longest life; `None`: the system's.
    pub max_ttl: Option<Ttl>,
    /// When it was mounted.
    pub created: UnixMillis,
    /// What is mounted.
    pub engine: Engine,
    /// Where it was before it was moved last.
    pub moved_from: Option<Path>,
}

/// The engines that can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Keys and values.
    Kv(KvEngine),
}

/// The versions of kv.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KvEngine {
    /// One value for each key.
    V1,
    /// Versions of it.
    V2,
}

impl KvEngine {
    /// As it is written.
    pub fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Reads it back.
    pub fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}

impl Table for Mounts {
    const ID: u8 = 40;
    const NAME: &'static str = "mount";
    const SEALED: bool = true;
    type Key = ();
    /// Sorted by path.
    type Value = Vec<MountRecord>;

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    fn encode(value: &Vec<MountRecord>) -> Zeroizing<Vec<u8>> {
        let mounts = value.iter().map(|mount| proto::Mount {
            path: mount.path.as_str().into(),
            id: mount.id.as_bytes().to_vec(),
            accessor: mount.accessor.clone(),
            description: mount.description.clone(),
            default_lease_ttl_s: mount.default_ttl.map(Ttl::as_seconds),
            max_lease_ttl_s: mount.max_ttl.map(Ttl::as_seconds),
            created_ms: mount.created.get(),
            engine: Some(match mount.engine {
                Engine::Kv(kv) => proto::mount::Engine::Kv(proto::KvEngine {
                    version: kv.number(),
                }),
            }),
            moved_from: mount
                .moved_from
                .as_ref()
                .map_or_else(String::new, |path| path.as_str().to_owned()),
        });
        let plain = proto::Mounts {
            format: FORMAT,
            mounts: mounts.collect(),
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Vec<MountRecord>> {
        let plain = proto::Mounts::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        let ttl = |seconds: Option<u64>| match seconds {
            None => Some(None),
            Some(seconds) => Ttl::from_seconds(seconds).ok().map(Some),
        };
        let mount = |mount: proto::Mount| {
            Some(MountRecord {
                path: Path::parse(&mount.path).ok()?,
                id: MountId::from_slice(&mount.id)?,
                accessor: mount.accessor,
                description: mount.description,
                default_ttl: ttl(mount.default_lease_ttl_s)?,
                max_ttl: ttl(mount.max_lease_ttl_s)?,
                created: UnixMillis::new(mount.created_ms),
                engine: match mount.engine? {
                    proto::mount::Engine::Kv(kv) => Engine::Kv(KvEngine::of(kv.version)?),
                },
                moved_from: match mount.moved_from.as_str() {
                    "" => None,
                    path => Some(Path::parse(path).ok()?),
                },
            })
        };
        plain.mounts.into_iter().map(mount).collect()
    }
}
