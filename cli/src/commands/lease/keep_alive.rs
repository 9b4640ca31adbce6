//! `tenure lease keep-alive`.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Read},
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Map, Value, json};
use tenure_client::{ErrorKind, Kept, News, Renewer};

use super::{super::Context, path};
use crate::{
    connection::ConnectionArgs,
    duration,
    failure::Failure,
    output::{Format, LineArgs, show_line},
};

/// Most bytes of ids from standard input.
const IDS_BYTES_MAX: u64 = 32 << 20;

/// Flags of `tenure lease keep-alive`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeepAliveArgs {
    /// Ids of leases; - reads more of them from standard input, with white space between
    #[arg(value_name = "ID|-", required_unless_present = "and_token")]
    ids: Vec<String>,

    /// Keep the token that you call with alive, too: its leases end with it
    #[arg(long)]
    and_token: bool,

    /// How long they shall live from each renewal on: a wish, the answers say what was granted. 0
    /// or not given: as long as when they were made
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    increment: Option<Duration>,

    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    lines: LineArgs,
}

/// What the command says about itself.
pub(super) const HELP: &str = "\
Renews at once, and then before two thirds of a life are over, thousands of leases over one
stream; a renewal that fails is tried again as long as the lease lives, at each server. It ends
with Ctrl-C, or with exit code 2 when nothing is left to be kept alive.

Examples:
  tenure lease keep-alive -and-token db/prod/9lW7KxTz0aQhYd4mB2eVnR8s
  tenure lease list -format=json | jq -r '.[].id' | tenure lease keep-alive -";

pub(crate) async fn run(args: KeepAliveArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let format = args.lines.format(context.env)?;
    let increment = args.increment.filter(|increment| !increment.is_zero());
    let ids = ids(&args.ids).await?;
    if ids.is_empty() && !args.and_token {
        return Err(Failure::local("Error: no lease is named"));
    }
    let client = args.connection.client(context.env, context.console)?;
    let mut renewer = client.renewer();
    if args.and_token {
        renewer = renewer.and_token(increment);
    }
    let mut left: BTreeSet<Kept> = args.and_token.then_some(Kept::Token).into_iter().collect();
    for id in ids {
        renewer
            .keep(id.clone(), increment)
            .map_err(|error| Failure::local(format!("Error: {error}")))?;
        left.insert(Kept::Lease(id));
    }
    keep(&renewer, left, format, context).await
}

/// Shows what happens until nothing is left.
async fn keep(
    renewer: &Renewer,
    mut left: BTreeSet<Kept>,
    format: Format,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let mut answered = false;
    while !left.is_empty() {
        let (kept, news) = renewer.next().await;
        match &news {
            // Nobody has ever answered: the address or the certificate is wrong.
            News::Failing { error, .. } if !answered && error.kind() != ErrorKind::Server => {
                return Err(Failure::call("renewing", error));
            }
            News::Gone { .. } => drop(left.remove(&kept)),
            News::NotRenewable { ends_at: None } => drop(left.remove(&kept)),
            _ => {}
        }
        answered = true;
        show(&kept, &news, format, context)?;
    }
    Err(Failure::nothing("Nothing is left to be kept alive"))
}

fn show(
    kept: &Kept,
    news: &News,
    format: Format,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let (event, ends_at, detail) = match news {
        News::Renewed { ends_at, warnings } => ("renewed", Some(*ends_at), warnings.join("; ")),
        News::ReachedMax { ends_at } => {
            let detail = "it has come to its longest life";
            ("at its maximum", Some(*ends_at), detail.to_owned())
        }
        News::NotRenewable { ends_at } => ("not renewable", *ends_at, String::new()),
        News::Failing { error, ends_at } => ("failing", *ends_at, error.to_string()),
        News::Gone { reason } => ("gone", None, reason.clone()),
        _ => return Ok(()),
    };
    let seconds = ends_at.map(|end| end.saturating_duration_since(Instant::now()).as_secs());
    let (what, id) = match kept {
        Kept::Token => ("token", "your token"),
        Kept::Lease(id) => ("lease_id", id.as_str()),
    };
    let mut fields = Map::new();
    fields.insert("event".to_owned(), json!(event.replace(' ', "_")));
    let subject = match kept {
        Kept::Token => Value::from("self"),
        Kept::Lease(id) => json!(id),
    };
    fields.insert(what.to_owned(), subject);
    if let Some(seconds) = seconds {
        fields.insert("ttl".to_owned(), json!(seconds));
    }
    if !detail.is_empty() {
        fields.insert("detail".to_owned(), json!(detail));
    }
    let mut words = format!("{event}  {id}");
    if let Some(seconds) = seconds {
        let left = duration::show(i64::try_from(seconds).unwrap_or(i64::MAX));
        words.push_str(&format!("  ends in {left}"));
    }
    if !detail.is_empty() {
        words.push_str(&format!("  ({detail})"));
    }
    show_line(format, &words, &fields, context.console)
}

/// The ids that the arguments name, each once.
async fn ids(arguments: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut ids = BTreeSet::new();
    for argument in arguments {
        if argument != "-" {
            ids.insert(path(argument).to_owned());
            continue;
        }
        if io::stdin().is_terminal() {
            return Err(Failure::local(
                "Error: - reads ids from standard input, which is a terminal: give them as arguments",
            ));
        }
        let read = tokio::task::spawn_blocking(|| {
            let mut text = String::new();
            io::stdin()
                .lock()
                .take(IDS_BYTES_MAX)
                .read_to_string(&mut text)?;
            Ok(text)
        });
        let text = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| Failure::local(format!("Error reading standard input: {error}")))?;
        ids.extend(text.split_whitespace().map(|id| path(id).to_owned()));
    }
    Ok(ids)
}
