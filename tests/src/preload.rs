//! C libraries that tests preload into a node: built when needed, kept beside the test binaries.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The library of `faults/<name>.c`, built with the system's C compiler when its source has
/// changed.
pub fn library(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .entry(name.to_owned())
        .or_insert_with(|| build(name))
        .clone()
}

fn build(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("faults/{name}.c"));
    let text = fs::read(&source).expect("the library's source");
    // FNV-1a: the name tells which source it was built from.
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let beside = std::env::current_exe().expect("own path");
    let place = beside.with_file_name(format!("lib{name}-{hash:016x}.so"));
    if place.exists() {
        return place;
    }
    let fresh = place.with_extension(format!("{}.new", std::process::id()));
    let output = Command::new("cc")
        .args([
            "-shared",
            "-fPIC",
            "-O2",
            "-Wall",
            "-Wno-format-truncation",
            "-pthread",
            "-o",
        ])
        .arg(&fresh)
        .arg(&source)
        .arg("-ldl")
        .output()
        .expect("a C compiler (cc) is needed for the tests that preload a library");
    assert!(
        output.status.success(),
        "cc: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&fresh, &place).expect("keep the library");
    place
}
