//! `tenure operator rekey -verify`: the proof that the holders of new keys have them.

use serde::Serialize;
use tenure_client::{Client, proto::RekeyVerificationStatus};

use super::{
    super::Context,
    key_share,
    rekey::{RekeyArgs, WHAT, not_started},
};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values},
};

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

/// Gives one of the new keys.
pub(super) async fn prove(
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
            key_share::nonce_of(status.nonce)?
        }
    };
    let share = key_share::read(args.key.as_deref(), WHAT, context).await?;
    let answer = client.verify_rekey(target, &nonce, &share).await;
    let answer = answer.map_err(|error| Failure::call("posting verification key", &error))?;
    let status = answer.status.unwrap_or_default();
    show_proof(args, &status, answer.complete, context)
}

/// Shows how far the proof is.
pub(super) fn show_proof(
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
