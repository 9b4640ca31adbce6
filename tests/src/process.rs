//! One child process: its output in files, signals by its pid, and a guard that ends it
//! (and nothing else) when the test is over.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::wait::try_eventually;

/// A running (or ended) child.
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `<logs>/<name>.out` and `.err`.
    pub fn spawn(mut command: Command, logs: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(logs)?;
        let stdout = logs.join(format!("{name}.out"));
        let stderr = logs.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            ended: None,
            stdout,
            stderr,
        })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its name in the logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of its standard output.
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// The file of its standard error.
    pub fn stderr(&self) -> &Path {
        &self.stderr
    }

    fn signal(&mut self, signal: Signal) {
        // A child that was not waited for keeps its pid, so the signal can't hit another.
        if self.exited().is_none()
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGKILL without waiting (to kill several at once).
    pub fn send_kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.send_kill();
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    /// SIGSTOP: pauses it.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: resumes it.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// From now on no file of it can grow beyond `bytes`: with 0 its disk takes nothing any
    /// more. It must ignore SIGXFSZ, or it dies of that.
    pub fn limit_files(&mut self, bytes: u64) -> io::Result<()> {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        // As with signals: its pid is its own until it was waited for.
        if self.exited().is_none() {
            let pid = Pid::from_raw(self.child.id() as i32);
            prlimit(pid, Resource::Fsize, limit)?;
        }
        Ok(())
    }

    /// SIGTERM: asks it to end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT: Ctrl-C.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until it ends by itself.
    pub fn wait_exit(&mut self, bound: Duration) -> Result<ExitStatus, String> {
        try_eventually(bound, || {
            self.exited()
                .ok_or_else(|| format!("{} still runs", self.name))
        })
    }

    /// Whether it ended by SIGKILL.
    pub fn was_killed(&mut self) -> bool {
        self.exited()
            .is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()))
    }

    /// The last lines of what it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        format!("{}{}", tail(&self.stdout, lines), tail(&self.stderr, lines))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last `lines` lines of a file, headed by its name; empty if it says nothing.
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    if all.is_empty() {
        return String::new();
    }
    let from = all.len().saturating_sub(lines);
    format!("--- {}\n{}\n", path.display(), all[from..].join("\n"))
}

/// Copies a folder and all in it. Other file kinds than files and folders are left out.
pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
