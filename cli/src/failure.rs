//! How a command fails: what is said, and the exit code.

use tenure_client::{Code, Error, ErrorKind};

/// Exit codes. Scripts rely on them.
pub(crate) mod code {
    /// Done. For `status`: unsealed.
    pub(crate) const OK: u8 = 0;
    /// A usage, local or connection error.
    pub(crate) const LOCAL: u8 = 1;
    /// The server said no, or has nothing of the kind. For `status`: sealed, or not initialised.
    pub(crate) const REFUSED: u8 = 2;
    /// There is no such command.
    pub(crate) const UNKNOWN_COMMAND: u8 = 127;
    /// Interrupted by Ctrl-C: 128 + SIGINT.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    /// Something on this side: a flag, a file, the environment.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self {
            code: code::LOCAL,
            message: Some(message.into()),
        }
    }

    /// The server has nothing of what was asked for.
    pub(crate) fn nothing(message: impl Into<String>) -> Self {
        Self {
            code: code::REFUSED,
            message: Some(message.into()),
        }
    }

    /// Ends without a word.
    pub(crate) fn quiet(code: u8) -> Self {
        Self {
            code,
            message: None,
        }
    }

    /// A call failed: `doing` names it, such as "creating token".
    pub(crate) fn call(doing: &str, error: &Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Server => code::REFUSED,
            _ => code::LOCAL,
        };
        let message = Some(format!("Error {doing}: {error}"));
        Self { code, message }.with_hint(error)
    }

    /// Adds what most likely helps against the error.
    pub(crate) fn with_hint(self, error: &Error) -> Self {
        match hint(error) {
            Some(hint) => self.with_note(hint),
            None => self,
        }
    }

    /// Adds what there is to do.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        if let Some(message) = &mut self.message {
            message.push_str("\n\n");
            message.push_str(note);
        }
        self
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

/// What most likely helps.
fn hint(error: &Error) -> Option<&'static str> {
    let message = error.message();
    if error.kind() == ErrorKind::Connect {
        if message.contains("InvalidContentType") {
            return Some(
                "The server seems to speak plain text, as `tenure server -dev` does: \
                 use http:// in TENURE_ADDR or -address.",
            );
        }
        if message.contains("UnknownIssuer") || message.contains("certificates found") {
            return Some(
                "The server's certificate isn't signed by a known authority: \
                 name its certificate with -ca-cert or TENURE_CACERT.",
            );
        }
        if message.contains("not valid for name") || message.contains("NotValidForName") {
            return Some(
                "The server's certificate is for another name: \
                 give it with -tls-server-name or TENURE_TLS_SERVER_NAME.",
            );
        }
        if message.contains("Connection refused") {
            return Some(
                "No server listens there. Its address is taken from -address, TENURE_ADDR or \
                 VAULT_ADDR.",
            );
        }
    }
    (error.code() == Code::Unauthenticated).then_some(
        "Is the token right? It comes from TENURE_TOKEN, VAULT_TOKEN, ~/.tenure-token or \
         ~/.vault-token, in this order.",
    )
}
