//! The policies of one token, compiled: an index from paths to grants. It never asks who
//! the caller is; that went in when it was compiled.

use std::collections::BTreeMap;
use std::fmt;

use super::capability::Capability;
use super::decide::is_canonical;
use super::index::HeadIndex;
use super::pattern::Pattern;
use super::rule::{Grant, Policy};
use super::template::Identity;
use crate::types::limits::ACL_RULES_LOOKED_INTO_MAX;

/// What the policies of one token allow together. Compiled once, asked often.
///
/// `Debug` shows counts only.
pub struct Acl {
    pub(super) root: bool,
    /// Sorted by path.
    exact: Vec<(Box<str>, usize)>,
    wild: HeadIndex,
    grants: Vec<Grant>,
}

impl Acl {
    /// Merges policies. With `root` among them it allows everything.
    ///
    /// `identity` fills the templates in their paths. A rule whose template it can't fill is
    /// skipped, a `deny` too: without an identity, with a value that is missing or empty,
    /// and with one that doesn't fit into one segment. What it does fill in stands for
    /// itself: `*` and `+` in it are ordinary characters.
    pub fn compile(policies: &[&Policy], identity: Option<&Identity>) -> Self {
        let mut merged: BTreeMap<Pattern, Grant> = BTreeMap::new();
        for rule in policies.iter().flat_map(|policy| &policy.rules) {
            if let Some(pattern) = rule.path.fill(identity) {
                merged
                    .entry(pattern)
                    .and_modify(|grant| grant.merge(&rule.grant))
                    .or_insert_with(|| rule.grant.clone());
            }
        }
        let (mut exact, mut wild) = (Vec::new(), Vec::new());
        for (at, pattern) in merged.keys().enumerate() {
            if pattern.is_exact() {
                exact.push((Box::from(pattern.head()), at));
            } else {
                wild.push((pattern, at));
            }
        }
        exact.sort();
        Self {
            root: policies.iter().any(|policy| policy.root),
            wild: HeadIndex::new(wild),
            exact,
            grants: merged.into_values().collect(),
        }
    }

    /// What `sys/capabilities` shows for a path, sorted: `["root"]`, the capabilities of the
    /// rule that decides, or `["deny"]` where none grants anything.
    ///
    /// The path is as a person may write it: slashes before it are dropped, and with a slash
    /// at its end it is also looked up without, as for a list. One that isn't canonical shows
    /// `["deny"]`, because no call on it is allowed.
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        let path = path.trim_start_matches('/');
        if !is_canonical(path) {
            return vec![Capability::Deny.as_str()];
        }
        match self.grant(path, path.ends_with('/')) {
            Some(grant) if !grant.capabilities.grants_nothing() => {
                grant.capabilities.iter().map(Capability::as_str).collect()
            }
            _ => vec![Capability::Deny.as_str()],
        }
    }

    /// Whether anything is allowed at a folder or in it: whether some rule that decides on a
    /// path there grants something. Of so many rules with wildcards that others may stand in front
    /// of them all, some that grant something are taken to decide somewhere.
    pub fn reaches(&self, folder: &str) -> bool {
        if self.root {
            return true;
        }
        let bare = folder.trim_end_matches('/');
        let folder = [bare, "/"].concat();
        let grants = |rule: usize| {
            let grant = self.grants.get(rule);
            grant.is_some_and(|grant| !grant.capabilities.grants_nothing())
        };
        let from = self.exact.partition_point(|(path, _)| **path < *folder);
        let exact = self.exact.get(from..).unwrap_or_default().iter();
        let mut inside = exact.take_while(|(path, _)| path.starts_with(&*folder));
        let decides = |path: &String| {
            let grant = self.grant(path, true);
            grant.is_some_and(|grant| !grant.capabilities.grants_nothing())
        };
        // A rule that denies decides nothing in favour of anyone, and isn't asked.
        let wild = self
            .wild
            .inside(&folder)
            .filter(|(rule, paths)| grants(*rule) && !paths.is_empty());
        let mut looked_into = 0;
        let mut wild = wild.map(|(_, paths)| {
            looked_into += 1;
            looked_into > ACL_RULES_LOOKED_INTO_MAX || paths.iter().any(decides)
        });
        self.exact(bare).is_some_and(grants)
            || inside.any(|(_, rule)| grants(*rule))
            || wild.any(|reached| reached)
    }

    /// The one rule that decides. With `folder`, a path that ends in a slash may also be
    /// meant by a rule without it; what is exact goes first, the slash goes before none.
    pub(super) fn grant(&self, path: &str, folder: bool) -> Option<&Grant> {
        let bare = path.strip_suffix('/').filter(|_| folder);
        let rule = self
            .exact(path)
            .or_else(|| self.exact(bare?))
            .or_else(|| self.wild.find(path))
            .or_else(|| self.wild.find(bare?))?;
        self.grants.get(rule)
    }

    fn exact(&self, path: &str) -> Option<usize> {
        let found = self.exact.binary_search_by(|(key, _)| (**key).cmp(path));
        found
            .ok()
            .and_then(|at| self.exact.get(at))
            .map(|(_, rule)| *rule)
    }
}

impl fmt::Debug for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acl")
            .field("root", &self.root)
            .field("rules", &self.grants.len())
            .finish_non_exhaustive()
    }
}
