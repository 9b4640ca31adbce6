//! Keeps the client's token and leases alive in the background, and tells what becomes of them.
//! It must never hold a secret of its own, nor outlive its [`Renewer`].

mod board;
mod door;
mod plan;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use self::{board::Board, door::Cluster};
use crate::{call::Client, error::Error, tokens::wire};

/// Renews in the background: see [`Client::renewer`]. It stops when it is dropped; what it kept
/// alive ends by its time then.
pub struct Renewer {
    client: Client,
    board: Arc<Board>,
    tasks: JoinSet<()>,
}

/// What a renewer keeps alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    /// The client's own token.
    Token,
    /// The lease of this id.
    Lease(String),
}

/// What became of it. Times are of this machine's monotonic clock, counted from before the
/// renewal was sent: the server ends it then, or a moment later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum News {
    /// It lives until then, and will be renewed before.
    Renewed {
        /// When it ends without another renewal.
        ends_at: Instant,
        /// What the server granted otherwise than asked for, in words.
        warnings: Vec<String>,
    },
    /// The server grants less than before: it has come to the longest life that it may have. Log
    /// in again, or ask for another lease, before it ends.
    ReachedMax {
        /// When it ends.
        ends_at: Instant,
    },
    /// It can't be renewed: it was made so, it is a root or a batch token, or it has come to its
    /// longest life and its end isn't known here. That is the last news of what has no end, or none
    /// that is known here; else it is gone then.
    NotRenewable {
        /// When it ends. `None`: never, or it isn't known.
        ends_at: Option<Instant>,
    },
    /// A renewal failed. It is tried again as long as it lives; nothing needs to be done.
    Failing {
        /// Why.
        error: Error,
        /// When it ends if that goes on. `None`: it was never renewed.
        ends_at: Option<Instant>,
    },
    /// It is no more, and is kept no longer.
    Gone {
        /// Why: the server's reason (`LEASE_NOT_FOUND`, `INVALID_TOKEN`, of a lease
        /// `INVALID_ARGUMENT` for an id that can't be one), or `EXPIRED` where its time is over
        /// here.
        reason: String,
    },
}

impl Client {
    /// A renewer, which keeps what it is given alive over failovers. Nothing is sent before
    /// [`Renewer::and_token`] or [`Renewer::keep`]. Must be called within a tokio runtime.
    ///
    /// It renews with this client's token: after another login, make another one.
    pub fn renewer(&self) -> Renewer {
        let board = Arc::new(Board::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(tasks::leases(Arc::clone(&board), Cluster::new(self)));
        Renewer {
            client: self.clone(),
            board,
            tasks,
        }
    }
}

impl Renewer {
    /// Renews the client's own token, too: at once, and then before two thirds of its life are
    /// over. A token that is limited in uses pays one for each renewal.
    ///
    /// `increment`: how long it shall live from each renewal on; without, its creation TTL.
    #[must_use]
    pub fn and_token(mut self, increment: Option<Duration>) -> Self {
        let board = Arc::clone(&self.board);
        let cluster = Cluster::new(&self.client);
        self.tasks.spawn(tasks::token(board, cluster, increment));
        self
    }

    /// Keeps a lease of the client's token alive, with thousands of others over one stream: renews
    /// it at once, and then before two thirds of its life are over. A lease that is kept already
    /// is renewed at once, too, and its increment is changed.
    ///
    /// `increment`: how long it shall live from each renewal on; without, its creation TTL.
    ///
    /// # Errors
    /// As many leases are kept as may be, or as much news waits to be read.
    pub fn keep(
        &self,
        lease_id: impl Into<String>,
        increment: Option<Duration>,
    ) -> Result<(), Error> {
        let increment = increment.map(wire).transpose()?;
        self.board.keep(lease_id.into(), increment)
    }

    /// Keeps a lease no longer: it ends by its time.
    pub fn forget(&self, lease_id: &str) {
        self.board.forget(lease_id);
    }

    /// What happened next. Of each token and lease only the latest news waits, so a reader that is
    /// slow misses what is past, and memory stays bounded. Dropping the future loses nothing.
    pub async fn next(&self) -> (Kept, News) {
        self.board.next().await
    }
}

impl fmt::Debug for Renewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewer")
            .field("client", &self.client)
            .field("leases", &self.board.leases())
            .finish_non_exhaustive()
    }
}
