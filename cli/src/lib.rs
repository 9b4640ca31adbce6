//! The `tenure` command line: parses, asks the server through the client crate, prints.
//! It decides nothing that the server decides, and it must never take a secret from the
//! argument list or print one that wasn't asked for.

mod args;
mod commands;
mod connection;
mod console;
mod data_input;
mod duration;
mod env;
mod failure;
mod output;
mod secret_input;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::{
    commands::Command,
    console::Console,
    env::Env,
    failure::{Failure, code},
};

/// Tokens and secrets on lease
#[derive(Parser, Debug)]
#[command(name = "tenure", version, propagate_version = false)]
#[command(disable_version_flag = true, arg_required_else_help = true)]
#[command(after_help = CONVENTIONS)]
struct Cli {
    /// Show the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: (),

    #[command(subcommand)]
    command: Command,
}

/// What holds for every command.
const CONVENTIONS: &str = "\
Flags may be written with one dash or two, and with = or a space before the value: -ttl=10h,
--ttl=10h, -ttl 10h and --ttl 10h are the same.

Secrets (tokens as targets, unseal keys, join tokens, chosen token ids, payloads) are never
taken from the command line, where other users of the machine could read them: give - to read
one from standard input (on a terminal it is asked for without being shown), or @file. What
`write` and `kv` store may stand there as key=value, as with Vault; key=@file, key=- and - keep
it out. So may the root token of a development server, which guards nothing.

Exit codes: 0 done; 1 a usage, local or connection error; 2 the server said no; 127 there is
no such command; 130 interrupted. `tenure status` exits 0 when the server is unsealed, 2 when
it is sealed or not initialised, 1 on any error.

Environment (the TENURE_ form wins; one that is set to nothing counts as not set):
  TENURE_ADDR, VAULT_ADDR                        Addresses of the servers, as -address
  TENURE_TOKEN, VAULT_TOKEN                      The token to call with
  TENURE_CACERT, VAULT_CACERT                    As -ca-cert
  TENURE_TLS_SERVER_NAME, VAULT_TLS_SERVER_NAME  As -tls-server-name
  TENURE_FORMAT, VAULT_FORMAT                    As -format

Without TENURE_TOKEN the token is read from ~/.tenure-token, then from ~/.vault-token.";

/// Runs the command line and answers with the exit code.
pub fn main<I: IntoIterator<Item = OsString>>(argv: I) -> u8 {
    let mut console = Console::new();
    let argv = args::double_dashes(argv);
    let cli = match Cli::try_parse_from(&argv) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, argv.len(), &mut console),
    };
    let env = Env::process();
    match commands::run(cli.command, &env, &mut console) {
        Ok(code) => code,
        Err(failure) => report(&failure, &mut console),
    }
}

/// Shows a failure and answers with its exit code.
fn report(failure: &Failure, console: &mut Console) -> u8 {
    if let Some(message) = failure.message() {
        console.error(message);
    }
    failure.code()
}

/// What clap has to say: help and version on stdout, the rest on stderr.
fn usage(error: &clap::Error, words: usize, console: &mut Console) -> u8 {
    let text = error.render().to_string();
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return match console.print(&text) {
                Ok(()) => code::OK,
                Err(failure) => failure.code(),
            };
        }
        ErrorKind::InvalidSubcommand => code::UNKNOWN_COMMAND,
        // No word at all: there is no command to speak of.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if words < 2 => code::UNKNOWN_COMMAND,
        _ => code::LOCAL,
    };
    console.error(text.trim_end());
    code
}

/// The definition of the whole command line, for completion and for tests of the manual.
pub fn definition() -> clap::Command {
    Cli::command()
}
