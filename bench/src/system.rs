//! A running cluster of either system, for runs that do the same to both.

use std::time::Duration;

use tenure_tests::server_cluster::Outcome;

use crate::client::{Calls, Pool};

/// A policy that lets a token make children and put something on lease.
pub const MAKER: &str = "maker";
/// Its text.
pub const MAKER_TEXT: &str = "path \"auth/token/create\" { capabilities = [\"update\"] }\n\
     path \"sys/leases/*\" { capabilities = [\"update\"] }\n";

/// A cluster.
pub trait System {
    /// Its clients.
    type Client: Calls;
    /// Its name.
    const NAME: &'static str;
    /// How often it may be asked what it has cleared away, without being held up by that.
    const LOOK_EVERY: Duration;

    /// Number of nodes.
    fn nodes(&self) -> usize;

    /// Index of the active node.
    fn active(&mut self) -> impl Future<Output = Outcome<usize>>;

    /// Clients of one node.
    fn connect(
        &self,
        node: usize,
        clients: usize,
    ) -> impl Future<Output = Outcome<Vec<Self::Client>>>;

    /// Tokens to look up.
    fn pool(&self) -> Pool<Self::Client>;

    /// Writes the policy [`MAKER`].
    fn write_maker(&mut self) -> impl Future<Output = Outcome<()>>;

    /// Whether nothing is left to clear away of what was revoked.
    fn is_clean(&mut self) -> impl Future<Output = Outcome<bool>>;

    /// A count that grows by one with each record that ended by its time and is cleared away.
    fn cleared(&mut self) -> impl Future<Output = Outcome<i64>>;
}
