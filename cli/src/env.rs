//! The environment: variables, their two spellings, the home folder.

use std::path::PathBuf;

/// Finds a variable's value.
type Lookup = dyn Fn(&str) -> Option<String>;

/// Looks variables up. Tests bring their own.
pub(crate) struct Env(Box<Lookup>);

impl Env {
    /// The environment of this process.
    pub(crate) fn process() -> Self {
        Self(Box::new(|name| std::env::var(name).ok()))
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &'static [(&'static str, &'static str)]) -> Self {
        Self(Box::new(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }))
    }

    /// The setting `TENURE_<name>`, else `VAULT_<name>`. One that is set to nothing counts
    /// as not set.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        ["TENURE_", "VAULT_"]
            .iter()
            .find_map(|prefix| self.get(&format!("{prefix}{name}")))
    }

    /// A file in the home folder.
    pub(crate) fn home_file(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.get("HOME")?).join(name))
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenure_wins_and_empty_counts_as_unset() {
        let env = Env::of(&[("TENURE_ADDR", "a"), ("VAULT_ADDR", "b")]);
        assert_eq!(env.setting("ADDR").as_deref(), Some("a"));
        let env = Env::of(&[("TENURE_ADDR", ""), ("VAULT_ADDR", "b")]);
        assert_eq!(env.setting("ADDR").as_deref(), Some("b"));
        let env = Env::of(&[("VAULT_ADDR", "")]);
        assert_eq!(env.setting("ADDR"), None);
        assert_eq!(env.home_file("x"), None);
    }
}
