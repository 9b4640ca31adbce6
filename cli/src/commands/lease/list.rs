//! `tenure lease list`.

use std::num::NonZeroUsize;

use clap::Args;

use super::{
    super::{CommonArgs, Context},
    path,
};
use crate::{
    failure::{Failure, code},
    output::leases_report,
};

/// Leases that are asked for at once.
const PAGE_ROWS: u32 = 500;

/// Flags of `tenure lease list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// The path under which they lie. Not given: all
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Show so many at most
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    limit: NonZeroUsize,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let (mut leases, mut page_token) = (Vec::new(), String::new());
    let more = loop {
        let page = client
            .list_leases(path(&args.prefix), PAGE_ROWS, &page_token)
            .await
            .map_err(|error| Failure::call("listing leases", &error))?;
        leases.extend(page.leases);
        page_token = page.next_page_token;
        let over = leases.len() > args.limit.get();
        if page_token.is_empty() || over {
            break over || !page_token.is_empty();
        }
    };
    leases.truncate(args.limit.get());
    if leases.is_empty() {
        // As Vault's lists: nothing there is told, and by the exit code, too.
        return Err(Failure::nothing("No leases found"));
    }
    args.common
        .output
        .show(&leases_report(&leases), context.env, context.console)?;
    if more {
        let told = format!(
            "There are more: -limit={} shows the first ones alone",
            args.limit
        );
        context.console.error(&told);
    }
    Ok(code::OK)
}
