//! What clients were told: the writes acknowledged, those whose fate is unknown, and those
//! that were refused. After any fault the first must be there, the last must not.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::CallError;

/// A state as a client reads it: value and revision by key.
pub type Records = BTreeMap<String, (String, u64)>;

/// The ledger of one run. Every key is written once, with a value of its own.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acked: BTreeMap<String, (String, u64)>,
    unknown: BTreeMap<String, String>,
    refused: BTreeSet<String>,
    revisions: BTreeMap<u64, String>,
    broken: Vec<String>,
}

impl Ledger {
    /// Notes how a write ended.
    pub fn note(&mut self, key: String, value: String, outcome: &Result<u64, CallError>) {
        match outcome {
            Ok(revision) => {
                if let Some(other) = self.revisions.insert(*revision, key.clone()) {
                    self.broken
                        .push(format!("revision {revision} went to {other} and {key}"));
                }
                self.acked.insert(key, (value, *revision));
            }
            Err(error) if error.is_unknown() => {
                self.unknown.insert(key, value);
            }
            Err(_) => {
                self.refused.insert(key);
            }
        }
    }

    /// Takes over the notes of another client.
    pub fn merge(&mut self, other: Self) {
        for (revision, key) in other.revisions {
            if let Some(first) = self.revisions.insert(revision, key.clone()) {
                self.broken
                    .push(format!("revision {revision} went to {first} and {key}"));
            }
        }
        self.acked.extend(other.acked);
        self.unknown.extend(other.unknown);
        self.refused.extend(other.refused);
        self.broken.extend(other.broken);
    }

    /// Number of acknowledged writes.
    pub fn acked(&self) -> usize {
        self.acked.len()
    }

    /// Number of writes of unknown fate.
    pub fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// The highest acknowledged revision.
    pub fn revision(&self) -> u64 {
        self.revisions
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
    }

    /// Judges a state. `Err` says what was lost, changed or made up.
    pub fn check(&self, revision: u64, records: &Records) -> Result<(), String> {
        let mut faults = self.broken.clone();
        if revision < self.revision() {
            faults.push(format!(
                "revision went back: {revision} < {}",
                self.revision()
            ));
        }
        for (key, (value, at)) in &self.acked {
            match records.get(key) {
                None => faults.push(format!("acknowledged write lost: {key} (revision {at})")),
                Some((found, mod_revision)) if found != value || mod_revision != at => {
                    faults.push(format!(
                        "acknowledged write changed: {key}: {at} {mod_revision}"
                    ));
                }
                Some(_) => {}
            }
        }
        for (key, (value, _)) in records {
            if self.refused.contains(key) {
                faults.push(format!("refused write applied: {key}"));
            } else if self.unknown.get(key).is_some_and(|sent| sent != value) {
                faults.push(format!("write garbled: {key}"));
            } else if !self.acked.contains_key(key) && !self.unknown.contains_key(key) {
                faults.push(format!("nobody wrote {key}"));
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        let shown = faults.len().min(8);
        Err(format!(
            "{} faults: {}",
            faults.len(),
            faults[..shown].join("; ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.note("a".into(), "1".into(), &Ok(5));
        ledger.note(
            "b".into(),
            "2".into(),
            &Err(CallError::Unknown(String::new())),
        );
        ledger.note(
            "c".into(),
            "3".into(),
            &Err(CallError::NotApplied(String::new())),
        );
        ledger
    }

    fn state(rows: &[(&str, &str, u64)]) -> Records {
        rows.iter()
            .map(|(k, v, r)| ((*k).to_owned(), ((*v).to_owned(), *r)))
            .collect()
    }

    #[test]
    fn an_unknown_write_may_be_there_or_not() {
        assert_eq!(ledger().check(5, &state(&[("a", "1", 5)])), Ok(()));
        assert_eq!(
            ledger().check(6, &state(&[("a", "1", 5), ("b", "2", 6)])),
            Ok(())
        );
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        for (revision, rows) in [
            (5, vec![]),
            (4, vec![("a", "1", 5)]),
            (5, vec![("a", "9", 5)]),
            (6, vec![("a", "1", 6)]),
            (6, vec![("a", "1", 5), ("b", "9", 6)]),
            (6, vec![("a", "1", 5), ("c", "3", 6)]),
            (6, vec![("a", "1", 5), ("d", "4", 6)]),
        ] {
            assert!(ledger().check(revision, &state(&rows)).is_err(), "{rows:?}");
        }
    }

    #[test]
    fn a_revision_is_given_once() {
        let mut first = ledger();
        let mut second = Ledger::default();
        second.note("z".into(), "1".into(), &Ok(5));
        first.merge(second);
        assert!(
            first
                .check(5, &state(&[("a", "1", 5), ("z", "1", 5)]))
                .is_err()
        );
    }
}
