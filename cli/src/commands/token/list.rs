//! `tenure token list`.

use std::{
    num::NonZeroUsize,
    time::{Duration, SystemTime},
};

use clap::{ArgAction, Args};
use tenure_client::proto::ListAccessorsRequest;

use super::super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
    output::tokens_report,
};

/// Tokens that are asked for at once.
const PAGE_ROWS: u32 = 500;

/// Flags of `tenure token list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Those that were made with this role alone
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    role: String,

    /// Those that have this policy alone
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    policy: String,

    /// Those whose display name begins so alone
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,

    /// Orphans alone, or with =false those that are none
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    orphan: Option<bool>,

    /// Those that end within this time alone
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires_within: Option<Duration>,

    /// Show so many at most
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    limit: NonZeroUsize,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let before = args.expires_within.and_then(|within| {
        let at = SystemTime::now().checked_add(within)?;
        Some(prost_types::Timestamp::from(at))
    });
    let mut asked = ListAccessorsRequest {
        page_size: PAGE_ROWS,
        page_token: String::new(),
        role: args.role,
        policy: args.policy,
        display_name_prefix: args.display_name,
        orphan: args.orphan,
        expires_before: before,
    };
    let mut tokens = Vec::new();
    let more = loop {
        let page = client.list_tokens(asked.clone()).await;
        let page = page.map_err(|error| Failure::call("listing tokens", &error))?;
        tokens.extend(page.tokens);
        asked.page_token = page.next_page_token;
        let over = tokens.len() > args.limit.get();
        if asked.page_token.is_empty() || over {
            break over || !asked.page_token.is_empty();
        }
    };
    tokens.truncate(args.limit.get());
    if tokens.is_empty() {
        // As Vault's lists: nothing there is told, and by the exit code, too.
        return Err(Failure::nothing("No tokens found"));
    }
    let output = &args.common.output;
    output.show(&tokens_report(&tokens), context.env, context.console)?;
    if more {
        let told = format!(
            "There are more: -limit={} shows the first ones alone",
            args.limit
        );
        context.console.error(&told);
    }
    Ok(code::OK)
}
