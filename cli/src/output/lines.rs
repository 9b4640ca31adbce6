//! What a command shows that goes on: line by line, as it happens.

use clap::Args;
use serde_json::{Map, Value};

use super::{Format, OutputArgs, failed, yaml};
use crate::{console::Console, env::Env, failure::Failure};

/// Flags of a command that shows one thing after the other.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct LineArgs {
    /// How to show what happens: table (a line of words), json (an object a line) or yaml (a
    /// document each). Default: table. Also TENURE_FORMAT, VAULT_FORMAT
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true)]
    format: Option<Format>,
}

impl LineArgs {
    /// The format that holds.
    pub(crate) fn format(&self, env: &Env) -> Result<Format, Failure> {
        let output = OutputArgs {
            format: self.format,
            field: None,
        };
        output.format(env)
    }
}

/// Shows one thing: as words, or as its fields.
pub(crate) fn show_line(
    format: Format,
    words: &str,
    fields: &Map<String, Value>,
    console: &mut Console,
) -> Result<(), Failure> {
    match format {
        Format::Table => console.line(words),
        Format::Json => console.line(&serde_json::to_string(fields).map_err(failed)?),
        Format::Yaml => console.print(&format!("---\n{}", yaml(fields)?)),
    }
}
