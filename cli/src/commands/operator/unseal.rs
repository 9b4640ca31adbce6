//! `tenure operator unseal`.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use tenure_client::Secret;
use zeroize::Zeroizing;

use super::super::{CommonArgs, Context, status::seal_report};
use crate::{
    failure::{Failure, code},
    secret_input::{Source, prompt},
};

/// What the prompt asks for.
const WHAT: &str = "Unseal Key";

/// Flags of `tenure operator unseal`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UnsealArgs {
    /// Where the key is: - for standard input, @file for a file. Not given: it is asked for
    /// on the terminal, without being shown. Unlike with Vault's command line, the key
    /// itself can't be given here, where other users of the machine could read it
    #[arg(value_name = "-|@FILE", conflicts_with = "reset")]
    key: Option<String>,

    /// Drop the keys that the server has been given so far
    #[arg(long)]
    reset: bool,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: UnsealArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.anonymous(&args.common)?;
    let answer = if args.reset {
        client.reset_unseal().await
    } else {
        let key = match &args.key {
            Some(source) => {
                let source = Source::parse(source, WHAT)?;
                source.read(WHAT, context.console).await?
            }
            None => prompt(WHAT, context.console).await?,
        };
        client.unseal(&decode(&key)?).await
    };
    let status = answer.map_err(|error| Failure::call("unsealing", &error))?;
    let report = seal_report(&status)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

/// A key as `operator init` shows it: hex or base64. Hex is tried first: base64 of a key
/// that happens to be all hex digits is next to impossible.
fn decode(key: &Secret) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = key.expose();
    hex::decode(text)
        .or_else(|_| STANDARD.decode(text))
        .map(Zeroizing::new)
        .map_err(|_| Failure::local("Error: the unseal key is neither hex nor base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hex_or_base64() {
        let share = [7_u8; 33];
        for text in [hex::encode(share), STANDARD.encode(share)] {
            assert_eq!(*decode(&Secret::new(text)).unwrap(), share.to_vec());
        }
        let failure = decode(&Secret::new("not a key: canary")).unwrap_err();
        assert!(!failure.message().unwrap().contains("canary"));
    }
}
