//! The folders of a mount, as rows of [`SecretNames`].
//!
//! Every change rests on what it read: two changes that touch the same folder's last name send
//! one another back; those that find their folders in place don't.

use std::fmt;

use crate::{
    barrier::{Barrier, BarrierError, NameHash},
    random::Random,
    state::{
        ReadError, SecretKey, SecretNameKey, SecretNameRecord, SecretNames, Txn, View, key_of,
        range_of, successor,
    },
    types::{MountId, limits::PAGE_ROWS_MAX},
};

/// A name in a mount: the mount itself, a folder or a secret. `Debug` doesn't show it.
#[derive(Clone)]
pub struct Place<'a> {
    mount: MountId,
    /// The segments with their hashes, from the top.
    steps: Vec<(&'a str, NameHash)>,
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}

/// A page of a listing. `Debug` shows no name.
#[derive(Clone, PartialEq, Eq)]
pub struct NamePage {
    /// The names; folders end in "/".
    pub names: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<NameHash>,
}

impl fmt::Debug for NamePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamePage")
            .field("names", &self.names.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Place<'a> {
    /// The place of these segments; of none: the mount itself.
    pub fn new(barrier: &Barrier, mount: MountId, segments: &[&'a str]) -> Self {
        let mut hash = top(mount);
        let step = |segment: &&'a str| {
            hash = barrier.name_hash(&hash, segment);
            (*segment, hash)
        };
        Self {
            mount,
            steps: segments.iter().map(step).collect(),
        }
    }

    /// The key of what belongs to this name.
    pub fn key(&self) -> SecretKey {
        (self.mount, self.hash())
    }

    fn hash(&self) -> NameHash {
        self.steps.last().map_or(top(self.mount), |(_, hash)| *hash)
    }

    /// The key of the name at this depth, from 0.
    fn name_key(&self, depth: usize) -> Option<SecretNameKey> {
        let (_, name) = self.steps.get(depth)?;
        let folder = match depth.checked_sub(1) {
            None => top(self.mount),
            Some(above) => self.steps.get(above)?.1,
        };
        Some(SecretNameKey {
            mount: self.mount,
            folder,
            name: *name,
        })
    }

    /// Puts the name in place as a secret, and all above it as folders.
    pub fn add(
        &self,
        view: &View<'_>,
        txn: &mut Txn,
        random: &mut dyn Random,
    ) -> Result<(), NameError> {
        let barrier = view.barrier();
        for (depth, (name, _)) in self.steps.iter().enumerate() {
            let Some(key) = self.name_key(depth) else {
                continue;
            };
            let is_secret = depth + 1 == self.steps.len();
            match view.get::<SecretNames>(&key)? {
                None => {
                    let record = SecretNameRecord {
                        name: (*name).to_owned(),
                        secret: is_secret,
                        folder: !is_secret,
                    };
                    txn.insert::<SecretNames>(barrier, &key, &record, random)?;
                }
                Some(row) if is_secret && row.value.secret || !is_secret && row.value.folder => {}
                Some(mut row) => {
                    row.value.secret |= is_secret;
                    row.value.folder |= !is_secret;
                    txn.update::<SecretNames>(barrier, &row, random)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the secret's name away, and the folders above it that hold nothing else.
    pub fn remove(
        &self,
        view: &View<'_>,
        txn: &mut Txn,
        random: &mut dyn Random,
    ) -> Result<(), NameError> {
        let mut is_secret = true;
        for depth in (0..self.steps.len()).rev() {
            let Some(key) = self.name_key(depth) else {
                break;
            };
            let Some(mut row) = view.get::<SecretNames>(&key)? else {
                break;
            };
            if is_secret {
                row.value.secret = false;
            } else {
                row.value.folder = false;
            }
            is_secret = false;
            if row.value.secret || row.value.folder {
                txn.update::<SecretNames>(view.barrier(), &row, random)?;
                break;
            }
            txn.delete::<SecretNames>(&key);
            // One that is added meanwhile sends this back: the range counts as read.
            let folder = folder_range(self.mount, &key.folder);
            let left = view.scan::<SecretNames>(folder, 2)?;
            if left.iter().any(|other| other.key != key) {
                break;
            }
        }
        Ok(())
    }

    /// The names in this folder after `after`, at most `limit` rows of them.
    pub fn list(
        &self,
        view: &View<'_>,
        after: Option<&NameHash>,
        limit: usize,
    ) -> Result<NamePage, ReadError> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let folder = self.hash();
        let (mut start, end) = folder_range(self.mount, &folder);
        if let Some(after) = after {
            start = successor(&key_of::<SecretNames>(&SecretNameKey {
                mount: self.mount,
                folder,
                name: *after,
            }));
        }
        let rows = view.scan::<SecretNames>((start, end), limit)?;
        let next = rows.last().filter(|_| rows.len() >= limit);
        let next = next.map(|row| row.key.name);
        let mut names = Vec::with_capacity(rows.len());
        for row in rows {
            let SecretNameRecord {
                name,
                secret,
                folder,
            } = row.value;
            if folder {
                names.push(format!("{name}/"));
            }
            if secret {
                names.push(name);
            }
        }
        Ok(NamePage { names, next })
    }
}

/// Why a name could not be put in place or taken away.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The state can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A value can't be sealed.
    #[error(transparent)]
    Seal(#[from] BarrierError),
}

/// What stands for the mount itself.
fn top(mount: MountId) -> NameHash {
    NameHash::of_mount(&mount)
}

fn folder_range(mount: MountId, folder: &NameHash) -> (bytes::Bytes, bytes::Bytes) {
    let prefix = [mount.as_bytes().as_slice(), folder.as_bytes()].concat();
    range_of::<SecretNames>(&prefix)
}
