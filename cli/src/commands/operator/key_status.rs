//! `tenure operator key-status`.

use clap::Args;
use serde::Serialize;
use tenure_client::proto::GetKeyStatusResponse;

use super::super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values, time},
};

/// Flags of `tenure operator key-status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeyStatusArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// The keys of Vault's key-status.
#[derive(Serialize)]
pub(super) struct KeyStatusBody {
    term: u32,
    install_time: String,
    encryptions: u64,
}

pub(crate) async fn run(args: KeyStatusArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let status = client
        .key_status()
        .await
        .map_err(|error| Failure::call("reading key status", &error))?;
    args.common
        .output
        .show(&report(&status)?, context.env, context.console)?;
    Ok(code::OK)
}

pub(super) fn report(status: &GetKeyStatusResponse) -> Result<Report<KeyStatusBody>, Failure> {
    let body = KeyStatusBody {
        term: status.term,
        install_time: status.install_time.as_ref().map_or_else(String::new, time),
        encryptions: status.operations,
    };
    let rows = [
        ("Key Term".to_owned(), body.term.to_string()),
        ("Install Time".to_owned(), body.install_time.clone()),
        ("Encryption Count".to_owned(), body.encryptions.to_string()),
    ];
    Report::flat(key_values(&rows), body)
}
