//! The policies of a token that is made with a role: the role's own lists take the place of the
//! rule that a child has what its parent has. What is disallowed wins.

use super::TokenError;
use crate::{
    state::TokenRoleRecord,
    types::{PolicyName, PolicySet},
};

/// Whether the role has lists of its own. Without any, the rules are those of any child.
pub(super) fn decides(role: &TokenRoleRecord) -> bool {
    let lists = [
        &role.allowed,
        &role.disallowed,
        &role.allowed_globs,
        &role.disallowed_globs,
    ];
    lists.iter().any(|list| !list.is_empty())
}

/// The policies of a token of this role: those that are asked for; if none are, all that it
/// allows, or else those of the parent. `default` comes on its own, unless the role disallows it
/// or it isn't wanted.
pub(super) fn policies(
    role: &TokenRoleRecord,
    asked: &PolicySet,
    parent: &PolicySet,
    no_default: bool,
) -> Result<PolicySet, TokenError> {
    let bounded = !role.allowed.is_empty() || !role.allowed_globs.is_empty();
    let default = PolicyName::default_policy();
    let with_default = !no_default && !role.no_default_policy && !disallowed(role, &default);
    let wrong = |problem: String| TokenError::argument("policies", problem);
    let wanted: Vec<PolicyName> = match (asked.is_empty(), bounded) {
        (false, _) => asked.iter().cloned().collect(),
        (true, true) => role.allowed.clone(),
        (true, false) => parent.iter().cloned().collect(),
    };
    for name in &wanted {
        let added = with_default && *name == default;
        if bounded && !asked.is_empty() && !added && !allowed(role, name) {
            return Err(wrong(format!("the role does not allow \"{name}\"")));
        }
        if disallowed(role, name) {
            return Err(wrong(format!("the role disallows \"{name}\"")));
        }
    }
    let set = PolicySet::new(wanted).map_err(|error| wrong(error.to_string()))?;
    if !with_default {
        return Ok(set);
    }
    set.with_default().map_err(|error| wrong(error.to_string()))
}

fn allowed(role: &TokenRoleRecord, name: &PolicyName) -> bool {
    role.allowed.contains(name) || role.allowed_globs.iter().any(|glob| matches(glob, name))
}

fn disallowed(role: &TokenRoleRecord, name: &PolicyName) -> bool {
    role.disallowed.contains(name) || role.disallowed_globs.iter().any(|glob| matches(glob, name))
}

/// Whether a name is as the pattern says, in which each "*" stands for any text.
fn matches(glob: &PolicyName, name: &PolicyName) -> bool {
    let (glob, name) = (glob.as_str(), name.as_str());
    let Some((first, rest)) = glob.split_once('*') else {
        return glob == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The earliest place of each part leaves the most to the next ones.
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.len() >= last.len() && left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::RoleName;

    fn names(texts: &[&str]) -> Vec<PolicyName> {
        texts
            .iter()
            .map(|text| PolicyName::parse(text).unwrap())
            .collect()
    }

    fn set(texts: &[&str]) -> PolicySet {
        PolicySet::new(names(texts)).unwrap()
    }

    fn role(lists: [&[&str]; 4]) -> TokenRoleRecord {
        TokenRoleRecord {
            allowed: names(lists[0]),
            disallowed: names(lists[1]),
            allowed_globs: names(lists[2]),
            disallowed_globs: names(lists[3]),
            ..TokenRoleRecord::new(RoleName::parse("r").unwrap())
        }
    }

    fn of(lists: [&[&str]; 4], asked: &[&str]) -> Option<String> {
        let parent = set(&["default", "parent"]);
        let made = policies(&role(lists), &set(asked), &parent, false).ok()?;
        Some(
            made.iter()
                .map(PolicyName::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )
    }

    /// The row `role policies`. Planted bug: disallowed names that are looked up only where something
    /// is allowed. Caught.
    #[test]
    fn a_role_decides_by_its_lists() {
        for (lists, asked, wanted) in [
            // Asked policies must be allowed; without a wish, all allowed ones.
            (
                [&["p1", "p2"] as &[&str], &[], &[], &[]],
                &["p1"] as &[&str],
                Some("default,p1"),
            ),
            ([&["p1", "p2"], &[], &[], &[]], &[], Some("default,p1,p2")),
            ([&["p1"], &[], &[], &[]], &["p2"], None),
            ([&["p1"], &[], &[], &[]], &["p1", "p2"], None),
            ([&["p1"], &[], &[], &[]], &["default"], Some("default")),
            ([&["p1"], &[], &[], &[]], &["root"], None),
            ([&["root", "p1"], &[], &[], &[]], &["root"], Some("root")),
            // Patterns.
            (
                [&[], &[], &["dev-*"], &[]],
                &["dev-a"],
                Some("default,dev-a"),
            ),
            ([&[], &[], &["dev-*"], &[]], &["prod-a"], None),
            ([&[], &[], &["dev-*"], &[]], &["dev"], None),
            ([&[], &[], &["dev-*"], &[]], &[], Some("default")),
            (
                [&["x"], &[], &["dev-*"], &[]],
                &["x", "dev-1"],
                Some("default,dev-1,x"),
            ),
            // What is disallowed wins.
            ([&[], &["bad"], &[], &["evil*"]], &["bad"], None),
            ([&[], &["bad"], &[], &["evil*"]], &["evil-1"], None),
            (
                [&[], &["bad"], &[], &["evil*"]],
                &["good"],
                Some("default,good"),
            ),
            ([&["bad", "p"], &["bad"], &[], &[]], &["bad"], None),
            ([&["bad", "p"], &["bad"], &[], &[]], &[], None),
            ([&[], &["root", "bad"], &[], &[]], &["bad"], None),
            ([&[], &["parent"], &[], &[]], &[], None),
            ([&[], &["bad"], &[], &[]], &[], Some("default,parent")),
            ([&[], &["default"], &[], &[]], &["p"], Some("p")),
            ([&[], &[], &[], &["def*"]], &["p"], Some("p")),
        ] {
            assert_eq!(of(lists, asked).as_deref(), wanted, "{lists:?} {asked:?}");
        }
        assert!(!decides(&role([&[], &[], &[], &[]])));
        let none = TokenRoleRecord {
            no_default_policy: true,
            ..role([&["p"], &[], &[], &[]])
        };
        assert_eq!(
            policies(&none, &set(&[]), &set(&[]), false).unwrap(),
            set(&["p"])
        );
        assert_eq!(
            policies(&role([&["p"], &[], &[], &[]]), &set(&[]), &set(&[]), true).unwrap(),
            set(&["p"])
        );
    }

    /// The simplest way to say what a pattern means.
    fn naive(glob: &[u8], name: &[u8]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| naive(rest, &name[at..])),
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(c, left)| c == first && naive(rest, left)),
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases(20_000))]

        /// Planted bug: a pattern whose end isn't looked at, so that it fails open. Caught.
        #[test]
        fn patterns_mean_what_the_naive_rule_says(glob in "[ab*]{1,8}", name in "[ab]{1,8}") {
            let parse = |text: &str| PolicyName::parse(text).unwrap();
            prop_assert_eq!(
                matches(&parse(&glob), &parse(&name)),
                naive(glob.as_bytes(), name.as_bytes())
            );
        }
    }
}
