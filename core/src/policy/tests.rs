//! The rules of policies, case by case, and against a reference that has no index.

mod decide;
mod format;
mod manage;
mod parameters;
mod parse;
mod properties;
mod reference;
mod templates;

use super::*;

/// An ACL of these texts, one policy each.
fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<_> = texts.iter().map(|text| parse(text).unwrap()).collect();
    Acl::compile(&policies.iter().collect::<Vec<_>>(), None)
}

fn allows(acl: &Acl, operation: Operation, path: &str) -> bool {
    acl.decide(path, operation, None).allowed()
}
