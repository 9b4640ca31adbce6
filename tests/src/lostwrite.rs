//! Power cuts: sets a process up to run on the `lostwrite` library (see `faults/lostwrite.c`),
//! and makes the data folder that a power cut would have left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use crate::preload::library;
use crate::process::copy_dir;
use crate::random::Random;

/// How the disk behaves.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Every sync waits so long before anything is durable.
    pub sync_us: u64,
    /// Syncs of paths that contain one of these are swallowed: the planted bug.
    pub ignore_sync: Vec<String>,
}

/// Sets `command` up to mirror `root` to `mirror`.
pub fn preload(command: &mut Command, root: &Path, mirror: &Path, disk: &Disk) {
    fs::create_dir_all(root).expect("data folder");
    fs::create_dir_all(mirror).expect("mirror");
    command
        .env("LD_PRELOAD", library("lostwrite"))
        .env("LOSTWRITE_ROOT", root.canonicalize().expect("data folder"))
        .env("LOSTWRITE_MIRROR", mirror.canonicalize().expect("mirror"));
    if disk.sync_us > 0 {
        command.env("LOSTWRITE_SYNC_US", disk.sync_us.to_string());
    }
    if !disk.ignore_sync.is_empty() {
        command.env("LOSTWRITE_IGNORE_SYNC", disk.ignore_sync.join(","));
    }
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost {
    /// Bytes that were written and are gone.
    pub bytes: u64,
    /// Files that are gone altogether.
    pub files: u64,
}

/// Cuts the power of a node that was killed: its data folder becomes what the mirror holds,
/// and the mirror starts anew as a copy of that. With `torn`, files keep a random part of
/// their unsynced tail, as a disk that was in the middle of writing them would.
pub fn cut_power(root: &Path, mirror: &Path, torn: Option<&mut Random>) -> io::Result<Lost> {
    let store = mirror.join(".lostwrite");
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    let survived = root.with_extension("survived");
    copy_dir(mirror, &survived)?;
    let mut lost = Lost::default();
    compare(root, &survived, &mut lost, torn)?;
    fs::remove_dir_all(root)?;
    fs::rename(&survived, root)?;
    fs::remove_dir_all(mirror)?;
    copy_dir(root, mirror)?;
    Ok(lost)
}

fn compare(
    root: &Path,
    survived: &Path,
    lost: &mut Lost,
    mut torn: Option<&mut Random>,
) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let there = survived.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if there.is_dir() {
                compare(&entry.path(), &there, lost, torn.as_deref_mut())?;
            } else {
                lost.files += 1;
            }
            continue;
        }
        let size = entry.metadata()?.len();
        let Ok(kept) = fs::metadata(&there) else {
            lost.files += 1;
            lost.bytes += size;
            continue;
        };
        lost.bytes += size.saturating_sub(kept.len());
        if size > kept.len()
            && let Some(random) = torn.as_deref_mut()
        {
            let keep = random.below(size - kept.len());
            append_part(&entry.path(), &there, kept.len(), keep)?;
        }
    }
    Ok(())
}

fn append_part(from: &Path, to: &Path, at: u64, bytes: u64) -> io::Result<()> {
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(at))?;
    let mut part = Vec::new();
    source.take(bytes).read_to_end(&mut part)?;
    OpenOptions::new().append(true).open(to)?.write_all(&part)
}
