//! `tenure operator init`.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Serialize;
use tenure_client::InitKeys;

use super::super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::Report,
};

/// Flags of `tenure operator init`.
#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// In how many shares to split the key, 1 to 255
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 5)]
    key_shares: u32,

    /// How many of them open a server: at most -key-shares; 1 only with one share
    #[arg(short = 't', long, value_name = "COUNT", default_value_t = 3)]
    key_threshold: u32,

    /// Only show whether the server is initialised. Exits 0 when it is, 2 when not
    #[arg(long)]
    status: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// The keys that `vault operator init -format=json` shows.
#[derive(Serialize)]
struct InitBody {
    unseal_keys_b64: Vec<String>,
    unseal_keys_hex: Vec<String>,
    unseal_shares: u32,
    unseal_threshold: u32,
    recovery_keys_b64: [String; 0],
    recovery_keys_hex: [String; 0],
    recovery_keys_shares: u32,
    recovery_keys_threshold: u32,
    root_token: String,
}

pub(crate) async fn run(args: InitArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.anonymous(&args.common)?;
    if args.status {
        return status(&client, context).await;
    }
    // Checked before the call: a wrong format must not lose keys that are shown once.
    args.common.output.format(context.env)?;
    let keys = client
        .init(args.key_shares, args.key_threshold)
        .await
        .map_err(|error| Failure::call("initializing", &error))?;
    let report = report(&keys, args.key_threshold)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn status(client: &tenure_client::Client, context: &mut Context<'_>) -> Result<u8, Failure> {
    let status = client.seal_status().await.map_err(|error| {
        Failure::local(format!("Error checking initialization: {error}")).with_hint(&error)
    })?;
    if status.initialized {
        context.console.line("Tenure is initialized")?;
        return Ok(code::OK);
    }
    context.console.line("Tenure is not initialized")?;
    Ok(code::REFUSED)
}

fn report(keys: &InitKeys, threshold: u32) -> Result<Report<InitBody>, Failure> {
    let body = InitBody {
        unseal_keys_b64: keys.shares.iter().map(|key| STANDARD.encode(key)).collect(),
        unseal_keys_hex: keys.shares.iter().map(hex::encode).collect(),
        unseal_shares: u32::try_from(keys.shares.len()).unwrap_or(u32::MAX),
        unseal_threshold: threshold,
        recovery_keys_b64: [],
        recovery_keys_hex: [],
        recovery_keys_shares: 0,
        recovery_keys_threshold: 0,
        root_token: keys.root_token.expose().to_owned(),
    };
    let table = text(&body);
    Report::flat(table, body)
}

fn text(body: &InitBody) -> String {
    let mut text = String::new();
    for (index, key) in body.unseal_keys_b64.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "Unseal Key {}: {key}", index + 1);
    }
    let _ = write!(
        text,
        "\nInitial Root Token: {token}\n\n\
         Tenure is initialized with {shares} key shares and a key threshold of {threshold}. \
         Keep the\nkeys and the token: they are shown this once. Give the keys to different \
         people.\n\n\
         Each server starts sealed, and after each restart it is sealed again: {threshold} of \
         the keys\nopen it (tenure operator unseal). With fewer of them nobody can read \
         the data,\nand nobody can bring it back.\n",
        token = body.root_token,
        shares = body.unseal_shares,
        threshold = body.unseal_threshold,
    );
    text
}

#[cfg(test)]
mod tests {
    use tenure_client::Secret;

    use super::*;

    #[test]
    fn the_keys_are_shown_the_way_vault_shows_them() {
        let keys = InitKeys {
            shares: vec![vec![1, 2, 3].into(), vec![255].into()],
            root_token: Secret::new("hvs.x"),
        };
        let report = report(&keys, 2).unwrap();
        assert!(
            report.table.starts_with(
                "Unseal Key 1: AQID\nUnseal Key 2: /w==\n\nInitial Root Token: hvs.x\n"
            )
        );
        assert_eq!(
            report.fields["unseal_keys_hex"],
            serde_json::json!(["010203", "ff"])
        );
        assert_eq!(report.fields["unseal_threshold"], 2);
    }
}
