//! Which keys may speak, worked out of what is known of the membership. Pure.
//!
//! A node's own log is the source. But a node that was away while members changed doesn't
//! know a new leader's key, and without that leader its log never learns it. So it also
//! believes members that it does know (`super::refresh`): what they tell is **added** for
//! as long as it is newer than the node's own log, and takes no right from anyone.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::types::{LogId, Member, NodeId, StoredMembership};

type Members = BTreeMap<NodeId, Member>;

/// What this node knows of the membership, and from where.
#[derive(Default)]
pub(super) struct Knowledge {
    own: Members,
    own_at: Option<LogId>,
    heard: Option<(LogId, Members)>,
}

/// The members and their keys.
#[derive(Default)]
pub(super) struct Trust {
    pub(super) members: Members,
    pub(super) by_key: HashMap<Bytes, NodeId>,
}

impl Knowledge {
    /// From this node's own log, or from the answer to its wish to join (no log id then).
    ///
    /// Once the node has seen itself among the members, a membership without it is passed
    /// over: while the log of a new node catches up it goes through the memberships of
    /// old, and by those the leader that sends the log might be a stranger. (A node that
    /// was removed has nobody to keep out.)
    pub(super) fn set_own(&mut self, members: Members, at: Option<LogId>, own_key: &[u8]) {
        if holds(&self.own, own_key) && !holds(&members, own_key) {
            tracing::debug!("a membership without this node changes nothing in whom it trusts");
            return;
        }
        self.own = members;
        self.own_at = at;
        self.heard.take_if(|(heard_at, _)| Some(*heard_at) <= at);
    }

    /// From another member. Taken only if it is newer than all else and has this node in it.
    pub(super) fn hear(&mut self, stored: &StoredMembership, own_key: &[u8]) -> bool {
        let Some(at) = *stored.log_id() else {
            return false;
        };
        let newest = self.own_at.max(self.heard.as_ref().map(|(at, _)| *at));
        let members = members_of(stored);
        if Some(at) <= newest || !holds(&members, own_key) {
            return false;
        }
        self.heard = Some((at, members));
        true
    }

    pub(super) fn trust(&self) -> Trust {
        let mut trust = Trust::default();
        let heard = self.heard.iter().map(|(_, members)| members);
        // What was heard is newer: of two addresses its is the right one.
        for (id, member) in std::iter::once(&self.own).chain(heard).flatten() {
            if !member.public_key.is_empty() {
                trust.by_key.insert(member.public_key.clone(), *id);
            }
            trust.members.insert(*id, member.clone());
        }
        trust
    }
}

pub(super) fn members_of(stored: &StoredMembership) -> Members {
    stored
        .membership()
        .nodes()
        .map(|(id, member)| (*id, member.clone()))
        .collect()
}

fn holds(members: &Members, key: &[u8]) -> bool {
    members.values().any(|member| member.public_key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::types::Membership;

    const OWN: &[u8] = b"key-3";

    fn members(ids: &[NodeId]) -> Members {
        ids.iter()
            .map(|id| {
                let member = Member {
                    public_key: format!("key-{id}").into(),
                    ..Default::default()
                };
                (*id, member)
            })
            .collect()
    }

    fn at(index: u64) -> LogId {
        LogId::new(1.into(), index)
    }

    fn stored(index: u64, ids: &[NodeId]) -> StoredMembership {
        let voters = vec![ids.iter().copied().collect::<BTreeSet<_>>()];
        StoredMembership::new(
            Some(at(index)),
            Membership::new(voters, members(ids)).unwrap(),
        )
    }

    fn trusted(knowledge: &Knowledge) -> Vec<NodeId> {
        let mut ids: Vec<_> = knowledge.trust().by_key.into_values().collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_own_log_adds_and_removes() {
        let mut knowledge = Knowledge::default();
        assert!(trusted(&knowledge).is_empty());
        knowledge.set_own(members(&[1, 2, 3]), Some(at(1)), OWN);
        knowledge.set_own(members(&[2, 3, 4]), Some(at(2)), OWN);
        assert_eq!(trusted(&knowledge), [2, 3, 4]);
        // An entry that was not committed is taken back.
        knowledge.set_own(members(&[1, 2, 3]), Some(at(1)), OWN);
        assert_eq!(trusted(&knowledge), [1, 2, 3]);
    }

    #[test]
    fn memberships_from_before_the_own_entry_are_passed_over() {
        let mut knowledge = Knowledge::default();
        knowledge.set_own(members(&[1, 2, 3]), None, OWN);
        knowledge.set_own(members(&[1]), Some(at(0)), OWN);
        assert_eq!(trusted(&knowledge), [1, 2, 3]);
        knowledge.set_own(members(&[2, 3]), Some(at(9)), OWN);
        assert_eq!(trusted(&knowledge), [2, 3]);
    }

    #[test]
    fn what_is_heard_is_added_while_it_is_newer() {
        let mut knowledge = Knowledge::default();
        knowledge.set_own(members(&[1, 2, 3]), Some(at(5)), OWN);
        assert!(!knowledge.hear(&stored(5, &[2, 3, 4]), OWN), "not newer");
        assert!(
            !knowledge.hear(&stored(8, &[2, 4]), OWN),
            "without this node"
        );
        assert!(knowledge.hear(&stored(8, &[2, 3, 4]), OWN));
        assert_eq!(trusted(&knowledge), [1, 2, 3, 4]);
        assert!(
            !knowledge.hear(&stored(7, &[3, 9]), OWN),
            "older than heard"
        );
        knowledge.set_own(members(&[2, 3]), Some(at(6)), OWN);
        assert_eq!(trusted(&knowledge), [2, 3, 4]);
        // The log has caught up: it alone counts.
        knowledge.set_own(members(&[2, 3, 5]), Some(at(8)), OWN);
        assert_eq!(trusted(&knowledge), [2, 3, 5]);
    }
}
