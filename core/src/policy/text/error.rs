//! Why a policy text was refused, and where. For whoever wrote the text: `Display` may name
//! its words, `Debug` (which could reach a log) doesn't.

use std::fmt;

use crate::policy::template::TemplateError;
use crate::types::PolicyNameError;
use crate::types::TtlError;
use crate::types::limits::{
    POLICY_NESTING_MAX, POLICY_PARAMETERS_MAX, POLICY_PATH_BYTES_MAX, POLICY_PATHS_MAX,
    POLICY_TEXT_BYTES_MAX,
};

/// Why a policy text was refused, and where.
pub struct PolicyError {
    pub(in crate::policy) kind: PolicyErrorKind,
    pub(in crate::policy) line: Option<u32>,
    pub(in crate::policy) path: Option<String>,
    pub(in crate::policy) word: Option<String>,
}

/// What is wrong with a policy text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyErrorKind {
    /// Over [`POLICY_TEXT_BYTES_MAX`].
    #[error("a policy has at most {POLICY_TEXT_BYTES_MAX} bytes")]
    TextTooLong,
    /// Over [`POLICY_PATHS_MAX`].
    #[error("a policy has at most {POLICY_PATHS_MAX} paths")]
    TooManyPaths,
    /// Over [`POLICY_PATH_BYTES_MAX`].
    #[error("a path in a policy has at most {POLICY_PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// Over [`POLICY_PARAMETERS_MAX`].
    #[error("a rule names at most {POLICY_PARAMETERS_MAX} parameters and values of each kind")]
    TooManyParameters,
    /// Over [`POLICY_NESTING_MAX`].
    #[error("a policy is nested at most {POLICY_NESTING_MAX} levels deep")]
    TooDeep,
    /// Neither base64 nor UTF-8 in it.
    #[error("not base64 of a text")]
    Base64,
    /// Not HCL, or not JSON.
    #[error("syntax error: expected {0}")]
    Expected(&'static str),
    /// A string, a comment that doesn't end.
    #[error("syntax error: {0} doesn't end")]
    Unterminated(&'static str),
    /// A character that can't stand there.
    #[error("syntax error: this character can't stand here")]
    Character,
    /// An escape that isn't known.
    #[error("syntax error: unknown escape in a string")]
    Escape,
    /// A here-document.
    #[error("a here-document (<<) has no use in a policy")]
    Heredoc,
    /// A key that isn't known.
    #[error("unknown key")]
    UnknownKey,
    /// The same key twice.
    #[error("this key stands twice")]
    DuplicateKey,
    /// A capability that isn't known.
    #[error(
        "unknown capability: one of create, read, update, patch, delete, list, scan, sudo, deny"
    )]
    UnknownCapability,
    /// A word of the old form that isn't known.
    #[error("unknown policy: one of read, write, sudo, deny")]
    UnknownLegacy,
    /// A value of the wrong type.
    #[error("the value has to be {0}")]
    Type(&'static str),
    /// A path that isn't one.
    #[error(transparent)]
    Path(#[from] TemplateError),
    /// A duration that isn't one.
    #[error(transparent)]
    Ttl(#[from] TtlError),
    /// The longest below the shortest.
    #[error("max_wrapping_ttl is below min_wrapping_ttl")]
    WrappingBounds,
    /// A name that isn't one.
    #[error(transparent)]
    Name(#[from] PolicyNameError),
    /// The policy root can't be written.
    #[error("the policy root is built in")]
    Root,
    /// JSON has one form only.
    #[error("JSON isn't formatted: write the policy in HCL")]
    FormatsHcl,
}

impl PolicyError {
    /// What is wrong.
    pub const fn kind(&self) -> PolicyErrorKind {
        self.kind
    }

    /// The line, from 1 on, if there is one to blame.
    pub const fn line(&self) -> Option<u32> {
        self.line
    }

    /// The path of the rule it is in, as it was written.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub(in crate::policy) fn at(line: u32, kind: impl Into<PolicyErrorKind>) -> Self {
        Self {
            line: Some(line),
            ..Self::from(kind.into())
        }
    }

    pub(in crate::policy) fn word(mut self, word: &str) -> Self {
        self.word = Some(word.to_owned());
        self
    }

    pub(in crate::policy) fn in_path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }
}

impl From<PolicyErrorKind> for PolicyError {
    fn from(kind: PolicyErrorKind) -> Self {
        Self {
            kind,
            line: None,
            path: None,
            word: None,
        }
    }
}

/// Longest word of the text that an error repeats.
const WORD_CHARS_MAX: usize = 80;

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(WORD_CHARS_MAX).collect::<String>();
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(path) = &self.path {
            write!(f, "path {:?}: ", short(path))?;
        }
        write!(f, "{}", self.kind)?;
        match &self.word {
            Some(word) => write!(f, " ({:?})", short(word)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyError")
            .field("kind", &self.kind)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for PolicyError {}
