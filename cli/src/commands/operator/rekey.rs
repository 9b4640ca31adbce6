//! `tenure operator rekey`: unseal keys (or recovery keys) made anew.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tenure_client::{
    Client,
    proto::{RekeyStatus, RekeyTarget, RekeyVerificationStatus, StartRekeyRequest},
};

use super::{
    super::{CommonArgs, Context},
    key_share,
};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values},
};

/// What the prompt asks for.
const WHAT: &str = "Key";

/// Flags of `tenure operator rekey`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RekeyArgs {
    /// Where the key is: - for standard input, @file for a file. Not given: it is asked for on
    /// the terminal, without being shown
    #[arg(value_name = "-|@FILE")]
    key: Option<String>,

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
    target: Target,

    /// Names the attempt, as -init showed it. Not given: that of the attempt under way
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,

    /// In how many shares to split the new key, 1 to 255
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 5)]
    key_shares: u32,

    /// How many of them give it
    #[arg(short = 't', long, value_name = "COUNT", default_value_t = 3)]
    key_threshold: u32,

    #[command(flatten)]
    common: CommonArgs,
}

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    #[value(alias = "root")]
    Barrier,
    Recovery,
}

impl Target {
    fn wire(self) -> RekeyTarget {
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
}

/// The keys of a proof.
#[derive(Serialize)]
struct ProofBody {
    started: bool,
    nonce: String,
    t: u32,
    n: u32,
    progress: u32,
    complete: bool,
}

pub(crate) async fn run(args: RekeyArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    // Checked before the call: a wrong format must not lose keys that are shown once.
    args.common.output.format(context.env)?;
    let target = args.target.wire();
    if args.init {
        let request = StartRekeyRequest {
            target: target.into(),
            shares: args.key_shares,
            threshold: args.key_threshold,
            require_verification: args.verify,
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

fn not_started(what: &str) -> Failure {
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
            status.nonce
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
    };
    let report = Report::flat(keys_text(&body, status.threshold), body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn prove(
    args: &RekeyArgs,
    client: &Client,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let target = args.target.wire();
    let nonce = match &args.nonce {
        Some(nonce) => nonce.clone(),
        None => {
            let status = client.rekey_verification(target).await;
            let status = status.map_err(|error| Failure::call("reading status", &error))?;
            if !status.started {
                return Err(not_started("no proof of new keys"));
            }
            status.nonce
        }
    };
    let share = key_share::read(args.key.as_deref(), WHAT, context).await?;
    let answer = client.verify_rekey(target, &nonce, &share).await;
    let answer = answer.map_err(|error| Failure::call("posting verification key", &error))?;
    let status = answer.status.unwrap_or_default();
    show_proof(args, &status, answer.complete, context)
}

fn keys_text(body: &KeysBody, threshold: u32) -> String {
    let mut text = String::new();
    for (index, key) in body.keys_base64.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "Key {}: {key}", index + 1);
    }
    let shares = body.keys.len();
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

fn show_proof(
    args: &RekeyArgs,
    status: &RekeyVerificationStatus,
    complete: bool,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let body = ProofBody {
        started: status.started && !complete,
        nonce: status.nonce.clone(),
        t: status.threshold,
        n: status.shares,
        progress: status.progress,
        complete,
    };
    let table = if complete {
        "Success! The new keys are proven and in force; the old ones give nothing any more.\n"
            .to_owned()
    } else {
        key_values(&[
            ("Started".to_owned(), status.started.to_string()),
            ("New Shares".to_owned(), status.shares.to_string()),
            ("New Threshold".to_owned(), status.threshold.to_string()),
            ("Verification Nonce".to_owned(), status.nonce.clone()),
            (
                "Verification Progress".to_owned(),
                format!("{}/{}", status.progress, status.threshold),
            ),
        ])
    };
    let report = Report::flat(table, body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
