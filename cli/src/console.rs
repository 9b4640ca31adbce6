//! Where text goes. A reader that closes its end of a pipe ends the command quietly.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::failure::{Failure, code};

/// Standard output and standard error.
pub(crate) struct Console {
    terminal: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Whether a person reads standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes to standard output, as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes to standard output, as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::quiet(code::OK)),
            Err(error) => Err(Failure::local(format!(
                "Error writing to standard output: {error}"
            ))),
        }
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }

    /// Writes a line to standard error. Nothing can be done where that fails.
    pub(crate) fn error(&mut self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
