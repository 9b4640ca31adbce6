//! Small durable file operations that every part of the data folder needs: private
//! directories, atomic replacement, directory fsyncs. Never knows what the files hold.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Mode of every directory that we create: nobody else looks in.
const DIR_MODE: u32 = 0o700;
/// The rights of everyone else.
const OTHERS: u32 = 0o077;
/// Anyone may write.
const ANYONE_WRITES: u32 = 0o002;
/// Only the owner of a name may remove or replace it.
const STICKY: u32 = 0o1000;
/// Mode of every file that we create.
const FILE_MODE: u32 = 0o600;

/// Bytes that we may still write to the file system of a path. May block.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes a directory and its parents, private, and durable in their parents. From one that
/// exists the rights of others are taken away. Where that fails (a mounted volume may belong
/// to someone else) a warning says so: every file in it is private anyway. One in which anyone
/// may replace our files by others is an error.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & OTHERS != 0
            && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(DIR_MODE))
        {
            if anyone_may_replace(mode) {
                let reason = "anyone may replace the files in this folder, which is not ours";
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("{}: {reason} ({error})", path.display()),
                ));
            }
            tracing::warn!(
                dir = %path.display(), %error,
                "the folder is open to other users and can't be closed to them"
            );
        }
        return Ok(());
    }
    if let Some(parent) = parent_of(path)
        && !parent.is_dir()
    {
        create_private_dir(parent)?;
    }
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_parent(path)
}

/// Whether a folder of this mode lets every user of the machine take our files' places.
fn anyone_may_replace(mode: u32) -> bool {
    mode & ANYONE_WRITES != 0 && mode & STICKY == 0
}

/// Opens a new, private file for writing; one that exists is an error.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Makes the entries of a directory durable: created, renamed and removed names.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the name of a file or directory durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match parent_of(path) {
        Some(parent) => sync_dir(parent),
        None => sync_dir(Path::new(".")),
    }
}

/// Replaces a file with new content: a crash leaves the old content or the new. Durable
/// when it returns.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let staged = path.with_extension("new");
    // What a crash may have left.
    remove_file_if_there(&staged)?;
    let mut file = create_private_file(&staged)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    sync_parent(path)
}

/// Removes a file; none there is fine.
pub fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory with all that it holds; none there is fine.
pub fn remove_dir_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs clean-up on a thread of its own: closing a database or unlinking gigabytes would
/// hold up the task that happened to drop the last handle. What fails is left for the next
/// start, which removes all that it doesn't know.
pub fn clean_up_in_background(work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let spawned = std::thread::Builder::new()
        .name("raft-clean-up".into())
        .spawn(|| {
            if let Err(error) = work() {
                tracing::warn!(%error, "clean-up failed; the next start removes what is left");
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for clean-up; the next start removes what is left");
    }
}

/// Names in a directory, sorted; names that aren't UTF-8 are none of ours and left out.
pub fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A file's second name in another directory, or a copy where the file system can't link.
/// The copy is durable; a linked file was so before.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => copy_file(from, to),
    }
}

/// A private, durable copy of a file.
pub fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = create_private_file(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

fn parent_of(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_anyone_may_replace_files_is_told_from_others() {
        for mode in [0o40777, 0o40702, 0o42773] {
            assert!(anyone_may_replace(mode), "{mode:o}");
        }
        for mode in [0o41777, 0o40770, 0o42770, 0o40755, 0o40700] {
            assert!(!anyone_may_replace(mode), "{mode:o}");
        }
    }

    #[test]
    fn replaced_files_are_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("a/b");
        create_private_dir(&base).unwrap();
        assert_eq!(
            fs::metadata(&base).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let file = base.join("CURRENT");
        // What a crash in the middle of an earlier replacement leaves behind.
        fs::write(file.with_extension("new"), "half").unwrap();
        for content in ["one", "two"] {
            replace_file(&file, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(names_in(&base).unwrap(), ["CURRENT"]);
    }
}
