//! What a caller may ask to do with mounts and with what is mounted, and the paths by which
//! policies grant it.

use crate::{
    policy::{Operation, Parameters, Value},
    token::{Action, Ask},
    types::Path,
};

/// Handle mounts.
pub enum ManageMounts<'a> {
    /// Mount an engine at this path, like this.
    Mount(Path, Parameters<'a>),
    /// Unmount what is there, with all its data.
    Unmount(Path),
    /// Change what a mount is like, to this.
    Tune(Path, Parameters<'a>),
    /// Move a mount.
    Remount(Path, Path),
    /// List all mounts.
    List,
    /// Show the mount that a path belongs to.
    Show(Path),
}

impl Action for ManageMounts<'_> {
    fn ask(&self) -> Ask<'_> {
        let at = |path: &Path| format!("sys/mounts/{}", path.as_str());
        match self {
            Self::Mount(path, parameters) => Ask {
                parameters: parameters.clone(),
                ..Ask::new(Operation::Update, at(path))
            },
            Self::Unmount(path) => Ask::new(Operation::Delete, at(path)),
            Self::Tune(path, parameters) => Ask {
                parameters: parameters.clone(),
                ..Ask::new(Operation::Update, format!("{}/tune", at(path)))
            },
            Self::Remount(from, to) => Ask::new(Operation::Update, "sys/remount")
                .root_protected()
                .with("from", Value::Text(from.as_str().into()))
                .with("to", Value::Text(to.as_str().into())),
            Self::List => Ask::new(Operation::Read, "sys/mounts"),
            Self::Show(path) => {
                let path = format!("sys/internal/ui/mounts/{}", path.as_str());
                Ask::new(Operation::Read, path)
            }
        }
    }
}

/// Use a secrets engine: the operation on this logical path, with these parameters.
pub struct UseSecrets<'a> {
    /// What is done. A write is Create or Update as the engine has it.
    pub operation: Operation,
    /// The logical path.
    pub path: Path,
    /// What it is done with.
    pub parameters: Parameters<'a>,
}

impl Action for UseSecrets<'_> {
    fn ask(&self) -> Ask<'_> {
        Ask {
            parameters: self.parameters.clone(),
            ..Ask::new(self.operation, self.path.as_str())
        }
    }
}
