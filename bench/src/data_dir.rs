//! Where the clusters keep their data: on a disk, because fsync is most of what a write waits for.

use std::{env, fs, path::PathBuf};

use tenure_tests::server_cluster::Outcome;

/// Kinds of file systems by their number in `statfs(2)`.
const KINDS: [(u64, &str); 7] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (TMPFS, "tmpfs"),
];
const TMPFS: u64 = 0x0102_1994;

/// The folder that was named, or the build's target folder; says what it lies on.
///
/// # Errors
/// It can't be made.
pub fn choose(named: Option<PathBuf>) -> Outcome<PathBuf> {
    let target = || env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let dir = named.unwrap_or_else(target);
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    fs::create_dir_all(&dir).map_err(failed)?;
    let full = fs::canonicalize(&dir).map_err(failed)?;
    let on = rustix::fs::statfs(&full).map_err(|error| failed(error.into()))?;
    let kind = on.f_type as u64 & u64::from(u32::MAX);
    let name = KINDS.iter().find(|(number, _)| *number == kind);
    let name = name.map_or_else(|| format!("type {kind:#x}"), |(_, name)| (*name).to_owned());
    println!("Data in {} ({name}).", full.display());
    if kind == TMPFS {
        eprintln!("WARNING: tmpfs is memory: nothing is ever written to a disk there");
    }
    Ok(full)
}
