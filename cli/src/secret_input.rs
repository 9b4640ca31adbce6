//! How secrets come in: standard input, a file, or a prompt that doesn't show them. Never
//! from the argument list, where every process of the machine could read them.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read},
    path::{Path, PathBuf},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tenure_client::Secret;
use zeroize::Zeroizing;

use crate::{console::Console, failure::Failure};

/// Most bytes of a secret from a file or from standard input.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`: standard input; on a terminal, a prompt.
    Stdin,
    /// `@path`: a file.
    File(PathBuf),
}

impl Source {
    /// Reads an argument that names a secret. The secret itself is refused, without being
    /// repeated.
    pub(crate) fn parse(argument: &str, what: &str) -> Result<Self, Failure> {
        match argument.strip_prefix('@') {
            Some("") => Err(Failure::local(format!(
                "Error: no file name after @ ({what})"
            ))),
            Some(path) => Ok(Self::File(PathBuf::from(path))),
            None if argument == "-" => Ok(Self::Stdin),
            None => Err(Failure::local(format!(
                "Error: {what} can't be given on the command line, where other users of this \
                 machine can read it.\nGive - to read it from standard input (on a terminal \
                 it is asked for), or @file to read it from a file."
            ))),
        }
    }

    /// Fetches the secret, without the line end that closes it.
    pub(crate) async fn read(&self, what: &str, console: &mut Console) -> Result<Secret, Failure> {
        let secret = match self {
            Self::Stdin if io::stdin().is_terminal() => prompt(what, console).await?,
            Self::Stdin => {
                let read = blocking(|| read_all(io::stdin().lock()));
                read.await
                    .map_err(|error| unreadable(what, "standard input", &error))?
            }
            Self::File(path) => read_file(path, what)?,
        };
        if secret.is_empty() {
            return Err(Failure::local(format!("Error: {what} is empty")));
        }
        Ok(secret)
    }

    /// Fetches bytes as they are, none trimmed; on a terminal, a line of text.
    pub(crate) async fn read_bytes(
        &self,
        what: &str,
        console: &mut Console,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self {
            Self::Stdin if io::stdin().is_terminal() => {
                let line = prompt(what, console).await?;
                Ok(Zeroizing::new(line.expose().as_bytes().to_vec()))
            }
            Self::Stdin => {
                let read = tokio::task::spawn_blocking(|| all_bytes(io::stdin().lock()));
                read.await
                    .unwrap_or_else(|error| Err(io::Error::other(error)))
                    .map_err(|error| unreadable(what, "standard input", &error))
            }
            Self::File(path) => File::open(path)
                .and_then(all_bytes)
                .map_err(|error| unreadable(what, &path.display().to_string(), &error)),
        }
    }
}

/// Asks for a secret on the terminal, without showing it.
pub(crate) async fn prompt(what: &str, console: &mut Console) -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::local(format!(
            "Error: standard input isn't a terminal, so {what} can't be asked for.\nGive - to \
             read it from standard input, or @file to read it from a file."
        )));
    }
    let failed = |error: &io::Error| unreadable(what, "the terminal", error);
    let echo = EchoOff::new().map_err(|error| failed(&error))?;
    eprint_prompt(what);
    let line = blocking(|| {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line)?;
        Ok(trimmed(&line))
    })
    .await;
    drop(echo);
    // The line end that was typed wasn't shown.
    console.error("");
    line.map_err(|error| failed(&error))
}

/// The prompt goes to standard error, so that the output can be piped.
fn eprint_prompt(what: &str) {
    use std::io::Write;
    let mut err = io::stderr().lock();
    let _ = write!(err, "{what} (will be hidden): ").and_then(|()| err.flush());
}

/// Runs a read that blocks beside the runtime, so that Ctrl-C is seen meanwhile.
async fn blocking<F>(read: F) -> io::Result<Secret>
where
    F: FnOnce() -> io::Result<Secret> + Send + 'static,
{
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn read_file(path: &Path, what: &str) -> Result<Secret, Failure> {
    File::open(path)
        .and_then(read_all)
        .map_err(|error| unreadable(what, &path.display().to_string(), &error))
}

fn read_all(from: impl Read) -> io::Result<Secret> {
    let mut text = Zeroizing::new(String::new());
    from.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("longer than 64 KiB"));
    }
    Ok(trimmed(&text))
}

fn all_bytes(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("longer than 64 KiB"));
    }
    Ok(bytes)
}

/// The secret without the white space around it: editors and `echo` add line ends.
fn trimmed(text: &str) -> Secret {
    Secret::new(text.trim())
}

fn unreadable(what: &str, place: &str, error: &io::Error) -> Failure {
    Failure::local(format!("Error reading {what} from {place}: {error}"))
}

/// Turns the terminal's echo off, and on again when dropped: on Ctrl-C too.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // Nothing can be done where the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_arguments_is_refused_and_not_repeated() {
        let failure = Source::parse("hvs.canary", "the token").unwrap_err();
        let message = failure.message().unwrap();
        assert!(!message.contains("canary"), "{message}");
        assert!(message.contains("standard input"), "{message}");
        assert_eq!(failure.code(), 1);
        assert!(Source::parse("@", "the token").is_err());
        assert!(Source::parse("", "the token").is_err());
        assert_eq!(Source::parse("-", "the token").unwrap(), Source::Stdin);
        assert_eq!(
            Source::parse("@a b", "the token").unwrap(),
            Source::File(PathBuf::from("a b"))
        );
    }

    #[tokio::test]
    async fn files_are_read_without_their_line_end_and_within_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut console = Console::new();
        let source = Source::File(path.clone());
        assert!(source.read("the token", &mut console).await.is_err());
        std::fs::write(&path, "hvs.x\n").unwrap();
        let secret = source.read("the token", &mut console).await.unwrap();
        assert_eq!(secret.expose(), "hvs.x");
        std::fs::write(&path, "\n").unwrap();
        assert!(source.read("the token", &mut console).await.is_err());
        std::fs::write(&path, vec![b'a'; 70 << 10]).unwrap();
        assert!(source.read("the token", &mut console).await.is_err());
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(source.read("the token", &mut console).await.is_err());
    }
}
