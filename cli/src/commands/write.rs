//! `tenure write`.

use clap::Args;
use tenure_client::proto::WriteRequest;

use super::{CommonArgs, Context, new_request_id};
use crate::{
    data_input,
    failure::{Failure, code},
    output::data_report,
};

/// Flags of `tenure write`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteArgs {
    /// The path
    #[arg(value_name = "PATH")]
    path: String,

    /// The fields: key=value, key=@file, key=-; all of them: - or @file
    #[arg(value_name = "KEY=VALUE", allow_hyphen_values = true)]
    data: Vec<String>,

    /// Write without any field
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: WriteArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    if args.data.is_empty() && !args.force {
        return Err(Failure::local(
            "Error: give at least one field, or -force to write without any",
        ));
    }
    let data = data_input::object(&data_input::fields(&args.data).await?)?;
    let client = context.client(&args.common)?;
    let path = args.path.trim_start_matches('/');
    let written = client
        .write(WriteRequest {
            path: path.to_owned(),
            data: data.into_bytes(),
            request_id: new_request_id(),
        })
        .await
        .map_err(|error| Failure::call("writing", &error))?;
    if written.data.is_empty() && args.common.output.field.is_none() {
        for warning in &written.warnings {
            context.console.error(&format!("WARNING! {warning}"));
        }
        context
            .console
            .line(&format!("Success! Data written to: {path}"))?;
        return Ok(code::OK);
    }
    let id = client.last_request_id();
    let report = data_report(&written.data, None, written.warnings, id)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}
