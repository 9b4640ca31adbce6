//! What must hold over the whole life of a cluster, judged by the trace lines of its nodes:
//! a node's vote in a term never changes, across restarts too, and a term has one leader.
//!
//! The lines: `vote saved term=<t> node_id=<n> committed=<c>` once a vote is on disk, before
//! it is answered; `leading term=<t> id=<n>`. A committed vote is no grant: it says that a
//! quorum elected this node, and a node that voted for another follows it all the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Checks the logs of one cluster. `logs` holds the files of all runs of its nodes, named
/// `<node>.<run>.err`.
pub fn check(logs: &Path) -> Result<Summary, String> {
    let mut votes: BTreeMap<(String, u64), (u64, PathBuf)> = BTreeMap::new();
    let mut leaders: BTreeMap<u64, u64> = BTreeMap::new();
    let mut summary = Summary::default();
    let entries = fs::read_dir(logs).map_err(|error| error.to_string())?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|ext| ext != "err") {
            continue;
        }
        let node = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let node = node.split('.').next().unwrap_or_default().to_owned();
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            if let Some((term, elected)) = vote_of(line, true) {
                let first = *leaders.entry(term).or_insert(elected);
                if first != elected {
                    return Err(format!("term {term} elected {first} and {elected}"));
                }
            } else if let Some((term, candidate)) = vote_of(line, false) {
                summary.votes += 1;
                let first = votes
                    .entry((node.clone(), term))
                    .or_insert_with(|| (candidate, path.clone()));
                if first.0 != candidate {
                    return Err(format!(
                        "{node} voted twice in term {term}: for {} ({}) and for {candidate} ({})",
                        first.0,
                        first.1.display(),
                        path.display(),
                    ));
                }
            } else if let Some((term, id)) = leader_of(line) {
                summary.leaders += 1;
                let first = *leaders.entry(term).or_insert(id);
                if first != id {
                    return Err(format!("term {term} had two leaders: {first} and {id}"));
                }
            } else if line.contains("panicked at") {
                return Err(format!("{node} panicked ({}): {line}", path.display()));
            }
        }
    }
    Ok(summary)
}

/// What was judged: a check that saw nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Votes saved.
    pub votes: usize,
    /// Leaderships begun.
    pub leaders: usize,
}

fn vote_of(line: &str, committed: bool) -> Option<(u64, u64)> {
    let rest = line.split_once("vote saved ")?.1;
    if rest.contains("committed=true") != committed {
        return None;
    }
    Some((field(rest, "term=")?, field(rest, "node_id=")?))
}

fn leader_of(line: &str) -> Option<(u64, u64)> {
    let rest = line.split_once("leading ")?.1;
    Some((field(rest, "term=")?, field(rest, "id=")?))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let word = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name))?;
    word.trim_end_matches(',').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(files: &[(&str, &str)]) -> Result<Summary, String> {
        let dir = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("log");
        }
        check(dir.path())
    }

    #[test]
    fn a_second_vote_after_a_restart_is_found() {
        let one = "INFO x: vote saved term=3 node_id=1 committed=false\n";
        let two = "INFO x: vote saved term=3 node_id=2 committed=false\n";
        assert_eq!(
            judge(&[("n1.0.err", one), ("n1.1.err", one), ("n2.0.err", two)]),
            Ok(Summary {
                votes: 3,
                leaders: 0
            })
        );
        assert!(judge(&[("n1.0.err", one), ("n1.1.err", two)]).is_err());
    }

    #[test]
    fn a_node_follows_whom_others_elected() {
        let own = "INFO x: vote saved term=3 node_id=1 committed=false\n";
        let other = "INFO x: vote saved term=3 node_id=2 committed=true\n";
        let third = "INFO x: vote saved term=3 node_id=3 committed=true\n";
        assert!(judge(&[("n1.0.err", &format!("{own}{other}")), ("n2.0.err", other)]).is_ok());
        assert!(judge(&[("n1.0.err", &format!("{own}{other}")), ("n2.0.err", third)]).is_err());
    }

    #[test]
    fn two_leaders_of_a_term_are_found() {
        assert!(
            judge(&[
                ("n1.0.err", "leading term=3 id=1"),
                ("n2.0.err", "leading term=4 id=2")
            ])
            .is_ok()
        );
        assert!(
            judge(&[
                ("n1.0.err", "leading term=3 id=1"),
                ("n2.0.err", "leading term=3 id=2")
            ])
            .is_err()
        );
    }
}
