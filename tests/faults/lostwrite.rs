//! The lost-write library itself: what was synced survives, nothing else does. Every power
//! test stands on this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tenure_tests::lostwrite::{Disk, cut_power, preload};
use tenure_tests::{Random, Scenario};

/// Runs the test function `step` of this binary again, on the library.
fn on_library(scenario: &Scenario, step: &str, disk: &Disk) -> (PathBuf, PathBuf) {
    let (root, mirror) = (scenario.dir().join("root"), scenario.dir().join("mirror"));
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--exact", step, "--nocapture", "--test-threads=1"]);
    command.env("LOSTWRITE_STEP_SEED", scenario.seed.to_string());
    preload(&mut command, &root, &mirror, disk);
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    (root, mirror)
}

/// The folder to work in, when this process is the one on the library.
fn inside() -> Option<PathBuf> {
    let seed = std::env::var("LOSTWRITE_STEP_SEED").ok();
    seed.and_then(|_| std::env::var("LOSTWRITE_ROOT").ok())
        .map(PathBuf::from)
}

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn durable(path: &Path, text: &str) {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn step_names_and_bytes() {
    let Some(root) = inside() else { return };
    // Content: only what was synced.
    durable(&root.join("a"), "hello");
    let mut a = OpenOptions::new()
        .append(true)
        .open(root.join("a"))
        .unwrap();
    a.write_all(b" world").unwrap();
    // A new file, never synced.
    fs::write(root.join("never"), "x").unwrap();
    // A copied descriptor is the same file.
    let b = File::create(root.join("b")).unwrap();
    let mut copy = b.try_clone().unwrap();
    copy.write_all(b"copied").unwrap();
    b.sync_data().unwrap();
    // Overwritten in the middle, shortened, and extended again.
    let c = File::create(root.join("c")).unwrap();
    c.write_all_at(b"0123456789", 0).unwrap();
    c.sync_data().unwrap();
    c.write_all_at(b"ab", 3).unwrap();
    c.set_len(6).unwrap();
    c.set_len(8).unwrap();
    c.sync_data().unwrap();
    c.write_all_at(b"lost", 0).unwrap();
    // Renames: the one whose folder was synced, and the one whose folder was not.
    for (name, synced) in [("kept", true), ("reverted", false)] {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        durable(&dir.join("CURRENT"), "old");
        durable(&dir.join("tmp"), "new");
        fs::rename(dir.join("tmp"), dir.join("CURRENT")).unwrap();
        durable(&dir.join("gone"), "x");
        fs::remove_file(dir.join("gone")).unwrap();
        if synced {
            sync_dir(&dir);
        }
    }
    // A link, and a folder that moves with what is in it.
    fs::create_dir(root.join("from")).unwrap();
    durable(&root.join("from/data"), "moved");
    fs::hard_link(root.join("from/data"), root.join("from/link")).unwrap();
    sync_dir(&root.join("from"));
    fs::rename(root.join("from"), root.join("to")).unwrap();
    sync_dir(&root);
    // An inode number that comes back belongs to a new file.
    for n in 0..20 {
        let path = root.join("again");
        durable(&path, &format!("round {n}"));
        fs::remove_file(&path).unwrap();
    }
    let mut again = File::create(root.join("again")).unwrap();
    again.write_all(b"unsynced").unwrap();
}

#[test]
fn only_what_was_synced_survives() {
    let scenario = Scenario::new("only_what_was_synced_survives");
    let (root, mirror) = on_library(&scenario, "step_names_and_bytes", &Disk::default());
    assert_eq!(fs::read(root.join("a")).unwrap(), b"hello world");
    let lost = cut_power(&root, &mirror, None).unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).ok();
    assert_eq!(read("a").as_deref(), Some("hello"));
    assert_eq!(read("b").as_deref(), Some("copied"));
    assert_eq!(read("c").as_deref(), Some("012ab5\0\0"));
    assert_eq!(read("kept/CURRENT").as_deref(), Some("new"));
    assert_eq!(read("kept/tmp"), None);
    assert_eq!(read("kept/gone"), None);
    assert_eq!(read("reverted/CURRENT").as_deref(), Some("old"));
    assert_eq!(read("reverted/tmp").as_deref(), Some("new"));
    assert_eq!(read("reverted/gone").as_deref(), Some("x"));
    assert_eq!(read("from/data"), None);
    assert_eq!(read("to/data").as_deref(), Some("moved"));
    assert_eq!(read("to/link").as_deref(), Some("moved"));
    assert_ne!(read("again").as_deref(), Some("unsynced"));
    assert!(lost.bytes > 0, "{lost:?}");
    assert_eq!(
        fs::read(mirror.join("a")).unwrap(),
        b"hello",
        "the mirror starts anew"
    );
}

#[test]
fn step_random_file() {
    let Some(root) = inside() else { return };
    let seed = std::env::var("LOSTWRITE_STEP_SEED")
        .unwrap()
        .parse()
        .unwrap();
    let mut random = Random::new(seed);
    let expected = root.with_extension("expected");
    let path = root.join("file");
    let mut file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.sync_all().unwrap();
    fs::write(&expected, b"").unwrap();
    for _ in 0..random.between(200, 800) {
        let size = file.metadata().unwrap().len();
        let len = random.between(1, 3_000) as usize;
        let bytes = random.text(len);
        match random.below(10) {
            0 => file.set_len(random.below(size + 5_000)).unwrap(),
            1..=4 => file
                .write_all_at(bytes.as_bytes(), random.below(size + 1))
                .unwrap(),
            5..=7 => {
                file.seek(SeekFrom::End(0)).unwrap();
                file.write_all(bytes.as_bytes()).unwrap();
            }
            _ => {
                file.sync_data().unwrap();
                fs::copy(&path, &expected).unwrap();
            }
        }
    }
}

#[test]
fn a_file_survives_as_it_was_last_synced() {
    let scenario = Scenario::new("a_file_survives_as_it_was_last_synced");
    let (root, mirror) = on_library(&scenario, "step_random_file", &Disk::default());
    let expected = fs::read(root.with_extension("expected")).unwrap();
    cut_power(&root, &mirror, None).unwrap();
    assert!(
        fs::read(root.join("file")).unwrap() == expected,
        "not what was synced"
    );
}

/// The planted bug: a sync that does nothing is found.
#[test]
fn a_swallowed_sync_loses_the_file() {
    let scenario = Scenario::new("a_swallowed_sync_loses_the_file");
    let disk = Disk {
        ignore_sync: vec!["kept/".to_owned()],
        ..Disk::default()
    };
    let (root, mirror) = on_library(&scenario, "step_names_and_bytes", &disk);
    cut_power(&root, &mirror, None).unwrap();
    assert!(!root.join("kept/CURRENT").exists());
    assert!(root.join("reverted/CURRENT").exists());
}
