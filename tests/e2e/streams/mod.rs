//! Watch and KeepAlive against real processes: nothing is lost or shown twice, whichever node
//! dies, and no stream outlives its token.

mod commands;
mod ends;
mod keep_alive;
mod ledger;
mod renewer;
mod scopes;
mod slow;
mod start;

use std::time::Duration;

use tenure_client::proto::lease_event::Subject;
use tenure_client::proto::{GrantLeaseRequest, LeaseEvent, LeaseEventKind, WatchRequest};
use tenure_client::{Client, Error, Watch};
use tenure_tests::server_cluster::{Outcome, SOON};
use tokio::time::{Instant, timeout};

use crate::{seconds, text};

/// A stream of a revoked token ends within so long; it looks at its token every 250 ms, and this
/// machine may be busy.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

pub async fn granted(client: &Client, path: &str, ttl: i64) -> Outcome<String> {
    let request = GrantLeaseRequest {
        path: path.to_owned(),
        payload: b"a payload".to_vec(),
        ttl: seconds(ttl),
        ..GrantLeaseRequest::default()
    };
    let granted = client.grant_lease(request).await.map_err(text)?;
    Ok(granted.lease_id)
}

/// A watch of a prefix, from now on or from a revision on.
pub fn watch(client: &Client, prefix: &str, start_revision: Option<u64>) -> Watch {
    client.watch(WatchRequest {
        prefix: prefix.to_owned(),
        start_revision,
        ..WatchRequest::default()
    })
}

/// Opens it: what happens from here on is shown.
pub async fn opened(mut watch: Watch) -> Outcome<Watch> {
    watch.next().await.map_err(text)?;
    Ok(watch)
}

/// Reads events until there are so many.
pub async fn events(watch: &mut Watch, count: usize) -> Outcome<Vec<LeaseEvent>> {
    let mut seen = Vec::new();
    let end = Instant::now() + SOON;
    while seen.len() < count {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left, watch.next()).await {
            Ok(message) => seen.extend(message.map_err(text)?.events),
            Err(_) => return Err(format!("{} of {count} events: {seen:?}", seen.len())),
        }
    }
    Ok(seen)
}

/// Reads until the watch ends, and says how.
pub async fn end_of(watch: &mut Watch, within: Duration) -> Outcome<Error> {
    let reading = async {
        loop {
            if let Err(error) = watch.next().await {
                return error;
            }
        }
    };
    let ended = timeout(within, reading).await;
    ended.map_err(|_| format!("the watch is open after {within:?}"))
}

/// What happened, and to what, in short.
fn short(event: &LeaseEvent) -> String {
    let kind = match event.kind() {
        LeaseEventKind::Unspecified => "unspecified",
        LeaseEventKind::Granted => "granted",
        LeaseEventKind::Renewed => "renewed",
        LeaseEventKind::Expired => "expired",
        LeaseEventKind::Revoked => "revoked",
    };
    match &event.subject {
        Some(Subject::LeaseId(id)) => format!("{kind} {id}"),
        Some(Subject::Prefix(prefix)) => format!("{kind} prefix {prefix}"),
        Some(Subject::TokenAccessor(accessor)) => format!("{kind} token {accessor}"),
        None => format!("{kind} nothing"),
    }
}

pub fn shorts(events: &[LeaseEvent]) -> Vec<String> {
    events.iter().map(short).collect()
}
