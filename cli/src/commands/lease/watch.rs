//! `tenure lease watch`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, json};
use tenure_client::{
    Error,
    proto::{LeaseEvent, LeaseEventKind, WatchRequest, lease_event::Subject},
};
use tokio::time::sleep;

use super::{super::Context, path};
use crate::{
    connection::ConnectionArgs,
    failure::Failure,
    output::{Format, LineArgs, show_line, time},
};

/// A watch that was never opened is given up after so long.
const OPENING: Duration = Duration::from_secs(5);

/// So long an interrupted watch waits before it is tried again: a rate limit refuses at once.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Flags of `tenure lease watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchArgs {
    /// The path under which they lie. Not given: all
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Only the leases of the token of this accessor, and its end
    #[arg(
        long,
        value_name = "ACCESSOR",
        default_value = "",
        hide_default_value = true
    )]
    accessor: String,

    /// Begin with the events of this revision. Not given: from now on
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(u64).range(1..))]
    since: Option<u64>,

    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    lines: LineArgs,
}

/// What the command says about itself.
pub(super) const HELP: &str = "\
Your own leases are shown; with sudo on sys/leases/watch/PREFIX those of all tokens, and tokens
and prefixes that are revoked, too. Each event is shown once, in the order of the commits; when
a server dies the watch goes on at another one. Ctrl-C ends it.

Examples:
  tenure lease watch                           everything from now on
  tenure lease watch db/prod                   what lies under a path
  tenure lease watch -since=4711 -format=json  from a revision on, an object a line";

pub(crate) async fn run(args: WatchArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let format = args.lines.format(context.env)?;
    let client = args.connection.client(context.env, context.console)?;
    let request = WatchRequest {
        prefix: path(&args.prefix).to_owned(),
        accessor: args.accessor.clone(),
        start_revision: args.since,
    };
    let mut watch = client.with_deadline(OPENING).watch(request);
    let (mut opened, mut lost) = (false, false);
    loop {
        match watch.next().await {
            Ok(message) => {
                if std::mem::take(&mut lost) {
                    context.console.error("The watch goes on.");
                }
                opened = true;
                for event in &message.events {
                    show(event, format, context)?;
                }
            }
            // Where it was never opened, the address or the cluster is wrong.
            Err(error) if opened && error.is_transient() => {
                if !std::mem::replace(&mut lost, true) {
                    let told = format!("The watch is interrupted, and is tried again: {error}");
                    context.console.error(&told);
                }
                sleep(AGAIN_AFTER).await;
            }
            Err(error) => return Err(ended(&error)),
        }
    }
}

/// Why a watch ended, and what to do.
fn ended(error: &Error) -> Failure {
    let failure = Failure::call("watching leases", error);
    if !error.is_compacted() {
        return failure;
    }
    let oldest = error.metadata().get("oldest_revision");
    let since = oldest.map_or(String::new(), |oldest| {
        format!("\n`tenure lease watch -since={oldest}` shows what is left of the events.")
    });
    failure.with_note(&format!(
        "Events are kept for an hour at most, and some of those that were asked for are gone.\n\
         Begin anew: start a watch without -since, then `tenure lease list` shows what there is.{since}"
    ))
}

fn show(event: &LeaseEvent, format: Format, context: &mut Context<'_>) -> Result<(), Failure> {
    let kind = match event.kind() {
        LeaseEventKind::Granted => "granted",
        LeaseEventKind::Renewed => "renewed",
        LeaseEventKind::Expired => "expired",
        LeaseEventKind::Revoked => "revoked",
        LeaseEventKind::Unspecified => "unknown",
    };
    let (what, subject) = match &event.subject {
        Some(Subject::LeaseId(id)) => ("lease_id", id.as_str()),
        Some(Subject::Prefix(prefix)) => ("prefix", prefix.as_str()),
        Some(Subject::TokenAccessor(accessor)) => ("token_accessor", accessor.as_str()),
        None => ("lease_id", ""),
    };
    let moment = event.time.as_ref().map(time);
    let expires = event.expire_time.as_ref().map(time);
    let mut fields = Map::new();
    for (key, value) in [
        ("revision", json!(event.revision)),
        ("time", json!(moment)),
        ("event", json!(kind)),
        (what, json!(subject)),
        ("expire_time", json!(expires)),
        ("owner_accessor", json!(event.owner_accessor)),
    ] {
        let absent = value.is_null() || value == "";
        if !absent {
            fields.insert(key.to_owned(), value);
        }
    }
    let subject = match what {
        "lease_id" => subject.to_owned(),
        "prefix" => format!("prefix {subject}"),
        _ => format!("token {subject}"),
    };
    let expires = expires.map_or(String::new(), |at| format!("  expires {at}"));
    let words = format!(
        "{}  {kind}  {subject}{expires}  (revision {})",
        moment.unwrap_or_default(),
        event.revision
    );
    show_line(format, &words, &fields, context.console)
}
