//! `tenure operator init`.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Serialize;
use tenure_client::{InitKeys, proto::InitRequest};
use zeroize::Zeroizing;

use super::{
    super::{CommonArgs, Context},
    pgp_key,
};
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

    /// Where a provider opens the servers: in how many shares to split the recovery key
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    recovery_shares: u32,

    /// Where a provider opens the servers: how many of them are a quorum
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    recovery_threshold: u32,

    /// Files of PGP public keys (binary, base64 or armored), with commas between them: each key is
    /// shown encrypted to the one at its place
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    pgp_keys: Vec<String>,

    /// As -pgp-keys, for the recovery keys where a provider opens the servers
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    recovery_pgp_keys: Vec<String>,

    /// File of a PGP public key: the root token is shown encrypted to it
    #[arg(long, value_name = "FILE")]
    root_token_pgp_key: Option<String>,

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
    recovery_keys_b64: Vec<String>,
    recovery_keys_hex: Vec<String>,
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
    // Which keys there will be depends on who opens the server.
    let opens_itself = client.seal_status().await;
    let opens_itself = opens_itself
        .map_err(|error| Failure::call("initializing", &error))?
        .recovery_seal;
    let with_keys = InitRequest {
        pgp_keys: pgp_key::read_all(&args.pgp_keys)?,
        recovery_pgp_keys: pgp_key::read_all(&args.recovery_pgp_keys)?,
        root_token_pgp_key: match &args.root_token_pgp_key {
            Some(file) => pgp_key::read(file)?,
            None => Vec::new(),
        },
        ..InitRequest::default()
    };
    let request = if opens_itself {
        InitRequest {
            recovery_shares: args.recovery_shares,
            recovery_threshold: args.recovery_threshold,
            ..with_keys
        }
    } else {
        InitRequest {
            secret_shares: args.key_shares,
            secret_threshold: args.key_threshold,
            ..with_keys
        }
    };
    let keys = client
        .init_with(request)
        .await
        .map_err(|error| Failure::call("initializing", &error))?;
    let threshold = if opens_itself {
        args.recovery_threshold
    } else {
        args.key_threshold
    };
    let report = report(&keys, threshold)?;
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
    let count = |keys: &[_]| u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let threshold_of = |shares| if shares == 0 { 0 } else { threshold };
    let (unseal, recovery) = (count(&keys.shares), count(&keys.recovery_shares));
    let base64 =
        |keys: &[Zeroizing<Vec<u8>>]| keys.iter().map(|key| STANDARD.encode(key)).collect();
    let hex = |keys: &[Zeroizing<Vec<u8>>]| keys.iter().map(hex::encode).collect();
    let body = InitBody {
        unseal_keys_b64: base64(&keys.shares),
        unseal_keys_hex: hex(&keys.shares),
        unseal_shares: unseal,
        unseal_threshold: threshold_of(unseal),
        recovery_keys_b64: base64(&keys.recovery_shares),
        recovery_keys_hex: hex(&keys.recovery_shares),
        recovery_keys_shares: recovery,
        recovery_keys_threshold: threshold_of(recovery),
        root_token: keys.root_token.expose().to_owned(),
    };
    let table = text(&body);
    Report::flat(table, body)
}

fn text(body: &InitBody) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    for (index, key) in body.unseal_keys_b64.iter().enumerate() {
        let _ = writeln!(text, "Unseal Key {}: {key}", index + 1);
    }
    for (index, key) in body.recovery_keys_b64.iter().enumerate() {
        let _ = writeln!(text, "Recovery Key {}: {key}", index + 1);
    }
    let _ = writeln!(text, "\nInitial Root Token: {}\n", body.root_token);
    if body.recovery_keys_shares > 0 {
        let _ = write!(
            text,
            "Tenure is initialized with {shares} recovery key shares and a threshold of \
             {threshold}. Keep the\nkeys and the token: they are shown this once. Give the keys to \
             different people.\n\n\
             The servers open themselves by the provider of their seal stanza; without it nobody \
             can\nread the data. {threshold} recovery keys decide what needs a quorum: they open \
             nothing.\n",
            shares = body.recovery_keys_shares,
            threshold = body.recovery_keys_threshold,
        );
    } else {
        let _ = write!(
            text,
            "Tenure is initialized with {shares} key shares and a key threshold of {threshold}. \
             Keep the\nkeys and the token: they are shown this once. Give the keys to different \
             people.\n\n\
             Each server starts sealed, and after each restart it is sealed again: {threshold} of \
             the keys\nopen it (tenure operator unseal). With fewer of them nobody can read \
             the data,\nand nobody can bring it back.\n",
            shares = body.unseal_shares,
            threshold = body.unseal_threshold,
        );
    }
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
            recovery_shares: Vec::new(),
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
        assert_eq!(report.fields["recovery_keys_threshold"], 0);
        let keys = InitKeys {
            shares: Vec::new(),
            recovery_shares: keys.shares,
            ..keys
        };
        let report = super::report(&keys, 2).unwrap();
        assert!(report.table.starts_with("Recovery Key 1: AQID\n"));
        assert_eq!(report.fields["unseal_threshold"], 0);
        assert_eq!(report.fields["recovery_keys_threshold"], 2);
    }
}
