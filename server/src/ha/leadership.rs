//! Makes an unsealed leader active, and runs what only the active node does. One loop for
//! the life of the process, so that there can't be two.

use std::{sync::Arc, time::Duration};

use tenure_raft::node::Node;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::seal::Keys;

/// How soon a failed activation is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Follows leadership until `stop`. `duties` starts the active node's own tasks; they end
/// when the token that it is given is cancelled.
pub async fn run(
    node: Node,
    keys: Arc<Keys>,
    duties: impl Fn(CancellationToken) + Send,
    stop: CancellationToken,
) {
    let mut leadership = node.leadership();
    loop {
        let now = *leadership.borrow_and_update();
        if now.is_leader && !keys.is_sealed() {
            match node.activate().await {
                Ok(()) => {
                    tracing::info!(term = now.term, "this node is active");
                    let end = stop.child_token();
                    duties(end.clone());
                    tokio::select! {
                        () = node.inactive() => {}
                        () = stop.cancelled() => {}
                    }
                    end.cancel();
                    tracing::info!(term = now.term, "this node is no longer active");
                }
                Err(error) => {
                    tracing::warn!(term = now.term, %error, "the leader did not become active");
                }
            }
            if stop.run_until_cancelled(sleep(RETRY_AFTER)).await.is_none() {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            // Unsealing is no change of leadership: look again.
            () = sleep(RETRY_AFTER) => {}
            () = stop.cancelled() => return,
        }
    }
}
