//! What a caller may ask to do with mounts and with what is mounted, and the paths by which
//! policies grant it.

use crate::{
    policy::{Operation, Parameters, Value},
    token::{Action, Ask},
    types::{MountId, Path},
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
    /// List those of auth methods.
    ListAuth,
    /// Read what the mount at this path is like.
    Read(Path),
    /// Read what it is tuned to.
    ReadTuning(Path),
    /// Read how the move of the mount with this id went.
    ReadMove(MountId),
    /// Show the mount that a path belongs to, which is this one, if any. Whoever has any right
    /// in it may: clients ask this before each call, to learn what it is.
    Show(Path, Option<String>),
}

impl Action for ManageMounts<'_> {
    fn ask(&self) -> Ask<'_> {
        let at = |path: &Path| match path.as_str().strip_prefix("auth/") {
            Some(method) => format!("sys/auth/{method}"),
            None => format!("sys/mounts/{}", path.as_str()),
        };
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
            Self::ListAuth => Ask::new(Operation::Read, "sys/auth"),
            Self::Read(path) => Ask::new(Operation::Read, at(path)),
            Self::ReadTuning(path) => Ask::new(Operation::Read, format!("{}/tune", at(path))),
            Self::ReadMove(id) => Ask::new(Operation::Read, format!("sys/remount/status/{id}")),
            Self::Show(path, mount) => {
                let path = format!("sys/internal/ui/mounts/{}", path.as_str());
                Ask {
                    or_in: mount.as_deref(),
                    ..Ask::new(Operation::Read, path)
                }
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
