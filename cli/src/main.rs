//! The `tenure` binary. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tenure_cli::main(std::env::args_os()))
}
