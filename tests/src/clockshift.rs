//! A wrong wall clock for one process: sets it up to run on the `clockshift` library (see
//! `faults/clockshift.c`), and moves its clock while it runs. The program has no knob for it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::preload::library;

/// The clock of one process.
#[derive(Clone, Debug)]
pub struct ClockShift {
    file: PathBuf,
}

impl ClockShift {
    /// A right clock, whose shift is kept in `file`.
    pub fn new(file: &Path) -> io::Result<Self> {
        fs::write(file, 0_i64.to_ne_bytes())?;
        Ok(Self {
            file: file.to_owned(),
        })
    }

    /// What a process must have in its environment to run on this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let library = library("clockshift");
        vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            (
                "CLOCKSHIFT_FILE".to_owned(),
                self.file.display().to_string(),
            ),
        ]
    }

    /// Sets how far the clock is from true time, at once.
    pub fn set_ms(&self, shift: i64) -> io::Result<()> {
        // Written in place: the process has this very file mapped.
        OpenOptions::new()
            .write(true)
            .open(&self.file)?
            .write_all_at(&shift.to_ne_bytes(), 0)
    }
}
