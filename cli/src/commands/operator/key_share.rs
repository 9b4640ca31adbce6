//! How a key share comes in: from the terminal, standard input or a file, never from the arguments.

use base64::{Engine, engine::general_purpose::STANDARD};
use tenure_client::Secret;
use zeroize::Zeroizing;

use super::super::Context;
use crate::{
    failure::Failure,
    secret_input::{Source, prompt},
};

/// Reads a share from where `source` says: `-` or `@file`; without one, it is asked for.
pub(super) async fn read(
    source: Option<&str>,
    what: &str,
    context: &mut Context<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let key = match source {
        Some(source) => {
            let source = Source::parse(source, what)?;
            source.read(what, context.console).await?
        }
        None => prompt(what, context.console).await?,
    };
    decode(&key)
}

/// The nonce of an attempt as its status shows it. A server that takes these calls from everybody
/// shows it to those alone who may.
pub(super) fn nonce_of(shown: String) -> Result<String, Failure> {
    if shown.is_empty() {
        let message =
            "Error: the server doesn't show the nonce to who has no token: give it with -nonce";
        return Err(Failure::local(message));
    }
    Ok(shown)
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
