//! What can be wrong with a configuration. Each error names the file, the line where known, and
//! the key. Never shows the content of a file beyond the value that is wrong.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file, with the line where the format tells it.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// Its line, from 1. JSON files don't tell.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or directory can't be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory without a configuration file, or a file with another extension.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Not HCL or not JSON.
    #[error("{origin}: {message}")]
    Syntax {
        /// File and line.
        origin: Origin,
        /// What the parser expected.
        message: String,
    },
    /// A key with a value that is not acceptable, or a key that doesn't exist.
    #[error("{origin}: {key}: {problem}")]
    Key {
        /// Where it was set.
        origin: Origin,
        /// The key, with its stanza.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something that is needed was set nowhere.
    #[error("{key}: {problem}")]
    Missing {
        /// The key, with its stanza.
        key: &'static str,
        /// What is needed.
        problem: &'static str,
    },
}
