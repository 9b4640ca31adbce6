//! One scenario: its seed, its folder, and what is said when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::process::tail;
use crate::random::Random;

/// Scenarios of one test binary run one at a time: each brings up a cluster of its own, and
/// timing under the load of three others proves nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// `TENURE_FAULT_SCALE`: how many times the rounds of a change's run (default 1).
pub fn scale() -> usize {
    std::env::var("TENURE_FAULT_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
        .max(1)
}

/// A running scenario.
pub struct Scenario {
    name: String,
    binary: String,
    /// The seed of the run.
    pub seed: u64,
    dir: PathBuf,
    began: Instant,
    _turn: MutexGuard<'static, ()>,
}

impl Scenario {
    /// Starts a scenario. `name` is the name of the test function, so that the printed
    /// command replays it.
    pub fn new(name: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = std::env::var("TENURE_FAULT_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Random::new(now.as_nanos() as u64).below(1 << 48)
        });
        let dir = tempfile::Builder::new()
            .prefix(&format!("tenure-{name}-"))
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let dir = dir.canonicalize().expect("the folder's real path");
        let binary = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .and_then(|stem| Some(stem.rsplit_once('-')?.0.to_owned()))
            .unwrap_or_default();
        println!(
            "{name}: seed {seed}, scale {}, folder {}",
            scale(),
            dir.display()
        );
        Self {
            name: name.to_owned(),
            binary,
            seed,
            dir,
            began: Instant::now(),
            _turn: turn,
        }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the logs of its processes.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// A generator from its seed.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }

    /// Says something about the run, with the time since its start.
    pub fn say(&self, text: impl AsRef<str>) {
        println!(
            "{}: {:6.2}s {}",
            self.name,
            self.began.elapsed().as_secs_f64(),
            text.as_ref()
        );
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.say("passed");
            let _ = fs::remove_dir_all(&self.dir);
            return;
        }
        let mut logs: Vec<PathBuf> = fs::read_dir(self.logs())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        // The last runs say most.
        logs.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
        for path in logs.iter().rev().take(4).rev() {
            eprint!("{}", tail(path, 25));
        }
        eprintln!(
            "{} FAILED: seed {}; its folder is kept: {}\nreplay: TENURE_FAULT_SEED={} \
             TENURE_FAULT_SCALE={} cargo test -p tenure-tests --test {} {} -- --exact --nocapture",
            self.name,
            self.seed,
            self.dir.display(),
            self.seed,
            scale(),
            self.binary,
            self.name,
        );
    }
}
