//! The table of reasons (`ErrorReason` in proto/tenure/v1/errors.proto) holds all that the server says.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

/// It found four reasons of quotas and streams when it was written.
#[test]
fn every_reason_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("proto/tenure/v1/errors.proto")).unwrap();
    let table: BTreeSet<_> = (table.lines())
        .filter_map(|line| line.trim().strip_prefix("ERROR_REASON_"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let mut said = BTreeSet::new();
    for folder in ["core/src", "server/src"] {
        search(&root.join(folder), &mut said);
    }
    assert!(said.len() > 60, "only {} reasons are found", said.len());
    let missing: Vec<_> = (said.iter())
        .filter(|reason| !table.contains(reason.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in errors.proto: {missing:?}");
}

fn search(folder: &Path, said: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            search(&path, said);
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path).unwrap();
            let shown = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            said.extend(reasons(shown));
        }
    }
}

/// Texts behind a code of gRPC (`Code::X, "REASON"`), and those that a `fn reason` gives.
fn reasons(source: &str) -> BTreeSet<String> {
    let gives = source.contains("fn reason(");
    let parts: Vec<_> = source.split('"').collect();
    let mut found = BTreeSet::new();
    for pair in parts.windows(2) {
        let (before, text) = (pair[0].trim_end(), pair[1]);
        let upper = |c: char| c.is_ascii_uppercase() || c == '_';
        if text.len() < 4 || !text.chars().all(upper) {
            continue;
        }
        let of_code = before
            .strip_suffix(',')
            .and_then(|before| before.rsplit_once("Code::"))
            .is_some_and(|(_, name)| name.chars().all(char::is_alphanumeric));
        if of_code || (gives && before.ends_with("=>")) {
            found.insert(text.to_owned());
        }
    }
    found
}
