//! Policy names have one canonical form, made here and nowhere else: no spelling of a
//! name may reach a policy that its plain form doesn't.

use std::fmt;

use super::limits::{POLICIES_MAX, POLICY_NAME_BYTES_MAX};

const ROOT: &str = "root";
const DEFAULT: &str = "default";

/// A policy name in canonical form: trimmed, lower case, printable ASCII.
///
/// Anything else than ASCII is refused rather than folded, so that no Unicode spelling
/// folds to `root`. A comma has no meaning: `a,b` is one policy, as with the peers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyName(String);

/// Why a text can't be a policy name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyNameError {
    /// Nothing but spaces.
    #[error("a policy name can't be empty")]
    Empty,
    /// Over the bound.
    #[error("a policy name has at most {POLICY_NAME_BYTES_MAX} characters")]
    TooLong,
    /// Not printable ASCII.
    #[error("a policy name consists of printable ASCII characters")]
    Characters,
}

impl PolicyName {
    /// Reads a name and brings it into its canonical form.
    pub fn parse(text: &str) -> Result<Self, PolicyNameError> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() {
            return Err(PolicyNameError::Empty);
        }
        if text.len() > POLICY_NAME_BYTES_MAX {
            return Err(PolicyNameError::TooLong);
        }
        if !text
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic())
        {
            return Err(PolicyNameError::Characters);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The policy that may do everything.
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }

    /// The policy that every token has unless it is made without.
    pub fn default_policy() -> Self {
        Self(DEFAULT.to_owned())
    }

    /// Whether this is `root`.
    pub fn is_root(&self) -> bool {
        self.0 == ROOT
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Policies of a token: sorted, each once, and `root` alone if it is among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicySet(Vec<PolicyName>);

/// Why a list of policies was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicySetError {
    /// A name was refused.
    #[error(transparent)]
    Name(#[from] PolicyNameError),
    /// Over the bound.
    #[error("a token has at most {POLICIES_MAX} policies")]
    TooMany,
}

impl PolicySet {
    /// The set of these names.
    pub fn new(names: impl IntoIterator<Item = PolicyName>) -> Result<Self, PolicySetError> {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        names.dedup();
        if names.iter().any(PolicyName::is_root) {
            return Ok(Self::root());
        }
        if names.len() > POLICIES_MAX {
            return Err(PolicySetError::TooMany);
        }
        Ok(Self(names))
    }

    /// Reads the names, then makes the set of them.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, PolicySetError> {
        let names: Result<Vec<_>, _> = texts.into_iter().map(PolicyName::parse).collect();
        Self::new(names?)
    }

    /// `root` alone.
    pub fn root() -> Self {
        Self(vec![PolicyName::root()])
    }

    /// With `default` in it; `root` swallows it.
    pub fn with_default(self) -> Result<Self, PolicySetError> {
        Self::new(self.0.into_iter().chain([PolicyName::default_policy()]))
    }

    /// Whether it is `root`.
    pub fn is_root(&self) -> bool {
        self.0.iter().any(PolicyName::is_root)
    }

    /// Whether it holds no policy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` is in it.
    pub fn contains(&self, name: &PolicyName) -> bool {
        self.0.binary_search(name).is_ok()
    }

    /// Whether all of its policies are in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|name| other.contains(name))
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &PolicyName> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(names: &[&str]) -> PolicySet {
        PolicySet::parse(names.iter().copied()).unwrap()
    }

    fn texts(set: &PolicySet) -> Vec<&str> {
        set.iter().map(PolicyName::as_str).collect()
    }

    #[test]
    fn every_spelling_of_root_is_root() {
        for text in ["root", "Root", "ROOT", " root ", "\troot\r\n", "rOoT"] {
            let name = PolicyName::parse(text).unwrap();
            assert!(name.is_root(), "{text:?}");
            assert_eq!(name, PolicyName::root());
        }
    }

    #[test]
    fn what_only_folds_to_root_is_refused() {
        // Full width, Cyrillic o, ligatures, combining marks, no-break spaces, zero width,
        // controls, the Kelvin and long-s family.
        for text in [
            "ｒｏｏｔ",
            "rооt",
            "ro\u{f6}t",
            "ro\u{308}ot",
            "\u{a0}root",
            "root\u{200b}",
            "ro\0ot",
            "\u{feff}root",
            "ro\tot",
            "root\u{2028}",
            "\u{212a}",
            "ſ",
        ] {
            assert_eq!(
                PolicyName::parse(text),
                Err(PolicyNameError::Characters),
                "{text:?}"
            );
        }
    }

    #[test]
    fn other_spellings_are_other_policies() {
        for text in [
            "%72oot", "root/", "./root", "root.", "r oot", "a,root", "\"root\"", "root,",
        ] {
            assert!(!PolicyName::parse(text).unwrap().is_root(), "{text:?}");
        }
        assert_eq!(texts(&set(&["a,b"])), ["a,b"]);
    }

    #[test]
    fn a_set_is_sorted_and_root_swallows() {
        assert_eq!(texts(&set(&["b", "A", " a", "b "])), ["a", "b"]);
        assert_eq!(texts(&set(&["b", " ROOT"])), ["root"]);
        assert_eq!(texts(&set(&["root"]).with_default().unwrap()), ["root"]);
        assert_eq!(
            texts(&set(&["x"]).with_default().unwrap()),
            ["default", "x"]
        );
        assert!(set(&[]).is_subset(&set(&["a"])));
        assert!(set(&["a"]).is_subset(&set(&["a", "b"])));
        assert!(!set(&["c"]).is_subset(&set(&["a", "b"])));
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(PolicyName::parse("  "), Err(PolicyNameError::Empty));
        assert_eq!(
            PolicyName::parse(&"a".repeat(257)),
            Err(PolicyNameError::TooLong)
        );
        let many: Vec<_> = (0..257).map(|n| n.to_string()).collect();
        assert_eq!(
            PolicySet::parse(many.iter().map(String::as_str)),
            Err(PolicySetError::TooMany)
        );
    }

    proptest! {
        #[test]
        fn canonical_form_is_stable(text in ".{0,40}") {
            if let Ok(name) = PolicyName::parse(&text) {
                prop_assert_eq!(PolicyName::parse(name.as_str()), Ok(name.clone()));
                prop_assert_eq!(name.is_root(), text.trim().eq_ignore_ascii_case("root"));
            }
        }
    }
}
