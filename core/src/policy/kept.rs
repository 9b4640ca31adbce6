//! From the policies of a token, as they are kept, to what they grant. What was compiled
//! before is found by the revisions of its policies, so that it can't be older than they are.

#![expect(
    clippy::disallowed_types,
    reason = "the memo is shared by the threads of the layer above, and decides nothing"
)]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Acl, DEFAULT_POLICY_TEXT, Policy, parse};
use crate::{
    barrier::{Barrier, NameHash},
    state::{Policies, ReadError, Table, View},
    types::{
        PolicyName, PolicySet,
        limits::{ACLS_KEPT_MAX, ACLS_KEPT_TEXT_BYTES_MAX},
    },
};

/// The row of a policy.
pub fn key_of_policy(barrier: &Barrier, name: &PolicyName) -> NameHash {
    // No path has a segment with a control character: a policy and a path of the same name
    // look different on disk.
    let policies = barrier.name_hash(&NameHash::ROOT, "\0policy");
    barrier.name_hash(&policies, name.as_str())
}

/// A policy's text: as it was written, or built in; `None` if there is none of this name.
///
/// # Errors
/// The state can't be read.
pub fn text(view: &View<'_>, name: &PolicyName) -> Result<Option<String>, ReadError> {
    let row = view.get::<Policies>(&key_of_policy(view.barrier(), name))?;
    Ok(match row {
        Some(row) => Some(row.value.text),
        None if *name == PolicyName::default_policy() => Some(DEFAULT_POLICY_TEXT.to_owned()),
        None => None,
    })
}

/// Whether there is a policy of this name.
///
/// # Errors
/// The state can't be read.
pub fn exists(view: &View<'_>, name: &PolicyName) -> Result<bool, ReadError> {
    if name.is_root() || *name == PolicyName::default_policy() {
        return Ok(true);
    }
    let row = view.mod_revision::<Policies>(&key_of_policy(view.barrier(), name))?;
    Ok(row.is_some())
}

/// What was compiled from which revisions of which rows.
struct Compiled {
    rows: Vec<NameHash>,
    revisions: Vec<Option<u64>>,
    acl: Arc<Acl>,
    /// Bytes of the texts that it was compiled from.
    size: usize,
}

/// What is kept, and how much it is.
#[derive(Default)]
struct Known {
    sets: BTreeMap<PolicySet, Arc<Compiled>>,
    size: usize,
}

impl Known {
    /// Keeps one more. Nobody has so many sets of policies in use, nor such large ones, that others
    /// must go; whoever has pays by compiling again.
    fn keep(&mut self, policies: &PolicySet, entry: Arc<Compiled>) {
        let replaced = self.sets.remove(policies).map_or(0, |old| old.size);
        self.size = self.size.saturating_sub(replaced);
        let size = self.size.saturating_add(entry.size);
        if self.sets.len() >= ACLS_KEPT_MAX || size > ACLS_KEPT_TEXT_BYTES_MAX {
            *self = Self::default();
        }
        if entry.size <= ACLS_KEPT_TEXT_BYTES_MAX {
            self.size += entry.size;
            self.sets.insert(policies.clone(), entry);
        }
    }
}

/// What was compiled lately. It saves work and decides nothing: an entry counts only for the
/// revisions that it was compiled from. It holds policies in clear: it goes when the node is
/// sealed.
pub struct AclMemo {
    root: Arc<Acl>,
    compiled: Mutex<Known>,
}

impl Default for AclMemo {
    fn default() -> Self {
        Self {
            root: Arc::new(Acl::compile(&[&Policy::root()], None)),
            compiled: Mutex::default(),
        }
    }
}

impl fmt::Debug for AclMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AclMemo(..)")
    }
}

impl AclMemo {
    /// What these policies grant, as the view shows them. A policy that doesn't exist grants
    /// nothing. The view notes each of them as read, those that don't exist too.
    ///
    /// # Errors
    /// The state can't be read, or holds a text that isn't a policy.
    pub fn of(&self, view: &View<'_>, policies: &PolicySet) -> Result<Arc<Acl>, ReadError> {
        if policies.is_root() {
            return Ok(Arc::clone(&self.root));
        }
        let kept = self.known().sets.get(policies).cloned();
        let rows = match &kept {
            Some(kept) => kept.rows.clone(),
            None => policies
                .iter()
                .map(|name| key_of_policy(view.barrier(), name))
                .collect(),
        };
        let revisions = rows.iter().map(|row| view.mod_revision::<Policies>(row));
        let revisions = revisions.collect::<Result<Vec<_>, _>>()?;
        if let Some(kept) = kept.filter(|kept| kept.revisions == revisions) {
            return Ok(Arc::clone(&kept.acl));
        }
        let (acl, size) = compile(view, policies)?;
        let acl = Arc::new(acl);
        let entry = Compiled {
            rows,
            revisions,
            acl: Arc::clone(&acl),
            size,
        };
        self.known().keep(policies, Arc::new(entry));
        Ok(acl)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiles them, and says of how many bytes of text.
fn compile(view: &View<'_>, policies: &PolicySet) -> Result<(Acl, usize), ReadError> {
    let (mut parsed, mut size) = (Vec::new(), 0);
    for name in policies.iter() {
        if let Some(text) = text(view, name)? {
            let policy = parse(&text).map_err(|_| ReadError::Malformed {
                table: Policies::NAME,
            })?;
            parsed.push(policy);
            size += text.len();
        }
    }
    let acl = Acl::compile(&parsed.iter().collect::<Vec<_>>(), None);
    Ok((acl, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_by_its_size() {
        let set = |name: &str| PolicySet::parse([name]).unwrap();
        let compiled = |size| {
            Arc::new(Compiled {
                rows: Vec::new(),
                revisions: Vec::new(),
                acl: Arc::new(Acl::compile(&[], None)),
                size,
            })
        };
        let third = ACLS_KEPT_TEXT_BYTES_MAX / 3;
        let mut known = Known::default();
        for name in ["a", "b", "b", "c", "c", "a"] {
            known.keep(&set(name), compiled(third));
        }
        assert_eq!((known.sets.len(), known.size), (3, third * 3));
        known.keep(&set("d"), compiled(third));
        assert_eq!((known.sets.len(), known.size), (1, third));
        known.keep(&set("e"), compiled(ACLS_KEPT_TEXT_BYTES_MAX + 1));
        assert_eq!((known.sets.len(), known.size), (0, 0));
    }
}
