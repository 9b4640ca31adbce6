//! `tenure operator rekey`: unseal keys (or recovery keys) made anew.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tenure_client::{
    Client,
    proto::{RekeyStatus, RekeyTarget, StartRekeyRequest},
};

use super::{
    super::{CommonArgs, Context},
    key_share, pgp_key, rekey_backup,
    rekey_proof::{prove, show_proof},
};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values},
};

/// What the prompt asks for.
pub(super) const WHAT: &str = "Key";

/// Flags of `tenure operator rekey`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RekeyArgs {
    /// Where the key is: - for standard input, @file for a file. Not given: it is asked for on
    /// the terminal, without being shown
    #[arg(value_name = "-|@FILE")]
    pub(super) key: Option<String>,

    /// Begin: with -key-shares and -key-threshold
    #[arg(long, conflicts_with_all = ["cancel", "status", "key"])]
    init: bool,

    /// Give it up; with -verify, begin the proof of the new keys again
    #[arg(long, conflicts_with_all = ["status", "key"])]
    cancel: bool,

    /// Show how far it is; with -verify, how far the proof is
    #[arg(long, conflicts_with = "key")]
    status: bool,

    /// With -init: the new keys must be proven before they are in force. Else: the key is one of
    /// the new ones, and proves them
    #[arg(long)]
    verify: bool,

    /// Which keys: barrier (unseal keys) or recovery
    #[arg(long, value_enum, default_value_t = Target::Barrier)]
    pub(super) target: Target,

    /// Names the attempt, as -init showed it. Not given: that of the attempt under way
    #[arg(long, value_name = "NONCE")]
    pub(super) nonce: Option<String>,

    /// In how many shares to split the new key, 1 to 255. Not given: 5, or none of a key that a
    /// provider keeps
    #[arg(short = 'n', long, value_name = "COUNT")]
    key_shares: Option<u32>,

    /// How many of them give it. Not given: 3, or none
    #[arg(short = 't', long, value_name = "COUNT")]
    key_threshold: Option<u32>,

    /// With -init: files of PGP public keys (binary, base64 or armored), with commas between them:
    /// each new key is shown encrypted to the one at its place
    #[arg(long, value_name = "FILES", value_delimiter = ',', requires = "init")]
    pgp_keys: Vec<String>,

    /// With -init and -pgp-keys: the cluster keeps the encrypted keys, too
    #[arg(long, requires_all = ["init", "pgp_keys"])]
    backup: bool,

    /// Show the encrypted keys that the cluster keeps
    #[arg(long, conflicts_with_all = ["init", "cancel", "status", "verify", "backup_delete", "key"])]
    backup_retrieve: bool,

    /// Delete them
    #[arg(long, conflicts_with_all = ["init", "cancel", "status", "verify", "key"])]
    backup_delete: bool,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    #[value(alias = "root")]
    Barrier,
    Recovery,
}

impl Target {
    pub(super) fn wire(self) -> RekeyTarget {
        match self {
            Self::Barrier => RekeyTarget::Root,
            Self::Recovery => RekeyTarget::Recovery,
        }
    }
}

/// The keys of Vault's rekey status.
#[derive(Serialize)]
struct StatusBody {
    started: bool,
    nonce: String,
    t: u32,
    n: u32,
    progress: u32,
    required: u32,
    verification_required: bool,
    verification_nonce: String,
    pgp_fingerprints: Vec<String>,
    backup: bool,
}

/// The keys of a rekey that is complete.
#[derive(Serialize)]
struct KeysBody {
    nonce: String,
    complete: bool,
    keys: Vec<String>,
    keys_base64: Vec<String>,
    verification_required: bool,
    verification_nonce: String,
    pgp_fingerprints: Vec<String>,
    backup: bool,
}

pub(crate) async fn run(args: RekeyArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    // Checked before the call: a wrong format must not lose keys that are shown once.
    args.common.output.format(context.env)?;
    let target = args.target.wire();
    if args.backup_retrieve {
        return rekey_backup::retrieve(&client, target, &args.common, context).await;
    }
    if args.backup_delete {
        return rekey_backup::delete(&client, target, context).await;
    }
    if args.init {
        let (shares, threshold) = split(&args, &client).await?;
        let request = StartRekeyRequest {
            target: target.into(),
            shares,
            threshold,
            require_verification: args.verify,
            pgp_keys: pgp_key::read_all(&args.pgp_keys)?,
            backup: args.backup,
        };
        let started = client.start_rekey(request).await;
        let status = started.map_err(|error| Failure::call("initializing rekey", &error))?;
        return show_status(&args, &status, context);
    }
    let nonce = args.nonce.as_deref().unwrap_or_default();
    match (args.cancel, args.status, args.verify) {
        (true, _, false) => {
            let cancelled = client.cancel_rekey(target, nonce).await;
            cancelled.map_err(|error| Failure::call("canceling rekey", &error))?;
            context
                .console
                .line("Success! Canceled rekeying (if it was started)")?;
            Ok(code::OK)
        }
        (true, _, true) => {
            let reset = client.reset_rekey_verification(target, nonce).await;
            let status = reset.map_err(|error| Failure::call("resetting verification", &error))?;
            show_proof(&args, &status, false, context)
        }
        (_, true, false) => {
            let status = client.rekey_status(target).await;
            let status = status.map_err(|error| Failure::call("reading rekey status", &error))?;
            show_status(&args, &status, context)
        }
        (_, true, true) => {
            let status = client.rekey_verification(target).await;
            let status = status.map_err(|error| Failure::call("reading status", &error))?;
            show_proof(&args, &status, false, context)
        }
        (_, _, true) => prove(&args, &client, context).await,
        (_, _, false) => update(&args, &client, context).await,
    }
}

/// In how many shares, and how many of them give the key.
async fn split(args: &RekeyArgs, client: &Client) -> Result<(u32, u32), Failure> {
    let is_asked = args.key_shares.is_some() || args.key_threshold.is_some();
    if !is_asked && args.target == Target::Barrier {
        let status = client.seal_status().await;
        let status = status.map_err(|error| Failure::call("initializing rekey", &error))?;
        if status.recovery_seal {
            return Ok((0, 0));
        }
    }
    Ok((
        args.key_shares.unwrap_or(5),
        args.key_threshold.unwrap_or(3),
    ))
}

pub(super) fn not_started(what: &str) -> Failure {
    Failure::local(format!(
        "Error: {what} is in progress. Begin a rekey with \"tenure operator rekey -init\""
    ))
}

async fn update(
    args: &RekeyArgs,
    client: &Client,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let target = args.target.wire();
    let nonce = match &args.nonce {
        Some(nonce) => nonce.clone(),
        None => {
            let status = client.rekey_status(target).await;
            let status = status.map_err(|error| Failure::call("reading rekey status", &error))?;
            if !status.started {
                return Err(not_started("no rekey"));
            }
            key_share::nonce_of(status.nonce)?
        }
    };
    let share = key_share::read(args.key.as_deref(), WHAT, context).await?;
    let answer = client.update_rekey(target, &nonce, &share).await;
    let answer = answer.map_err(|error| Failure::call("posting rekey key", &error))?;
    let status = answer.status.unwrap_or_default();
    if !answer.complete {
        return show_status(args, &status, context);
    }
    if answer.in_doubt {
        context.console.error(
            "WARNING! It isn't known whether the new keys are in force: the active node was lost \
             meanwhile.\nKeep the old ones and the new ones until one of both opened a server.",
        );
    }
    let body = KeysBody {
        nonce: status.nonce,
        complete: true,
        keys: answer.shares.iter().map(hex::encode).collect(),
        keys_base64: answer
            .shares
            .iter()
            .map(|key| STANDARD.encode(key))
            .collect(),
        verification_required: status.verification_required,
        verification_nonce: status.verification_nonce,
        pgp_fingerprints: status.pgp_fingerprints,
        backup: status.backup,
    };
    let report = Report::flat(keys_text(&body, status.threshold), body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

fn keys_text(body: &KeysBody, threshold: u32) -> String {
    let mut text = String::new();
    let shares = body.keys.len();
    if shares == 0 {
        return "Success! The root key is a new one, which the provider keeps.\n".to_owned();
    }
    for (index, key) in body.keys_base64.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = write!(text, "Key {}", index + 1);
        let _ = match body.pgp_fingerprints.get(index) {
            Some(fingerprint) => writeln!(text, " fingerprint: {fingerprint}; value: {key}"),
            None => writeln!(text, ": {key}"),
        };
    }
    if body.verification_required {
        let _ = write!(
            text,
            "\nVerification Nonce: {}\n\nThe {shares} new keys are not in force yet: prove \
             {threshold} of them with\n\"tenure operator rekey -verify\". Until then the old ones \
             hold. If they are lost, they\nmust be made again.\n",
            body.verification_nonce
        );
    } else {
        let _ = write!(
            text,
            "\nThe {shares} new keys are in force, {threshold} of them are needed; the old ones \
             give nothing any\nmore. They are shown this once.\n"
        );
    }
    text
}

fn show_status(
    args: &RekeyArgs,
    status: &RekeyStatus,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let body = StatusBody {
        started: status.started,
        nonce: status.nonce.clone(),
        t: status.threshold,
        n: status.shares,
        progress: status.progress,
        required: status.required,
        verification_required: status.verification_required,
        verification_nonce: status.verification_nonce.clone(),
        pgp_fingerprints: status.pgp_fingerprints.clone(),
        backup: status.backup,
    };
    let mut rows = vec![
        ("Started".to_owned(), status.started.to_string()),
        (
            "Rekey Progress".to_owned(),
            format!("{}/{}", status.progress, status.required),
        ),
    ];
    if status.started {
        rows.push(("Nonce".to_owned(), status.nonce.clone()));
        rows.push(("New Shares".to_owned(), status.shares.to_string()));
        rows.push(("New Threshold".to_owned(), status.threshold.to_string()));
        rows.push((
            "Verification Required".to_owned(),
            status.verification_required.to_string(),
        ));
    }
    if !status.pgp_fingerprints.is_empty() {
        let fingerprints = status.pgp_fingerprints.join(", ");
        rows.push(("PGP Fingerprints".to_owned(), fingerprints));
        rows.push(("Backup".to_owned(), status.backup.to_string()));
    }
    if !status.verification_nonce.is_empty() {
        rows.push((
            "Verification Nonce".to_owned(),
            status.verification_nonce.clone(),
        ));
    }
    let report = Report::flat(key_values(&rows), body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
