//! `tenure list`.

use clap::Args;
use tenure_client::Client;

use super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::keys_report,
};

/// Names that are asked for at once.
const PAGE_ROWS: u32 = 500;
/// Most names that are shown: they are sorted here.
const NAMES_MAX: usize = 100_000;

/// Flags of `tenure list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// The folder, such as secret/metadata/
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let keys = all(&client, args.path.trim_matches('/')).await?;
    let report = keys_report(&keys);
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

/// All names of a folder, sorted.
pub(super) async fn all(client: &Client, path: &str) -> Result<Vec<String>, Failure> {
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = client
            .list(path, PAGE_ROWS, &page_token)
            .await
            .map_err(|error| Failure::call("listing", &error))?;
        keys.extend(page.keys);
        if keys.len() > NAMES_MAX {
            return Err(Failure::local(format!(
                "Error: more than {NAMES_MAX} names lie there"
            )));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            keys.sort();
            return Ok(keys);
        }
    }
}
