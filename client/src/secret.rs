//! A secret string. It must never show its content but through [`Secret::expose`].

use std::fmt;

use zeroize::Zeroizing;

/// A token, or another secret that is text: `Debug` doesn't show it, and its memory is
/// wiped when it is dropped. (Copies that the transport makes of a message on its way out
/// are not wiped.)
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The content: the one door out.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret = Secret::new("hvs.canary");
        assert!(!format!("{secret:?} {secret:#?}").contains("canary"));
        assert_eq!(secret.expose(), "hvs.canary");
    }
}
